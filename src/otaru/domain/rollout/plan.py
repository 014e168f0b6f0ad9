"""A rollout with its waves, and the ranking of its members.

Members are ranked once, when the rollout is planned, by `segment` and `Draw`; a wave is a height in that ranking; opening a wave
raises the watermark of each open segment to it, and a member is due when its rank is below its segment's watermark.
So opening a wave of any size costs the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from otaru.domain.device import LOT_PRIME
from otaru.domain.duration import written
from otaru.domain.group import GroupName
from otaru.domain.ids import ProductName, RolloutId, Version
from otaru.domain.rollout.machine import ROLLOUT, RolloutState
from otaru.domain.rollout.policy import Approve, Download, Policy, Share
from otaru.domain.rollout.segment import Segment, Stratum, below, segments
from otaru.domain.schedule import Window
from otaru.errors import NeverDueError


class WaveState(StrEnum):
    """Where a wave is."""

    PENDING = "pending"
    OPEN = "open"
    OBSERVING = "observing"
    PASSED = "passed"
    OVERRULED = "overruled"
    """It failed, and a person resumed the rollout all the same: nobody judges it any more."""
    FAILED = "failed"
    NEVER_OPENED = "never_opened"
    CUT_SHORT = "cut_short"
    """These two are never kept. So a wave is shown that was pending, or under way, when its rollout was superseded or ended."""


@dataclass(frozen=True, slots=True)
class Wave:
    """A height of the watermarks: the members with `start <= rank < height`."""

    index: int
    start: int
    height: int
    state: WaveState = WaveState.PENDING
    opened_at: datetime | None = None
    complete_at: datetime | None = None
    reason: str = ""

    @property
    def size(self) -> int:
        """How many members it has."""
        return self.height - self.start


@dataclass(frozen=True, slots=True)
class Follows:
    """The standing order that made a rollout: which group it keeps on which channel of the rollout's product."""

    group: GroupName
    channel: str


@dataclass(frozen=True, slots=True)
class Install:
    """The order to install what was downloaded: from a moment on, and, with `in_window`, only while the window is open."""

    at: datetime
    in_window: bool = False

    def words(self, now: datetime) -> str:
        """What it orders, in words."""
        if self.in_window:
            return "what was downloaded is installed in the window"
        moment = "now" if self.at <= now else f"at {self.at:%Y-%m-%d %H:%M} UTC"
        return f"what was downloaded is installed {moment}"


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout with its waves and segments."""

    id: RolloutId
    product: ProductName
    version: Version
    target: str
    state: RolloutState
    policy: Policy
    seed: int
    created_at: datetime
    size: int = 0
    waves: tuple[Wave, ...] = ()
    segments: tuple[Segment, ...] = ()
    """By index; one where nothing splits it."""
    name: str = ""
    reason: str = ""
    """Why it is in this state, where somebody or something decided it."""
    start_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    """When it ended; while it is stopping, when it was told to."""
    edition: int = 1
    rolls_back: RolloutId | None = None
    """The rollout whose devices this one brings back."""
    install: Install | None = None
    """The order to install, of a rollout that only downloads until there is one."""
    created_by: str = ""
    """Who planned it, as the record names them; empty where that was not kept yet."""
    follows: Follows | None = None
    superseded_by: RolloutId | None = None
    """The rollout of a newer release that has taken its place: it tells nobody new, and is judged no more."""

    @property
    def watermark(self) -> int:
        """Members with a rank below it are due, as far as their segment is open."""
        return max((w.height for w in self.waves if w.state is not WaveState.PENDING), default=0)

    @property
    def wave(self) -> Wave | None:
        """The wave under way: the first that has neither passed nor been overruled."""
        return next((w for w in self.waves if w.state not in {WaveState.PASSED, WaveState.OVERRULED}), None)

    @property
    def unapproved(self) -> Wave | None:
        """The wave that opens when somebody approves it; the start is not one of them."""
        if self.policy.approve is not Approve.WAVES or self.state is not RolloutState.RUNNING:
            return None
        if self.superseded_by is not None:
            return None
        wave = self.wave
        return wave if wave is not None and wave.index and wave.state is WaveState.PENDING else None

    def shown_state(self, wave: Wave) -> WaveState:
        """The state of one of its waves as people are told: nobody opens or judges one of a rollout that tells nobody any more."""
        if self.is_live:
            return wave.state
        over = {
            WaveState.PENDING: WaveState.NEVER_OPENED,
            WaveState.OPEN: WaveState.CUT_SHORT,
            WaveState.OBSERVING: WaveState.CUT_SHORT,
        }
        return over.get(wave.state, wave.state)

    def may_install(self, now: datetime) -> bool:
        """Whether members whose wave is open are told to install it, or wait for the order to."""
        return not self.policy.download_only or (self.install is not None and now >= self.install.at)

    @property
    def install_window(self) -> Window | None:
        """The window in which members are told to install; None: at any time."""
        if self.policy.download_only and (self.install is None or not self.install.in_window):
            return None
        return self.policy.window

    @property
    def download_window(self) -> Window | None:
        """The window in which members are told of it; None: at any time."""
        return self.policy.window if self.policy.download is Download.IN_WINDOW else None

    def joins(self, now: datetime) -> bool:
        """Whether devices that come to match become members now."""
        end = self.policy.end_at
        goes_on = self.state is RolloutState.RUNNING and self.superseded_by is None
        return self.policy.continuous and goes_on and (end is None or now < end)

    @property
    def is_live(self) -> bool:
        """Whether it tells devices of its release, or will: it has not ended, is not ending and is not superseded."""
        ending = self.state in ROLLOUT.final or self.state is RolloutState.STOPPING
        return not ending and self.superseded_by is None

    @property
    def finished_well(self) -> bool:
        """Whether every wave has passed, by its judge or by a person's word, and no segment was left behind."""
        passed = {WaveState.PASSED, WaveState.OVERRULED}
        return self.state is RolloutState.FINISHED and not self.held and all(w.state in passed for w in self.waves)

    @property
    def held(self) -> frozenset[int]:
        """The segments that are held."""
        return frozenset(s.index for s in self.segments if s.held)

    @property
    def all_held(self) -> bool:
        """Whether every segment is held, so that nothing can go on."""
        return bool(self.segments) and all(s.held for s in self.segments)

    @property
    def expires_at(self) -> datetime | None:
        """When unreached members are given up."""
        if self.started_at is None or self.policy.expires_after is None:
            return None
        return self.started_at + self.policy.expires_after


def layout(policy: Policy, members: int) -> tuple[Wave, ...]:
    """The waves of a rollout with so many members: heights never fall, empty waves are left out, the last holds all."""
    waves: list[Wave] = []
    start = 0
    shares = (*policy.waves, Share(100, percent=True))
    for share in shares:
        height = max(share.of(members), start)
        if height > start:
            waves.append(Wave(index=len(waves), start=start, height=height))
            start = height
    return tuple(waves)


def laid_out(rollout: Rollout, strata: Sequence[Stratum]) -> Rollout:
    """A rollout that is planned, with the size, waves and segments that its members make; as it is without any."""
    if not strata:
        return rollout
    size, alike = sum(stratum.size for stratum in strata), segments(rollout.policy.split, strata)
    return replace(rollout, size=size, waves=layout(rollout.policy, size), segments=alike)


def cells(rollout: Rollout, strata: Sequence[Stratum]) -> dict[tuple[int, int], int]:
    """How many members each segment has in each wave, of a rollout that is laid out."""
    found: dict[tuple[int, int], int] = {}
    before = (0,) * len(strata)
    for wave in rollout.waves:
        reached = below(strata, wave.height)
        sizes = ((segment, then - now) for segment, (now, then) in enumerate(zip(before, reached, strict=True)))
        found |= {(segment, wave.index): size for segment, size in sizes if size}
        before = reached
    return found


def check_end(rollout: Rollout) -> None:
    """Check that a rollout that is laid out can come to its end.

    Raises:
        NeverDueError: its last wave could not open before it expires.
    """
    expires, watched = rollout.policy.expires_after, rollout.policy.observe * (len(rollout.waves) - 1)
    if expires is not None and rollout.waves and watched >= expires:
        waves = f"{len(rollout.waves)} waves, each watched for {written(rollout.policy.observe.total_seconds())}"
        raise NeverDueError(
            f"the rollout expires after {written(expires.total_seconds())}, before its last wave could open: it has {waves}",
            hint="Let it expire later, watch its waves for less time, or have fewer.",
        )


def joined(rollout: Rollout, members: int) -> Rollout:
    """A rollout that more members have joined: in its last wave, behind all others."""
    *waves, last = rollout.waves
    *alike, own = rollout.segments
    return replace(
        rollout,
        size=rollout.size + members,
        waves=(*waves, replace(last, height=last.height + members)),
        segments=(*alike, replace(own, size=own.size + members)),
        edition=rollout.edition + 1,
    )


@dataclass(frozen=True, slots=True)
class Draw:
    """The ranking of a rollout: members in the order of `key`, ties by device id.

    A linear congruence modulo a prime permutes the lots; a and b come from the rollout's seed, so asked again the
    ranking is the same, and every SQL engine can compute it without a function of ours.
    """

    a: int
    b: int

    def key(self, lot: int) -> int:
        """Where a device with this lot stands among all."""
        return (lot * self.a + self.b) % LOT_PRIME


def draw(seed: int) -> Draw:
    """The ranking that belongs to a rollout's seed (0 <= seed < 2^62)."""
    return Draw(a=1 + seed % (LOT_PRIME - 1), b=(seed // (LOT_PRIME - 1)) % LOT_PRIME)
