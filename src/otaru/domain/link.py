"""What a device and its server say to one another on the native road, whatever carries it.

The server says what is due (`Told`): at most one offer, or one order to cancel, and when to ask again. The device says how
it goes (`Note`): each with an id of its own, so that it counts once however often it is sent.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from otaru.domain.deployment import Event, State
from otaru.domain.errand import Asked, Monitoring
from otaru.domain.ids import ActionId, ProductName, RolloutId, Sha256, Version
from otaru.domain.terms import UpdateType
from otaru.domain.urgency import Urgency

MAX_NOTES = 100
"""In one batch."""
MAX_INSTALLED = 50
MAX_HAD = 16
"""Files that a device may say that it has."""

SPOKEN = frozenset(
    {
        Event.DOWNLOAD,
        Event.DOWNLOAD_DONE,
        Event.INSTALL,
        Event.REBOOT,
        Event.SUCCEED,
        Event.FAIL,
        Event.REVERT,
        Event.REJECT,
        Event.REFUSE,
        Event.CANCEL_DONE,
        Event.CANCEL_REFUSED,
    }
)
"""What a device may say of an action beside progress in words. Yes, later and no of its owner are said by `Answer`."""


class Answer(StrEnum):
    """What a device's owner says to an offer that waits for consent."""

    APPROVE = "approve"
    POSTPONE = "postpone"
    REJECT = "reject"


class Asking(StrEnum):
    """Where the consent to an offer stands, where anybody is asked."""

    ASKED = "asked"
    POSTPONED = "postponed"
    GIVEN = "given"


@dataclass(frozen=True, slots=True)
class Consent:
    """How consent to an offer stands."""

    state: Asking
    until: datetime | None = None
    """Postponed until then."""
    automatic_at: datetime | None = None
    """When silence becomes a yes."""
    postponements: int = 0
    """How often it may still be put off."""
    longest: timedelta = timedelta(0)
    """How far off, each time."""


@dataclass(frozen=True, slots=True)
class Patch:
    """Another way for a file's bytes to come: what makes it from a file that the device has."""

    source: Sha256
    """Of the file that it leads from."""
    form: str
    """How it is written: `zstd-patch`, `sequential-lzma` (docs/deltas.md)."""
    sha256: Sha256
    size: int
    memory: int
    """Bytes of memory that applying it takes."""
    addresses: tuple[str, ...]
    path: str | None = None
    """Its target path in the image repository; None where it is no target: then only its result is signed."""


@dataclass(frozen=True, slots=True)
class File:
    """A file of an offer. What it has to be is what metadata signs of it; this says where it is."""

    component: str
    hardware: str
    filename: str
    size: int
    sha256: Sha256
    installer: str
    addresses: tuple[str, ...]
    """To be tried in this order; the last one is the server's own."""
    patches: tuple[Patch, ...] = ()


@dataclass(frozen=True, slots=True)
class Opening:
    """How a maintenance window stands for a device."""

    is_open: bool
    closes_at: datetime | None = None
    opens_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Offer:
    """What a device is to install."""

    action: ActionId
    rollout: RolloutId
    product: ProductName
    version: Version
    type: UpdateType
    files: tuple[File, ...]
    urgency: Urgency = Urgency.FORCED
    forced_at: datetime | None = None
    """From then on a soft one is forced."""
    notes: str = ""
    consent: Consent | None = None
    """None: nobody is asked."""
    conditions: tuple[str, ...] = ()
    """What has to hold before it begins, as `domain.conditions` reads it."""
    window: Opening | None = None
    takes: timedelta = timedelta(0)
    """How long an installation is said to take: so much of the window has to be left."""
    validate: timedelta = timedelta(0)
    """How long the new version is on trial after its success was reported."""
    hold: bool = False
    """Download it, and install it only once the offer says so no more."""

    @property
    def may_begin(self) -> bool:
        """Whether nobody's yes is waited for."""
        return self.consent is None or self.consent.state is Asking.GIVEN


@dataclass(frozen=True, slots=True)
class Taking:
    """What a device says of the patches that it can take."""

    forms: tuple[str, ...]
    memory: int
    """Bytes that applying one may take."""
    has: tuple[Sha256, ...] = ()
    """What it has to start from; without any the server goes by the versions that the device has reported."""


@dataclass(frozen=True, slots=True)
class Told:
    """The answer to a poll."""

    poll_after: timedelta
    offer: Offer | None = None
    cancel: ActionId | None = None
    """This one is called off: stop it where that is possible, and say what became of it."""
    describe: bool = False
    """The server wants the device's attributes."""
    errands: tuple[Asked, ...] = ()
    """What the device is asked to do besides."""
    monitoring: Monitoring | None = None
    """What is to be told of its telemetry; None: what the device thinks."""


@dataclass(frozen=True, slots=True)
class Note:
    """What a device says of an action. The same id again is the same note."""

    id: str
    action: ActionId
    event: Event | None = None
    """None: only words, or progress."""
    code: str = ""
    """Why, in a word: a code of `trust.verify.refusals` or of the device's own."""
    text: tuple[str, ...] = ()
    done: int | None = None
    """Bytes or steps, of `of`."""
    of: int | None = None
    at: datetime | None = None
    """By the device's clock: recorded, never trusted."""

    @property
    def is_progress(self) -> bool:
        """Whether it is only that: it may be lost where there is no room."""
        return self.event is None


@dataclass(frozen=True, slots=True)
class Batch:
    """Notes in their order, and what runs in each component now, where the device says it."""

    notes: tuple[Note, ...] = ()
    installed: Mapping[str, Version] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a note."""

    id: str
    state: State | None
    """Of the action after it; None: the server knows no such action, and will not."""
