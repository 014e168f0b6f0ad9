"""How a simulated device behaves: pure, and the same each time the same seed is asked.

Nothing here waits, sends or counts. Everything a device will do is drawn before it does it, from a generator seeded
with (seed, device) for what the device *is* and (seed, device, action) for what one update will be like. So the story
of a device does not depend on how fast the machine is, on how often it polled before its wave opened, or on what the
other devices do; a retry, which has a new action id, is a new story.

An update is a list of steps that the driver (`device.py`) goes through; cancelling it and wrong bytes are the only
things that break it off, since they are the server's part of the story and not ours to draw.

All times are virtual seconds.
"""

from bisect import bisect
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import accumulate
from random import Random
from typing import Protocol

from otaru.domain.device import Hardware


@dataclass(frozen=True, slots=True)
class Odds:
    """How likely what is, as shares between 0 and 1."""

    fail: float = 0.0
    """An update fails, whatever the hardware and the version."""
    loss: float = 0.0
    """A request, or the answer to it, gets lost; a download breaks off in one of its quarters."""
    flaky: float = 0.0
    """A device is flaky: it loses more, and is offline for minutes now and then."""
    by_version: Mapping[str, float] = field(default_factory=dict)
    """An update to this version fails: `version`, or `version@hardware` with the hardware as in `by_hardware`."""
    by_hardware: Mapping[str, float] = field(default_factory=dict)
    """An update fails on this hardware: `model`, `model:revision` or only `revision`."""

    def failing(self, version: str, hardware: Hardware) -> float:
        """The highest chance of failure that applies."""
        names = (hardware.model, hardware.revision, str(hardware))
        versions = (version, *(f"{version}@{name}" for name in names))
        chances = (*(self.by_version.get(v, 0.0) for v in versions), *(self.by_hardware.get(n, 0.0) for n in names))
        return max(self.fail, *chances)


FLAKY_LOSS = 0.3
"""What a flaky device loses at least."""
FLAKY_SPELL = 0.05
"""The chance that a flaky device is offline for a while after a poll."""


@dataclass(frozen=True, slots=True)
class Character:
    """What a device is, for all its life."""

    hardware: Hardware
    phase: float
    """Where in the first polling interval it comes up, 0 to 1."""
    pace: float
    """Everything takes it this many times as long as the others."""
    flaky: bool


def character(seed: int, device: str, hardware: Sequence[tuple[Hardware, float]], odds: Odds) -> Character:
    """Draw what a device is; `hardware` comes with weights, and is not empty."""
    random = Random(f"{seed}/{device}")  # noqa: S311 - a story, not a secret
    weights = list(accumulate(weight for _, weight in hardware))
    chosen = min(bisect(weights, random.random() * weights[-1]), len(hardware) - 1)
    return Character(
        hardware=hardware[chosen][0],
        phase=random.random(),
        pace=random.lognormvariate(0.0, 0.35),
        flaky=random.random() < odds.flaky,
    )


def poll_lost(seed: int, device: str, number: int, me: Character, odds: Odds) -> float:
    """For the device's so-manyth poll while idle: how long it is offline instead of polling; 0 where it polls.

    One lost poll costs a minute, until the device's client tries again; a flaky device's spell lasts some minutes.
    """
    if not odds.loss and not me.flaky:
        return 0.0
    random = Random(f"{seed}/{device}/poll/{number}")  # noqa: S311
    if me.flaky and random.random() < FLAKY_SPELL:
        return random.uniform(120, 900)
    return 60.0 if random.random() < odds.loss else 0.0


class End(StrEnum):
    """How an update ends."""

    SUCCESS = "success"
    INSTALL_FAILS = "install_fails"
    """Before the reboot: the old firmware never stopped."""
    BOOT_FAILS = "boot_fails"
    """After the reboot: the device is back on its old firmware."""


class Loss(StrEnum):
    """What gets lost of a report."""

    NOTHING = "nothing"
    REQUEST = "request"
    """It never arrives, and is sent again."""
    ANSWER = "answer"
    """It arrives, the device does not learn it, and says the same again."""


INSTALL_WORDS = (
    "Cannot write slot B: input/output error at block 1184.",
    "Not enough free space in slot B.",
    "Installer stopped: post-install script returned 3.",
)
BOOT_WORDS = (
    "The new firmware did not come up within 60 s; went back to slot A.",
    "Watchdog reset 4 s after boot; went back to slot A.",
    "Health check failed: USB controller does not enumerate; went back to slot A.",
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What one update will be like."""

    end: End
    words: str
    """The device's last words on it."""
    download_s: float
    breaks: tuple[float, ...]
    """Shares of the file after which the connection breaks, rising."""
    offline_s: float
    """How long the device is gone between download and installation."""
    install_s: float
    reboot_s: float
    losses: tuple[Loss, ...]
    """What gets lost of its first, second … report."""


REPORTS = 5
"""The most reports that an update's steps hold."""


def fate(seed: int, device: str, action: int, version: str, me: Character, odds: Odds) -> Fate:
    """Draw what the device's update `action` to `version` will be like."""
    random = Random(f"{seed}/{device}/{action}")  # noqa: S311
    # One draw per question, asked or not, so that changing one chance leaves the rest of the story as it was.
    fails = random.random() < odds.failing(version, me.hardware)
    at_boot, word = random.random() < 0.6, random.random()
    loss = max(odds.loss, FLAKY_LOSS) if me.flaky else odds.loss
    breaks = tuple((n + random.random()) / 4 for n in range(4) if random.random() < loss)
    offline = random.uniform(120, 600) if random.random() < 0.3 else 0.0
    spans = [me.pace * random.uniform(low, high) for low, high in ((15, 45), (20, 60), (15, 30))]
    losses = tuple(_loss(random, loss) for _ in range(REPORTS))
    if not fails:
        end, words = End.SUCCESS, f"Installed {version}."
    elif at_boot:
        end, words = End.BOOT_FAILS, BOOT_WORDS[int(word * len(BOOT_WORDS))]
    else:
        end, words = End.INSTALL_FAILS, INSTALL_WORDS[int(word * len(INSTALL_WORDS))]
    return Fate(
        end=end,
        words=words,
        download_s=spans[0],
        breaks=breaks,
        offline_s=offline if me.flaky else 0.0,
        install_s=spans[1],
        reboot_s=spans[2],
        losses=losses,
    )


def _loss(random: Random, chance: float) -> Loss:
    lost, how = random.random() < chance, random.random()
    if not lost:
        return Loss.NOTHING
    return Loss.REQUEST if how < 0.5 else Loss.ANSWER


class Word(StrEnum):
    """What a device says of an update; the driver finds the road's own words for it."""

    DOWNLOADING = "downloading"
    DOWNLOADED = "downloaded"
    INSTALLING = "installing"
    REBOOTING = "rebooting"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Say:
    """Report, with a sentence; `loss` of it gets lost the first time."""

    word: Word
    sentence: str
    loss: Loss


@dataclass(frozen=True, slots=True)
class Load:
    """Download up to this share of the file, which takes so long; `breaks`: the connection breaks there."""

    until: float
    takes_s: float
    breaks: bool


@dataclass(frozen=True, slots=True)
class Rest:
    """Do nothing visible for so long."""

    span_s: float
    why: str


@dataclass(frozen=True, slots=True)
class Ask:
    """Poll, and go on only if this update is still wanted."""


@dataclass(frozen=True, slots=True)
class Check:
    """Check the bytes that came against the digests that were announced."""


@dataclass(frozen=True, slots=True)
class Restart:
    """Forget the session and come up again after so long, on the new firmware if `new`."""

    span_s: float
    new: bool


Step = Say | Load | Rest | Ask | Check | Restart

RETRY_S = 10.0
"""How long a device waits before it takes up a broken download or repeats a report."""


class Life(Protocol):
    """What happens to one device, whatever tells it: all times are virtual seconds."""

    def comes_up_s(self) -> float:
        """How long after the fleet's beginning the device polls first."""
        ...

    def away_s(self, poll: int) -> float:
        """How long it is away instead of making its so-manyth poll; 0 where it polls."""
        ...

    def until_next_s(self, poll: int, told_s: float) -> float:
        """How long after its so-manyth poll it makes the next, where the server told it to come after `told_s`."""
        ...

    def steps(self, action: int, version: str) -> Iterator[Step]:
        """What its update `action` will be like."""
        ...

    def gone(self) -> bool:
        """Whether nobody will hear of it again."""
        ...


@dataclass(frozen=True, slots=True)
class PlainLife:
    """The life that `Odds` give; it follows the server's polling interval."""

    seed: int
    device: str
    me: Character
    odds: Odds
    stagger_s: float

    def comes_up_s(self) -> float:
        """See `Life`."""
        return self.me.phase * self.stagger_s

    def away_s(self, poll: int) -> float:
        """See `Life`."""
        return poll_lost(self.seed, self.device, poll, self.me, self.odds)

    def until_next_s(self, poll: int, told_s: float) -> float:
        """See `Life`."""
        del poll
        return told_s

    def steps(self, action: int, version: str) -> Iterator[Step]:
        """See `Life`."""
        return update(fate(self.seed, self.device, action, version, self.me, self.odds), version)

    def gone(self) -> bool:
        """See `Life`."""
        return False


def update(fated: Fate, version: str) -> Iterator[Step]:
    """The steps of one update, in order. It ends with the report that closes the action."""
    losses = iter(fated.losses)

    def say(word: Word, sentence: str) -> Say:
        return Say(word, sentence, next(losses))

    yield say(Word.DOWNLOADING, f"Downloading {version}.")
    begun = 0.0
    for share in fated.breaks:
        yield Load(share, fated.download_s * (share - begun), breaks=True)
        yield Rest(RETRY_S, "connection lost")
        begun = share
    yield Load(1.0, fated.download_s * (1.0 - begun), breaks=False)
    yield Check()
    yield say(Word.DOWNLOADED, "Download complete, checksum right.")
    if fated.offline_s:
        yield Rest(fated.offline_s, "offline")
    yield Ask()
    yield say(Word.INSTALLING, f"Installing {version} in slot B.")
    yield Rest(fated.install_s, "installing")
    if fated.end is End.INSTALL_FAILS:
        yield say(Word.FAILED, fated.words)
        return
    yield say(Word.REBOOTING, "Rebooting into slot B.")
    yield Restart(fated.reboot_s, new=fated.end is End.SUCCESS)
    yield Ask()
    yield say(Word.SUCCEEDED if fated.end is End.SUCCESS else Word.FAILED, fated.words)
