"""What a DDI device hears and says: the other end of `server`, for our own simulator and links.

Decoders raise InvalidInputError where a server's answer is not what DDI promises.
"""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from otaru.domain.device import Merge
from otaru.domain.ids import MAX_ACTION, ActionId
from otaru.errors import InvalidInputError
from otaru.protocols.ddi import wire
from otaru.protocols.ddi.lenient import read
from otaru.protocols.ddi.words import CONDITION, Consent, Deployment, Feedback, File, History, Links, Root

_encode = msgspec.json.Encoder().encode


def root(body: bytes) -> Root:
    """Read a poll's answer."""
    heard = read(body, wire.Root, "a DDI root resource")
    links = heard.links
    return Root(
        _sleep(heard.config.polling.sleep),
        Links(
            _href(links.config_data),
            _href(links.deployment_base),
            _href(links.cancel_action),
            _href(links.confirmation_base),
            _href(links.installed_base),
        ),
    )


def deployment(body: bytes) -> Deployment:
    """Read deploymentBase or installedBase."""
    heard = read(body, wire.Deployment, "a DDI deployment")
    return _deployment(heard.id, heard.deployment, heard.action_history)


def confirmation(body: bytes) -> Deployment:
    """Read a deployment that waits for consent."""
    heard = read(body, wire.Confirmation, "a DDI confirmation")
    return _deployment(heard.id, heard.confirmation, heard.action_history)


def cancel(body: bytes) -> ActionId:
    """Read which action is to be stopped."""
    return _action(read(body, wire.Cancel, "a DDI cancel action").cancel_action.stop_id)


def feedback(action: ActionId, said: Feedback) -> bytes:
    """Feedback on a deployment or a cancel action."""
    progress = None if said.progress is None else {"cnt": said.progress[0], "of": said.progress[1]}
    status = wire.Status(said.execution, wire.Result(said.finished, progress), said.code, list(said.messages))
    return _encode(wire.Feedback(status, id=str(action), time=said.device_time or None))


def attributes(data: Mapping[str, str], mode: Merge) -> bytes:
    """The body of configData."""
    return _encode(wire.Attributes(dict(data), mode))


def consent(said: Consent) -> bytes:
    """The answer to a deployment that waits for consent."""
    return _encode(wire.Consent(said.answer, details=list(said.messages)))


def _deployment(id_: str, order: wire.Order, history: wire.History | None) -> Deployment:
    if len(order.chunks) != 1 or len(order.chunks[0].artifacts) != 1:
        raise InvalidInputError("the deployment has not exactly one chunk with one artifact")
    chunk = order.chunks[0]
    file = chunk.artifacts[0]
    link = file.links.download or file.links.download_http
    if link is None:
        raise InvalidInputError("the artifact has no download link")
    return Deployment(
        action=_action(id_),
        download=order.download,
        update=order.update,
        part=chunk.part,
        name=chunk.name,
        version=chunk.version,
        file=File(file.filename, file.hashes.sha256, file.hashes.sha1, file.hashes.md5, file.size, link.href),
        window=order.maintenance_window,
        conditions=tuple(one.value for one in chunk.metadata or () if one.key == CONDITION),
        history=None if history is None else History(history.status, tuple(history.messages)),
    )


def _action(text: str) -> ActionId:
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) <= MAX_ACTION):
        raise InvalidInputError(f"{text[:40]!r} is not an action id")
    return ActionId(int(text))


def _sleep(text: str) -> timedelta:
    hours, _, rest = text.partition(":")
    minutes, _, seconds = rest.partition(":")
    parts = (hours, minutes, seconds)
    if not all(p.isascii() and p.isdigit() and len(p) == 2 for p in parts):
        raise InvalidInputError(f"{text[:40]!r} is not a time to sleep", hint="Expected: HH:MM:SS")
    return timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))


def _href(link: wire.Link | None) -> str | None:
    return None if link is None else link.href
