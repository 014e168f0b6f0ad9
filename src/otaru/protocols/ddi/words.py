"""The words of DDI as values, and what a device's words mean on our tables."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

import msgspec

from otaru.domain.deployment import Event, State
from otaru.domain.device import Merge
from otaru.domain.ids import ActionId, ProductName, Version


class Channel(StrEnum):
    """Where a device reports: the resource that its feedback belongs to."""

    DEPLOYMENT = "deploymentBase"
    CANCEL = "cancelAction"


CONDITION = "otaru.require"
"""The key of metadata that names a condition."""
CONFIRMATION = "confirmationBase"
"""The third resource that a device answers to, with words of its own."""


class Execution(StrEnum):
    """What a device says it is doing with an action."""

    CLOSED = "closed"
    PROCEEDING = "proceeding"
    CANCELED = "canceled"
    SCHEDULED = "scheduled"
    REJECTED = "rejected"
    RESUMED = "resumed"
    DOWNLOADED = "downloaded"
    DOWNLOAD = "download"


class Finished(StrEnum):
    """How a device says it ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    NONE = "none"


class Handling(StrEnum):
    """How much say a device has in the moment. `skip` stands where it is to download and not to install yet.

    SWUpdate answers that with success, without downloading or installing anything: so the success of a device that was told
    so is none, and it is told again when it is to install.
    """

    FORCED = "forced"
    ATTEMPT = "attempt"
    SKIP = "skip"


class Window(StrEnum):
    """Whether a maintenance window is open."""

    AVAILABLE = "available"
    UNAVAILABLE = "unavailable"


class Answer(StrEnum):
    """What a device or its owner says to a deployment that waits for consent."""

    CONFIRMED = "confirmed"
    DENIED = "denied"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What a device says of an action."""

    execution: Execution
    finished: Finished
    messages: tuple[str, ...] = ()
    code: int | None = None
    progress: tuple[int, int] | None = None
    """Steps done, and of how many."""
    device_time: str = ""
    """As the device wrote it: recorded, never trusted."""


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a device says of itself (configData)."""

    data: dict[str, str]
    mode: Merge = Merge.MERGE


@dataclass(frozen=True, slots=True)
class Consent:
    """The answer to a deployment that waits for consent."""

    answer: Answer
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """Who asks for a standing yes to every update, and why."""

    initiator: str | None = None
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Running:
    """What a device says it runs."""

    product: ProductName
    version: Version


@dataclass(frozen=True, slots=True)
class Links:
    """Hrefs of what is due; None for what is not."""

    config_data: str | None = None
    deployment_base: str | None = None
    cancel_action: str | None = None
    confirmation_base: str | None = None
    installed_base: str | None = None


@dataclass(frozen=True, slots=True)
class Root:
    """The answer to a poll."""

    polling: timedelta
    links: Links


@dataclass(frozen=True, slots=True)
class File:
    """An artifact as a device sees it."""

    filename: str
    sha256: str
    sha1: str
    md5: str
    size: int
    href: str


@dataclass(frozen=True, slots=True)
class Part:
    """A further component's file, beside the first one."""

    name: str
    file: File


@dataclass(frozen=True, slots=True)
class History:
    """What a device has said of an action, newest first, with where the action is."""

    status: str
    messages: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Deployment:
    """One action: one chunk with one artifact, and one more for each further component where the client takes several."""

    action: ActionId
    download: Handling
    update: Handling
    part: str
    name: str
    version: str
    file: File
    window: Window | None = None
    history: History | None = None
    conditions: tuple[str, ...] = ()
    """What has to hold before it begins, each as it is written in a rollout."""
    more: tuple[Part, ...] = ()


_EVENTS: dict[tuple[Channel, Execution], Event | None] = {
    (Channel.DEPLOYMENT, Execution.PROCEEDING): Event.INSTALL,
    (Channel.DEPLOYMENT, Execution.SCHEDULED): Event.INSTALL,
    (Channel.DEPLOYMENT, Execution.RESUMED): Event.INSTALL,
    (Channel.DEPLOYMENT, Execution.DOWNLOAD): Event.DOWNLOAD,
    (Channel.DEPLOYMENT, Execution.DOWNLOADED): Event.DOWNLOAD_DONE,
    (Channel.DEPLOYMENT, Execution.CANCELED): Event.CANCEL_DONE,
    # hawkBit keeps it as a warning: the device may still go on and close the action either way.
    (Channel.DEPLOYMENT, Execution.REJECTED): Event.REFUSE,
    (Channel.CANCEL, Execution.REJECTED): Event.CANCEL_REFUSED,
    # "canceled" of a cancel order: hawkBit takes it for a device that dropped the order, and asks again.
    (Channel.CANCEL, Execution.CANCELED): None,
    (Channel.CANCEL, Execution.PROCEEDING): None,
    (Channel.CANCEL, Execution.SCHEDULED): None,
    (Channel.CANCEL, Execution.RESUMED): None,
    (Channel.CANCEL, Execution.DOWNLOAD): None,
    (Channel.CANCEL, Execution.DOWNLOADED): None,
}
"""What is not closed. As in hawkBit, `finished` counts only with `closed`."""

_CLOSED = {
    (Channel.DEPLOYMENT, False): Event.SUCCEED,
    (Channel.DEPLOYMENT, True): Event.FAIL,
    (Channel.CANCEL, False): Event.CANCEL_DONE,
    (Channel.CANCEL, True): Event.CANCEL_REFUSED,
}
"""What is closed, by whether it failed. As in hawkBit, `none` is no failure."""


def event(channel: Channel, feedback: Feedback) -> Event | None:
    """What a report means on the deployment table; None where it is only words."""
    if feedback.execution is Execution.CLOSED:
        return _CLOSED[channel, feedback.finished is Finished.FAILURE]
    return _EVENTS[channel, feedback.execution]


def consent_event(answer: Answer) -> Event:
    """What an answer means. A denied deployment waits on, as in hawkBit: it may be confirmed later."""
    match answer:
        case Answer.CONFIRMED:
            return Event.CONSENT
        case Answer.DENIED:
            return Event.POSTPONE


def digest(channel: Channel, feedback: Feedback) -> bytes:
    """The identity of a report: by its content, whatever its JSON looked like or which id stood in it.

    The device's own time belongs to it: a refusal said anew after a second order is another report. A report that is
    sent again because its answer was lost is the same to the letter.
    """
    return _identity(
        channel,
        feedback.execution,
        feedback.finished,
        "" if feedback.code is None else str(feedback.code),
        "" if feedback.progress is None else "{}/{}".format(*feedback.progress),
        feedback.device_time,
        *feedback.messages,
    )


def consent_digest(said: Consent) -> bytes:
    """The identity of an answer to a deployment that waits for consent."""
    return _identity(CONFIRMATION, said.answer, *said.messages)


def _identity(*parts: str) -> bytes:
    # MessagePack says how long each part is: what is cut elsewhere is another report.
    return hashlib.sha256(msgspec.msgpack.encode(parts)).digest()


STATUS: dict[State, str] = {
    State.SCHEDULED: "SCHEDULED",
    State.OFFERED: "RETRIEVED",
    State.AWAITING_CONSENT: "WAIT_FOR_CONFIRMATION",
    State.POSTPONED: "WAIT_FOR_CONFIRMATION",
    State.DOWNLOADING: "DOWNLOAD",
    State.DOWNLOADED: "DOWNLOADED",
    State.INSTALLING: "RUNNING",
    State.REBOOTING: "RUNNING",
    State.ON_TRIAL: "RUNNING",
    State.CANCELLING: "CANCELING",
    State.SUCCEEDED: "FINISHED",
    State.FAILED: "ERROR",
    State.REVERTED: "ERROR",
    State.REJECTED: "ERROR",
    State.CANCELLED: "CANCELED",
    State.SKIPPED: "CANCELED",
    State.SILENT: "ERROR",
}
"""hawkBit's names of an action's states, as `actionHistory` shows them."""
