"""What a DDI server says and hears. Encoders return whole bodies; decoders raise InvalidInputError and nothing else."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import msgspec

from otaru.domain.deployment import MAX_MESSAGE, MAX_MESSAGES
from otaru.domain.device import AutoConfirm, Merge
from otaru.domain.ids import ActionId, DeviceId, TenantId, product_name, version
from otaru.errors import InvalidInputError, TooLargeError
from otaru.protocols.ddi import wire
from otaru.protocols.ddi.lenient import clean, read
from otaru.protocols.ddi.words import (
    CONDITION,
    Attributes,
    Consent,
    Deployment,
    Feedback,
    File,
    Links,
    Part,
    Running,
    Standing,
)

MAX_FEEDBACK = 256 * 1024
"""Bytes of a feedback body. SWUpdate sends up to 48 log lines at once."""
MAX_ATTRIBUTES_BODY = 1024 * 1024
MAX_STANDING = 1024
"""Characters of an initiator or a remark."""

MAX_SLEEP = timedelta(hours=23, minutes=59, seconds=59)

_DOWNLOAD_PATH = 199
"""Characters from `/{tenant}/controller/v1` on that Zephyr has room for."""
_ZEPHYR_PART = "bApp"
"""The part that Zephyr takes. Its parser (2.5 at least) loses its way in an object that it does not know, and the answer
has to fit into its 1100 bytes."""
_SHORT_NAME = "file"
"""Stands in the path for a file name that is too long for it, where an action has one artifact: nothing is lost."""

_encode = msgspec.json.Encoder().encode

_FEEDBACK_FORM = (
    '{"status": {"execution": "closed|proceeding|canceled|scheduled|rejected|resumed|downloaded|download", '
    '"result": {"finished": "success|failure|none"}, "details": ["…"]}}'
)
_ATTRIBUTES_FORM = '{"mode": "merge|replace|remove", "data": {"name": "value"}}'
_CONSENT_FORM = '{"confirmation": "confirmed|denied", "details": ["…"]}'
_RUNNING_FORM = '{"name": "…", "version": "…"}'
_STANDING_FORM = '{"initiator": "…", "remark": "…"}'


def base(origin: str, tenant: TenantId, device: DeviceId) -> str:
    """The URL of a device's root resource, below which all of its others stand."""
    return f"{origin}/{tenant}/controller/v1/{device}"


def file_path(tenant: TenantId, device: DeviceId, action: ActionId, filename: str, *, alone: bool = True) -> str:
    """The path of an action's artifact, `alone` where it has no other; the module's number is the action's own."""
    folder = f"/{tenant}/controller/v1/{device}/softwaremodules/{action}/artifacts/"
    name = quote(filename, safe="")
    return folder + (_SHORT_NAME if alone and len(folder) + len(name) > _DOWNLOAD_PATH else name)


def named(segment: str, filenames: Sequence[str]) -> int | None:
    """Which of an action's files the (unquoted) last segment of a path stands for."""
    if len(filenames) == 1 and segment == _SHORT_NAME:
        return 0
    return filenames.index(segment) if segment in filenames else None


@lru_cache(maxsize=1024)
def _head(polling: timedelta) -> bytes:
    seconds = int(min(max(polling, timedelta(seconds=1)), MAX_SLEEP).total_seconds())
    sleep = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return _encode(wire.Root(wire.Config(wire.Polling(sleep))))[:-1]


def root(polling: timedelta, links: Links) -> bytes:
    """The poll's answer. `polling` is told in whole seconds, at least one and at most 23:59:59."""
    due = {name: {"href": href} for name in _LINKS if (href := getattr(links, _LINKS[name])) is not None}
    return _head(polling) + (b',"_links":' + _encode(due) + b"}" if due else b"}")


def idle(polling: timedelta) -> bytes:
    """The poll's answer where nothing is due: most answers of a server's life."""
    return _head(polling) + b"}"


# In this order: of links behind one that it does not know (the last two) Zephyr's parser sees nothing.
_LINKS = {
    "configData": "config_data",
    "deploymentBase": "deployment_base",
    "cancelAction": "cancel_action",
    "confirmationBase": "confirmation_base",
    "installedBase": "installed_base",
}


def deployment(told: Deployment) -> bytes:
    """The body of deploymentBase and installedBase."""
    return _encode(wire.Deployment(str(told.action), _order(told), _history(told)))


def confirmation(told: Deployment) -> bytes:
    """A deployment that waits for consent."""
    return _encode(wire.Confirmation(str(told.action), _order(told), _history(told)))


def cancel(action: ActionId) -> bytes:
    """The body of cancelAction: its own id and the one to stop are the action's."""
    return _encode(wire.Cancel(str(action), wire.Stop(str(action))))


def confirmation_base(base_url: str, standing: AutoConfirm | None, waiting: ActionId | None) -> bytes:
    """The standing yes, where to set or lift it, and the deployment that waits for consent."""
    here = f"{base_url}/confirmationBase"
    due = wire.Link(f"{here}/{waiting}") if waiting is not None else None
    if standing is None:
        links = wire.ConfirmationLinks(
            activate_auto_confirm=wire.Link(f"{here}/activateAutoConfirm"), confirmation_base=due
        )
        return _encode(wire.ConfirmationBase(wire.AutoConfirm(active=False), links))
    state = wire.AutoConfirm(
        active=True, initiator=standing.initiator, remark=standing.remark, activated_at=_milliseconds(standing.at)
    )
    links = wire.ConfirmationLinks(
        deactivate_auto_confirm=wire.Link(f"{here}/deactivateAutoConfirm"), confirmation_base=due
    )
    return _encode(wire.ConfirmationBase(state, links))


def artifacts(files: Sequence[File]) -> bytes:
    """The list of a software module's artifacts."""
    return _encode([_file(f) for f in files])


def md5sum(file: File) -> bytes:
    """The line that `md5sum -c` reads."""
    return f"{file.md5}  {file.filename}".encode()


def feedback(body: bytes) -> Feedback:
    """Read feedback of a deployment or a cancel action.

    Raises:
        InvalidInputError: it cannot be understood, however leniently read.
    """
    said = read(_bounded(body, MAX_FEEDBACK), wire.Feedback, _FEEDBACK_FORM)
    status = said.status
    time = said.time if said.time is not None else said.timestamp
    return Feedback(
        execution=status.execution,
        finished=status.result.finished,
        messages=_messages(status.details),
        code=status.code if type(status.code) is int else None,
        progress=_progress(status.result.progress),
        device_time=clean(str(time))[:64] if isinstance(time, str | int) else "",
    )


def attributes(body: bytes) -> Attributes:
    """Read configData. Numbers and booleans are taken as text; a null is left out.

    Raises:
        InvalidInputError: it is not of the form, or the mode is none of the three.
    """
    said = read(_bounded(body, MAX_ATTRIBUTES_BODY), wire.Attributes, _ATTRIBUTES_FORM)
    try:
        mode = Merge.MERGE if said.mode is None else Merge(said.mode)
    except ValueError:
        raise InvalidInputError(
            f"{str(said.mode)[:40]!r} is not a mode", hint=f"Expected: {_ATTRIBUTES_FORM}"
        ) from None
    data = {clean(name): _value(name, value) for name, value in said.data.items()}
    if mode is Merge.REMOVE:
        return Attributes({name: value or "" for name, value in data.items()}, mode)
    return Attributes({name: value for name, value in data.items() if value is not None}, mode)


def consent(body: bytes) -> Consent:
    """Read the answer to a deployment that waits.

    Raises:
        InvalidInputError: it is not of the form.
    """
    said = read(_bounded(body, MAX_FEEDBACK), wire.Consent, _CONSENT_FORM)
    return Consent(said.confirmation, _messages(said.details))


def running(body: bytes) -> Running:
    """Read what a device says it runs.

    Raises:
        InvalidInputError: it is not of the form, or no product's name and no version.
    """
    said = read(_bounded(body, MAX_FEEDBACK), wire.Running, _RUNNING_FORM)
    return Running(product_name(said.name), version(said.version))


def standing(body: bytes) -> Standing:
    """Read who asks for a standing yes; an empty body names nobody.

    Raises:
        InvalidInputError: it is not of the form.
    """
    if not body.strip():
        return Standing()
    said = read(_bounded(body, MAX_FEEDBACK), wire.Standing, _STANDING_FORM)
    for text in (said.initiator, said.remark):
        if text is not None and len(text) > MAX_STANDING:
            raise TooLargeError(f"the initiator or remark has {len(text)} characters", limit=MAX_STANDING)
    return Standing(
        None if said.initiator is None else clean(said.initiator), None if said.remark is None else clean(said.remark)
    )


def _order(told: Deployment) -> wire.Order:
    zephyr = told.part == _ZEPHYR_PART
    # Zephyr's reader knows chunks without metadata only.
    said = None if zephyr or not told.conditions else [wire.Metadata(CONDITION, one) for one in told.conditions]
    parts = (Part(told.name, told.file), *told.more)
    chunks = [wire.Chunk(told.part, told.version, p.name, [_file(p.file, both=not zephyr)], said) for p in parts]
    return wire.Order(told.download, told.update, chunks, told.window)


def _file(file: File, *, both: bool = True) -> wire.File:
    """A file with its links. Not `both`: only those of hawkBit's default, which end in `-http`."""
    download, sums = wire.Link(file.href), wire.Link(f"{file.href}.MD5SUM")
    links = wire.FileLinks(download, download, sums, sums)
    if not both:
        links = wire.FileLinks(download_http=download, md5sum_http=sums)
    return wire.File(file.filename, wire.Hashes(file.sha1, file.md5, file.sha256), file.size, links)


def _history(told: Deployment) -> wire.History | None:
    return None if told.history is None else wire.History(told.history.status, list(told.history.messages))


def _milliseconds(at: datetime) -> int:
    return (at - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _bounded(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise TooLargeError(f"the body has {len(body)} bytes", limit=limit)
    return body


def _messages(details: Any) -> tuple[str, ...]:
    """The device's words; of too many, the last ones: they say how it ended."""
    if isinstance(details, str):
        details = [details]
    if not isinstance(details, list):
        return ()
    words = [str(d) for d in details if isinstance(d, str | int | float)]
    return tuple(clean(word[:MAX_MESSAGE]) for word in words[-MAX_MESSAGES:])


def _progress(progress: Any) -> tuple[int, int] | None:
    if not isinstance(progress, dict):
        return None
    done, of = progress.get("cnt"), progress.get("of")
    return (done, of) if type(done) is int and type(of) is int else None


def _value(name: str, value: Any) -> str | None:
    match value:
        case None:
            return None
        case str():
            return clean(value)
        case bool():
            return "true" if value else "false"
        case int() | float():
            return str(value)
        case _:
            raise InvalidInputError(f"the value of {name[:64]!r} is not text", hint=f"Expected: {_ATTRIBUTES_FORM}")
