"""The shapes of the native road and their bounds, one definition for both ends.

What a device sends may hold nothing else: a slip shows. What a server sends may hold more than a device knows, which it
ignores: that is how the road grows.
"""

from typing import Annotated

from msgspec import Meta, Struct

from otaru.domain.backup import MAX_SIZE as MAX_BACKUP
from otaru.domain.deployment import MAX_MESSAGE, Event, State
from otaru.domain.device import MAX_ATTRIBUTE_VALUE, MAX_ATTRIBUTES, Merge
from otaru.domain.errand import MAX_OUTPUT, MAX_TOLD
from otaru.domain.errand import State as ErrandState
from otaru.domain.ids import MAX_ACTION
from otaru.domain.link import MAX_INSTALLED, MAX_NOTES, Answer, Asking
from otaru.domain.terms import UpdateType
from otaru.domain.urgency import Urgency

MAX_FILES = 64
MAX_ADDRESSES = 16
MAX_PATCHES = 16
MAX_ADDRESS = 2048
MAX_RELEASE_NOTES = 4096
"""Characters of a release's notes that a device is shown."""
MAX_LINES = 20
LONGEST_S = 3650 * 86_400

Number = Annotated[int, Meta(ge=1, le=MAX_ACTION)]
Size = Annotated[int, Meta(ge=0, le=2**53)]
Seconds = Annotated[int, Meta(ge=0, le=LONGEST_S)]
Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Moment = Annotated[str, Meta(max_length=40)]
"""RFC 3339, in UTC."""
Name = Annotated[str, Meta(max_length=300)]
Address = Annotated[str, Meta(min_length=1, max_length=MAX_ADDRESS)]
Addresses = Annotated[list[Address], Meta(min_length=1, max_length=MAX_ADDRESSES)]
NoteId = Annotated[str, Meta(pattern=r"\A[!-~]{1,64}\Z")]
Code = Annotated[str, Meta(pattern=r"\A[a-z0-9_.-]{0,64}\Z")]
Line = Annotated[str, Meta(max_length=MAX_MESSAGE)]


class Consent(Struct, frozen=True, omit_defaults=True):
    """How consent stands."""

    state: Asking
    until: Moment | None = None
    automatic_at: Moment | None = None
    postponements: Annotated[int, Meta(ge=0, le=1000)] = 0
    longest_s: Seconds = 0


class Patch(Struct, frozen=True, omit_defaults=True, kw_only=True, rename={"source": "from"}):
    """A delta."""

    source: Digest
    form: Annotated[str, Meta(pattern=r"\A[a-z0-9-]{1,32}\Z")]
    sha256: Digest
    size: Size
    memory: Size
    addresses: Addresses
    path: Annotated[str, Meta(min_length=1, max_length=1024)] | None = None


class File(Struct, frozen=True, omit_defaults=True):
    """A file."""

    component: Name
    hardware: Name
    filename: Annotated[str, Meta(min_length=1, max_length=255)]
    size: Size
    sha256: Digest
    installer: Annotated[str, Meta(max_length=128)]
    addresses: Addresses
    patches: Annotated[list[Patch], Meta(max_length=MAX_PATCHES)] = []


class Window(Struct, frozen=True, omit_defaults=True):
    """How a maintenance window stands."""

    open: bool
    closes_at: Moment | None = None
    opens_at: Moment | None = None


class Offer(Struct, frozen=True, omit_defaults=True):
    """What is to be installed."""

    action: Number
    rollout: Annotated[int, Meta(ge=1, le=2**53)]
    product: Name
    version: Name
    type: UpdateType
    files: Annotated[list[File], Meta(min_length=1, max_length=MAX_FILES)]
    urgency: Urgency
    forced_at: Moment | None = None
    notes: Annotated[str, Meta(max_length=MAX_RELEASE_NOTES)] = ""
    consent: Consent | None = None
    conditions: Annotated[list[Annotated[str, Meta(max_length=1024)]], Meta(max_length=64)] = []
    window: Window | None = None
    takes_s: Seconds = 0
    validate_s: Seconds = 0
    hold: bool = False


class Errand(Struct, frozen=True, omit_defaults=True):
    """What a device is asked to do besides."""

    number: Number
    what: Annotated[str, Meta(min_length=1, max_length=32)]
    """A `What`, or of a server that knows more of them."""
    name: Annotated[str, Meta(max_length=128)] = ""
    expires_at: Moment | None = None


class Monitoring(Struct, frozen=True, omit_defaults=True):
    """What is to be told of telemetry."""

    period_s: Seconds | None = None
    off: Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=100)] = []


class Heard(Struct, frozen=True):
    """What became of a note; no state: there is no such action."""

    id: NoteId
    state: State | None


class Told(Struct, frozen=True, omit_defaults=True):
    """The answer to a poll, and to what came with it."""

    poll_after_s: Seconds
    offer: Offer | None = None
    cancel: Number | None = None
    describe: bool = False
    errands: Annotated[list[Errand], Meta(max_length=MAX_TOLD)] = []
    monitoring: Monitoring | None = None
    notes: list[Heard] | None = None


class Kept(Struct, frozen=True):
    """The answer to notes."""

    notes: list[Heard]


class Progress(Struct, frozen=True, forbid_unknown_fields=True):
    """So much of so much."""

    done: Size
    of: Size


class Note(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a device says of an action."""

    id: NoteId
    action: Number
    event: Event | None = None
    code: Code = ""
    text: Annotated[list[Line], Meta(max_length=MAX_LINES)] = []
    progress: Progress | None = None
    at: Moment | None = None


class Batch(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a device says at once."""

    notes: Annotated[list[Note], Meta(max_length=MAX_NOTES)] = []
    installed: Annotated[dict[Name, Name], Meta(max_length=MAX_INSTALLED)] = {}


class Decision(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the owner says to an offer that waits."""

    action: Number
    answer: Answer
    until: Moment | None = None
    reason: Annotated[str, Meta(max_length=500)] = ""


class Decided(Struct, frozen=True):
    """Where the action is after it."""

    state: State


class Description(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a device says of itself."""

    attributes: Annotated[
        dict[Annotated[str, Meta(max_length=128)], Annotated[str, Meta(max_length=MAX_ATTRIBUTE_VALUE)]],
        Meta(max_length=MAX_ATTRIBUTES),
    ]
    mode: Merge = Merge.MERGE


class Went(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a device says of an errand."""

    number: Number
    state: ErrandState
    code: Code = ""
    output: Annotated[str, Meta(max_length=MAX_OUTPUT)] = ""


class Errands(Struct, frozen=True, forbid_unknown_fields=True):
    """What a device says of its errands."""

    errands: Annotated[list[Went], Meta(min_length=1, max_length=MAX_TOLD)]


class Stands(Struct, frozen=True):
    """Where an errand stands; no state: there is no such errand."""

    number: Number
    state: ErrandState | None


class Standing(Struct, frozen=True):
    """The answer to what a device says of its errands."""

    errands: list[Stands]


class Received(Struct, frozen=True):
    """How many bytes of diagnostics, or of a backup, are here."""

    received: Annotated[int, Meta(ge=0, le=MAX_BACKUP)]
