"""A rollout as people read it: its members in groups, where its waves stand, its policy and its future in sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from otaru.apps.console.happening import actor
from otaru.apps.console.rendering import number, share
from otaru.apps.console.status import Tone, look
from otaru.domain.deployment import FAILURES, FINAL, OPEN, State
from otaru.domain.evidence import Call as Verdicts
from otaru.domain.evidence import Finding, Ruling, Tally
from otaru.domain.ids import DeviceId
from otaru.domain.rollout import (
    ROLLOUT,
    For,
    Rollout,
    RolloutState,
    Segment,
    Wave,
    WaveState,
    installable,
    settled,
    waiting,
)
from otaru.services.control.rollouts import Progress

BAD = FAILURES | {State.REJECTED}
"""Members whose end has a reason that somebody should read."""

_NOBODY = Tally({})


@dataclass(frozen=True, slots=True)
class Group:
    """States that a person sees as one."""

    name: str
    """In addresses."""
    words: str
    tone: Tone
    states: frozenset[State]


GROUPS = (
    Group("done", "done", Tone.DONE, frozenset({State.SUCCEEDED})),
    Group("under-way", "under way", Tone.BUSY, OPEN),
    Group("waiting", "waiting", Tone.IDLE, frozenset({State.SCHEDULED})),
    Group("failures", "failed", Tone.FAILED, BAD),
    Group("left-out", "cancelled or skipped", Tone.IDLE, frozenset({State.CANCELLED, State.SKIPPED})),
)
"""Every state is in one."""


def together(progress: Progress) -> Tally:
    """All members."""
    return progress.evidence.whole


def tones(tally: Tally) -> dict[str, int]:
    """Members by colour. Silent ones are red here: they count against the release as failed ones do."""
    found: dict[str, int] = {}
    for state, members in tally.counts.items():
        tone = Tone.FAILED if state in BAD else look(state).tone
        found[tone] = found.get(tone, 0) + members
    return found


def counted_words(tally: Tally) -> str:
    """Members by state in words: `8 succeeded, 1 failed`."""
    parts = (f"{number(n)} {look(state).word}" for state in State if (n := tally.of(state)))
    return ", ".join(parts) or "nobody"


@dataclass(frozen=True, slots=True)
class Line:
    """A rollout on one line of a list."""

    rollout: Rollout
    tally: Tally
    tones: Mapping[str, int]
    ended: float
    """The share of members that have ended, well or badly."""
    failed: int
    wave: str
    when: str
    at: datetime


def line(progress: Progress) -> Line:
    """A rollout on one line."""
    rollout, tally = progress.rollout, together(progress)
    when, at = _when(rollout)
    ended = tally.of(*FINAL) / rollout.size if rollout.size else 0.0
    return Line(rollout, tally, tones(tally), ended, tally.of(*BAD), wave_of(rollout), when, at)


def _when(rollout: Rollout) -> tuple[str, datetime]:
    if rollout.ended_at is not None and rollout.state in ROLLOUT.final:
        return "ended", rollout.ended_at
    if rollout.started_at is not None:
        return "started", rollout.started_at
    if rollout.start_at is not None and rollout.state is RolloutState.SCHEDULED:
        return "starts", rollout.start_at
    return "planned", rollout.created_at


def wave_of(rollout: Rollout) -> str:
    """`2 of 3`; empty for a rollout of one wave."""
    if len(rollout.waves) < 2:
        return ""
    if rollout.started_at is None:
        return f"0 of {len(rollout.waves)}"
    under_way = rollout.wave
    return f"{under_way.index + 1 if under_way else len(rollout.waves)} of {len(rollout.waves)}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one wave stands, against its thresholds."""

    wave: Wave
    tally: Tally
    tones: Mapping[str, int]
    success: str
    success_tone: Tone
    error: str
    error_tone: Tone


def standings(progress: Progress, ruling: Ruling) -> list[Standing]:
    """Where each wave stands; the judge says which threshold is reached."""
    rollout, tallies = progress.rollout, progress.tallies
    going = progress.evidence.without(rollout.held).waves
    return [
        _standing(rollout, w, tallies.get(w.index, _NOBODY), going.get(w.index, _NOBODY), ruling) for w in rollout.waves
    ]


def _standing(rollout: Rollout, wave: Wave, tally: Tally, going: Tally, ruling: Ruling) -> Standing:
    rule = rollout.policy.rule
    if rule is None:
        return Standing(wave, tally, tones(tally), "", Tone.IDLE, "", Tone.IDLE)
    call = ruling.waves[wave.index].call
    needs = f"needs {share(rule.success, _digits(rule.success))}"
    most = f"at most {share(rule.error, _digits(rule.error))}"
    witnesses = number(going.judged)
    return Standing(
        wave,
        tally,
        tones(tally),
        f"{number(going.of(State.SUCCEEDED))} of {witnesses} succeeded ({needs})",
        Tone.DONE if call is Verdicts.EXPAND else Tone.IDLE,
        f"{number(going.failures)} of {witnesses} failed ({most})",
        Tone.FAILED if call is Verdicts.STOP else Tone.IDLE,
    )


NEAR = 8
"""Waves that are shown at once; of more only those near the one under way."""


def near(standings: Sequence[Standing]) -> list[Standing]:
    """The waves that one wants to see: the last that ended, those under way, the next ones, and the last of all."""
    if len(standings) <= NEAR:
        return list(standings)
    ended = [at for at, s in enumerate(standings) if s.wave.state in {WaveState.PASSED, WaveState.OVERRULED}]
    pending = [at for at, s in enumerate(standings) if s.wave.state is WaveState.PENDING]
    under_way = [at for at in range(len(standings)) if at not in {*ended, *pending}]
    shown = {*ended[-2:], *under_way[:2], *under_way[-2:], *pending[:2], len(standings) - 1}
    return [s for at, s in enumerate(standings) if at in shown]


@dataclass(frozen=True, slots=True)
class Alike:
    """One segment, and how far its members are."""

    segment: Segment
    tally: Tally
    tones: Mapping[str, int]
    waiting: int
    """Its members that are not told yet."""
    finding: Finding | None
    """What a judge by e-values says of it."""

    @property
    def failed(self) -> str:
        """`9 of 31`: of those whose update has ended."""
        return f"{number(self.tally.failures)} of {number(self._ended)}"

    @property
    def _ended(self) -> int:
        return self.tally.of(State.SUCCEEDED, *FAILURES)

    @property
    def badness(self) -> tuple[bool, float, int]:
        """The held ones come first, then those that the most speaks against."""
        against = self.finding.log_e if self.finding else self.tally.failures / max(1, self._ended)
        return not self.segment.held, -against, self.segment.index


def alike(progress: Progress, ruling: Ruling) -> list[Alike]:
    """How far each segment is, held ones and bad ones first; none where there is one that nobody holds."""
    segments = progress.rollout.segments
    if len(segments) < 2 and not progress.rollout.held:
        return []
    tallies = [progress.evidence.segment(segment.index) for segment in segments]
    findings = {finding.segment: finding for finding in ruling.findings}
    found = [
        Alike(s, t, tones(t), t.of(State.SCHEDULED), findings.get(s.index))
        for s, t in zip(segments, tallies, strict=True)
    ]
    return sorted(found, key=lambda one: one.badness)


def exposed(tally: Tally) -> int:
    """Members that were told: whoever may have taken it."""
    return tally.of(*OPEN, State.SUCCEEDED, *BAD)


def forecast(progress: Progress, now: datetime) -> datetime | None:
    """When the last of those who are not held back may have ended, at the pace so far; None where nothing tells."""
    rollout, going = progress.rollout, progress.evidence.without(progress.rollout.held).whole
    ended, left = going.of(*FINAL), going.of(*OPEN, State.SCHEDULED)
    if rollout.state is not RolloutState.RUNNING or rollout.started_at is None or not left:
        return None
    waits = rollout.wave is not None and rollout.wave.state is WaveState.PENDING  # its pace is another one then
    if (
        waits
        or rollout.superseded_by is not None
        or ended < max(FEW, LITTLE * going.members)
        or now - rollout.started_at < SOON
    ):
        return None
    try:
        return now + (now - rollout.started_at) * (left / ended)
    except OverflowError:
        return None


FEW, LITTLE = 5, 0.02
"""So many members, and such a share of them, have to have ended before their pace tells anything."""
SOON = timedelta(minutes=10)
"""Nor does it before so much time has gone by."""


def percent(value: float) -> str:
    """A threshold as it was written: 90%, 99.5%."""
    return share(value, _digits(value))


def _digits(value: float) -> int:
    return next((digits for digits in range(4) if abs(round(value * 100, digits) - value * 100) < 1e-9), 4)


@dataclass(frozen=True, slots=True)
class Why:
    """Why a rollout is where it is, in a sentence. `at` is the time it speaks of."""

    tone: Tone
    words: str
    at: datetime | None = None


def why(progress: Progress, ruling: Ruling) -> Why:
    """Why a rollout is where it is."""
    rollout = progress.rollout
    match rollout.state:
        case RolloutState.RUNNING:
            return _running(progress, ruling)
        case RolloutState.AWAITING_APPROVAL:
            return Why(Tone.HELD, f"Nobody is offered anything until it is approved; {_author(rollout)} planned it")
        case RolloutState.SCHEDULED if rollout.policy.after is not None:
            return Why(Tone.IDLE, rollout.reason or f"It starts when rollout {rollout.policy.after} has finished well")
        case RolloutState.SCHEDULED:
            return Why(Tone.IDLE, "It starts by itself", rollout.start_at)
        case RolloutState.PAUSED:
            because = rollout.reason or "no reason was given"
            return Why(Tone.HELD, f"Nobody new is offered the release: {because}")
        case RolloutState.STOPPING:
            left = together(progress).of(*OPEN)
            asked = f"{devices(left)} {'was' if left == 1 else 'were'} asked to cancel" if left else "Nobody is left"
            return Why(Tone.HELD, asked + (f": {rollout.reason}" if rollout.reason else ""))
        case RolloutState.STOPPED:
            return Why(Tone.FAILED, f"Stopped for good: {rollout.reason or 'no reason was given'}")
        case RolloutState.FINISHED:
            ended = {"": "Every device has ended", "expired": "It expired: who was not reached was skipped"}
            return Why(Tone.DONE, ended.get(rollout.reason, rollout.reason.capitalize()))
        case _:
            return Why(Tone.IDLE, "Nobody is offered anything until it is started")


def _author(rollout: Rollout) -> str:
    return actor(rollout.created_by) if rollout.created_by else "somebody"


@dataclass(frozen=True, slots=True)
class Ordering:
    """What an order to install would do, of a rollout that only downloads until then."""

    holding: int
    """Devices that have downloaded it."""
    others: int
    """Those that have not ended, and have not downloaded it yet."""
    wave: Wave | None
    """The wave that opens with it, where it is not the only one."""
    given: str
    """The order as it stands; empty where there is none."""
    fixed: bool
    """Whether its moment has come."""


def ordering(progress: Progress, now: datetime) -> Ordering | None:
    """What an order to install would do; None where the rollout waits for none."""
    rollout = progress.rollout
    if not installable(rollout):
        return None
    whole, wave = together(progress), rollout.wave
    opens = wave if wave is not None and len(rollout.waves) > 1 and wave.state is WaveState.PENDING else None
    others = whole.of(State.SCHEDULED, State.AWAITING_CONSENT, State.POSTPONED, State.OFFERED, State.DOWNLOADING)
    given = "" if rollout.install is None else rollout.install.words(now)
    return Ordering(progress.holding, others, opens, given, settled(rollout, now))


def _unordered(progress: Progress) -> Why:
    """Of a rollout that only downloads, before its order to install has come true."""
    held, size, install = progress.holding, progress.rollout.size, progress.rollout.install
    said = f"{number(held)} of {number(size)} {'has' if held == 1 else 'have'} downloaded it"
    if install is None:
        return Why(Tone.HELD, f"{said}; nobody installs it before that is ordered")
    return Why(Tone.IDLE, f"{said}; it is installed", install.at)


def _running(progress: Progress, ruling: Ruling) -> Why:
    rollout = progress.rollout
    wave = rollout.wave
    if rollout.superseded_by is not None and (last := waiting(rollout, ruling)) is not None:
        return Why(Tone.BUSY, last.words)
    if rollout.policy.download_only and (wave is not None and wave.state is WaveState.PENDING and not wave.index):
        return _unordered(progress)
    if len(rollout.waves) < 2 and rollout.policy.rule is None and rollout.policy.sequential is None:
        return Why(Tone.BUSY, _simple(progress))
    if wave is None:
        return Why(
            Tone.BUSY,
            f"Every wave has passed; {devices(_left(progress))} {'has' if _left(progress) == 1 else 'have'} not ended",
        )
    if (waits := waiting(rollout, ruling)) is not None:
        return Why(_WAITS.get(waits.what, Tone.BUSY), waits.words, waits.until)
    tally = progress.tallies.get(wave.index, _NOBODY)
    name = f"Wave {wave.index + 1} of {len(rollout.waves)}" if len(rollout.waves) > 1 else "It"
    return Why(Tone.BUSY, f"{name} is open: {counted_words(tally)}")


_WAITS = {For.APPROVAL: Tone.HELD, For.WATCH: Tone.TRIAL}


@dataclass(frozen=True, slots=True)
class Waits:
    """What a rollout that runs waits for."""

    untold: int
    under_way: int
    silent: int
    """Of both, those that have missed polls or never polled."""
    named: Sequence[DeviceId]
    """Some of those."""
    more: bool
    """There may be more silent ones than were counted."""

    @property
    def words(self) -> str:
        """All of it but the silent ones."""
        parts = [f"{devices(self.untold)} {_are(self.untold)} still to be told at the next poll"] if self.untold else []
        parts += [f"{devices(self.under_way)} {_are(self.under_way)} under way"] if self.under_way else []
        return ", ".join(parts)


def awaited(progress: Progress) -> tuple[Wave | None, Tally] | None:
    """The open wave and its members, or where every wave has passed all members; None where nobody is waited for."""
    rollout = progress.rollout
    if rollout.state is not RolloutState.RUNNING:
        return None
    wave = None if rollout.superseded_by is not None else rollout.wave
    tally = together(progress) if wave is None else progress.tallies.get(wave.index, _NOBODY)
    open_one = wave is None or wave.state is WaveState.OPEN
    return (wave, tally) if open_one and tally.of(*OPEN, State.SCHEDULED) else None


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _simple(progress: Progress) -> str:
    size, tally = progress.rollout.size, together(progress)
    ended, waiting, held = tally.of(*FINAL), tally.of(State.SCHEDULED), progress.holding
    under_way = tally.of(*OPEN) - held
    parts = [f"{number(ended)} of {number(size)} {'has' if ended == 1 else 'have'} ended"]
    parts += [f"{number(under_way)} {_are(under_way)} under way"] if under_way else []
    if held:
        parts.append(f"{number(held)} {'has' if held == 1 else 'have'} downloaded it and not been told to install it")
    if waiting:
        parts.append(f"{number(waiting)} {'waits for its' if waiting == 1 else 'wait for their'} next poll")
    return f"Offered to everybody at once; {', '.join(parts)}"


def _left(progress: Progress) -> int:
    return together(progress).of(*OPEN, State.SCHEDULED)


def devices(count: int) -> str:
    """`1 device`, `12,430 devices`."""
    return f"{number(count)} {'device' if count == 1 else 'devices'}"


def resumed(rollout: Rollout) -> str:
    """What resuming does."""
    failed = next((w for w in rollout.waves if w.state is WaveState.FAILED), None)
    if failed is None:
        return "It goes on where it was: devices of open waves are offered the release at their next poll."
    words = f"Wave {failed.index + 1} failed: {failed.reason}. Resuming overrules it by your word: it is not judged any more"
    following = next((w for w in rollout.waves if w.state is WaveState.PENDING), None)
    if following is None:
        return f"{words}, and its devices go on."
    return f"{words}, and wave {following.index + 1} opens with {devices(following.size)}."


def taken(progress: Progress) -> bool:
    """Whether some may run what it brought, and could be brought back: a trial that was cut short ends as cancelled."""
    may = together(progress).of(State.SUCCEEDED, State.ON_TRIAL, State.FAILED, State.SILENT, State.CANCELLED)
    return may > 0 and progress.rollout.started_at is not None and progress.rollout.rolls_back is None
