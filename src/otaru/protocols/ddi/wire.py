"""The JSON shapes of DDI v1, one definition for both ends. Unknown members are ignored, as every DDI client does."""

from typing import Any

import msgspec

from otaru.protocols.ddi.words import Answer, Execution, Finished, Handling, Window


class Link(msgspec.Struct, frozen=True):
    """`{"href": …}`."""

    href: str


class Polling(msgspec.Struct, frozen=True):
    """`sleep` is HH:MM:SS, always eight characters (Zephyr)."""

    sleep: str


class Config(msgspec.Struct, frozen=True):
    """What a device is told about polling."""

    polling: Polling


class RootLinks(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """Only what is due."""

    config_data: Link | None = None
    deployment_base: Link | None = None
    cancel_action: Link | None = None
    confirmation_base: Link | None = None
    installed_base: Link | None = None


class Root(msgspec.Struct, frozen=True, omit_defaults=True):
    """The poll's answer."""

    config: Config
    links: RootLinks = msgspec.field(name="_links", default=RootLinks())


class Hashes(msgspec.Struct, frozen=True):
    """Zephyr needs sha256, SWUpdate and rauc-hawkbit-updater sha1."""

    sha1: str = ""
    md5: str = ""
    sha256: str = ""


class FileLinks(msgspec.Struct, frozen=True, omit_defaults=True):
    """SWUpdate takes either download link, Zephyr only the second."""

    download: Link | None = None
    download_http: Link | None = msgspec.field(name="download-http", default=None)
    md5sum: Link | None = None
    md5sum_http: Link | None = msgspec.field(name="md5sum-http", default=None)


class File(msgspec.Struct, frozen=True):
    """An artifact."""

    filename: str
    hashes: Hashes
    size: int
    links: FileLinks = msgspec.field(name="_links")


class Metadata(msgspec.Struct, frozen=True):
    """A word on a software module, as hawkBit shows those that targets may see."""

    key: str
    value: str


class Chunk(msgspec.Struct, frozen=True, omit_defaults=True):
    """A software module. All three names are needed: without one SWUpdate loops in silence."""

    part: str
    version: str
    name: str
    artifacts: list[File]
    metadata: list[Metadata] | None = None


class Order(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The inside of a deployment."""

    download: Handling
    update: Handling
    chunks: list[Chunk]
    maintenance_window: Window | None = None


class History(msgspec.Struct, frozen=True):
    """What was reported before."""

    status: str
    messages: list[str]


class Deployment(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """deploymentBase and installedBase."""

    id: str
    deployment: Order
    action_history: History | None = None


class Confirmation(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """A deployment that waits for consent."""

    id: str
    confirmation: Order
    action_history: History | None = None


class Stop(msgspec.Struct, frozen=True, rename="camel"):
    """What is to be cancelled: the same id as the cancel action's own (rauc-hawkbit-updater reports to this one)."""

    stop_id: str


class Cancel(msgspec.Struct, frozen=True, rename="camel"):
    """cancelAction."""

    id: str
    cancel_action: Stop


class AutoConfirm(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """The standing yes; `activated_at` in milliseconds since 1970."""

    active: bool
    initiator: str | None = None
    remark: str | None = None
    activated_at: int | None = None


class ConfirmationLinks(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel"):
    """What may be done about consent now."""

    activate_auto_confirm: Link | None = None
    deactivate_auto_confirm: Link | None = None
    confirmation_base: Link | None = None


class ConfirmationBase(msgspec.Struct, frozen=True, rename="camel"):
    """Consent: the standing yes, and what waits."""

    auto_confirm: AutoConfirm
    links: ConfirmationLinks = msgspec.field(name="_links")


class Result(msgspec.Struct, frozen=True, omit_defaults=True):
    """`finished` is needed, as in hawkBit; `progress` is taken as it comes."""

    finished: Finished
    progress: Any = None


class Status(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a device says. `details` is a list of strings in the contract; a lone string is understood."""

    execution: Execution
    result: Result
    code: Any = None
    details: Any = None


class Feedback(msgspec.Struct, frozen=True, omit_defaults=True):
    """`id` may be a number, a string or missing: the URL says which action it is about."""

    status: Status
    id: Any = None
    time: Any = None
    timestamp: Any = None


class Attributes(msgspec.Struct, frozen=True, omit_defaults=True):
    """configData; `id`, `time` and `status` of older clients are ignored. No mode means merge."""

    data: dict[str, Any]
    mode: Any = None


class Consent(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to a deployment that waits."""

    confirmation: Answer
    code: Any = None
    details: Any = None


class Standing(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of activateAutoConfirm."""

    initiator: str | None = None
    remark: str | None = None


class Running(msgspec.Struct, frozen=True):
    """What a device says it runs, in hawkBit's words a distribution set."""

    name: str
    version: str
