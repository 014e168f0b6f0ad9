"""`/device/v1/…` of devices that are known: what is due, how it goes, what they are and how they fare (docs/connect/native.md).

The same services as on every road, in other words: JSON or MessagePack, one offer with all that belongs to it, notes that
count once by their ids. A poll may wait (`wait=SECONDS`): it is answered when its answer becomes another one. It holds no
thread, reads nothing while it waits, and writes no more than any other poll.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import lru_cache
from hashlib import blake2b
from math import ceil
from urllib.parse import parse_qsl, urlencode

from otaru.apps.server.body import Receive, Scope, Send, header, read_body
from otaru.apps.server.files import serve_artifact
from otaru.apps.server.http import Headers, answer
from otaru.apps.server.roads.certificates import certificates
from otaru.apps.server.roads.credentials import admit
from otaru.apps.server.roads.ddi_call import may_install
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.roads.native_offer import offered, offered_file
from otaru.apps.server.roads.waiting import MAX_WAIT, Place, WaitingRoom
from otaru.apps.server.settings import Settings
from otaru.domain import ids
from otaru.domain.backup import MAX_PART as MAX_BACKUP_PART
from otaru.domain.backup import backup_name
from otaru.domain.delta import Taker
from otaru.domain.deployment import OPEN, WAITING, State
from otaru.domain.errand import MAX_NUMBER, MAX_PART, Monitoring
from otaru.domain.ids import DEFAULT_TENANT, Sha256
from otaru.domain.link import MAX_HAD, Answer, Batch, File, Heard, Patch, Told
from otaru.domain.offer import Membership
from otaru.domain.release import Artifact
from otaru.domain.tenant import Tenant
from otaru.errors import InvalidInputError, MethodNotAllowedError, NotFoundError
from otaru.ports.registry import Entry
from otaru.protocols import health as health_wire
from otaru.protocols.ddi.server import file_path
from otaru.protocols.native import codec
from otaru.protocols.native.codec import Form
from otaru.services.control import attributes, backups, consent, deltas, devices, errands, health, monitoring, notes
from otaru.services.control import poll as polling
from otaru.services.control.world import Actor, World

_LEAST_S = 1
"""Whoever asks again asks after so long."""


@dataclass(eq=False, slots=True)
class _Call:
    """One request of an admitted device."""

    scope: Scope
    receive: Receive
    send: Send
    tenant: Tenant
    entry: Entry
    asked: dict[str, str]
    by_certificate: bool

    @property
    def form(self) -> Form:
        """How it is to be answered: as it asks for, else as it speaks itself."""
        accept = header(self.scope, b"accept")
        if accept is None or accept.strip() == b"*/*":
            return self.spoken
        return codec.wanted_form(accept.decode("latin-1"))

    @property
    def spoken(self) -> Form:
        kind = header(self.scope, b"content-type")
        return codec.form_of(None if kind is None else kind.decode("latin-1"))

    async def body(self, limit: int) -> bytes:
        packed = await read_body(self.scope, self.receive, limit)
        return health_wire.unpacked(packed, header(self.scope, b"content-encoding") or b"")

    async def say(self, body: bytes, *more: tuple[bytes, bytes]) -> None:
        kind = [(b"content-type", self.form.encode()), (b"content-length", b"%d" % len(body))]
        await answer(self.scope, self.send, 200, [*kind, (b"cache-control", b"no-store"), *more], body)


_Handler = Callable[["NativeRoad", _Call], Awaitable[None]]


class NativeRoad:
    """Part of the ASGI application below `/device/v1/`."""

    def __init__(self, world: World, settings: Settings, grants: Grants) -> None:
        self._world = world
        self._settings = settings
        self._certificates = certificates(settings)
        self._grants = grants
        self._waiting = WaitingRoom(world.registry)
        self._monitoring = monitoring.Lately(world)

    def close(self) -> None:
        """The process is asked to end: held-back polls are answered now."""
        self._waiting.close()

    async def __call__(self, what: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            OtaruError: the shell tells it as a problem.
        """
        methods, also = RESOURCES[what]
        handler = methods.get(scope["method"])
        if handler is None:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=sorted(methods))
        asked = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if "device" not in asked or asked.keys() - {"device", "tenant", *also}:
            raise InvalidInputError("the address does not say which device", hint=f"Write /device/v1/{what}?device=ID.")
        tenant, entry, by_certificate = await self._admitted(scope, asked)
        client = scope.get("client")
        self._world.registry.touch(tenant.id, entry.subject.id, self._world.clock.now(), client[0] if client else "")
        await handler(self, _Call(scope, receive, send, tenant, entry, asked, by_certificate))

    async def poll(self, call: _Call) -> None:
        """What is due: at once, or when it becomes another answer than the one that the device has."""
        known, wait = header(call.scope, b"if-none-match"), _wait(call.asked)
        if known is None or wait is None:
            told = await self._told(call)
            await self._answer(call, told, known)
            return
        with self._waiting.place(call.tenant.id, call.entry.subject.id) as place:
            told = await self._told(call) if place is None else await self._awaited(call, place, known, wait)
        await self._answer(call, told, known)

    async def report_and_poll(self, call: _Call) -> None:
        """Notes and what is due after them, in one request."""
        heard = await self._heard(call, codec.read_batch(await call.body(codec.MAX_BATCH), call.spoken))
        call.tenant, call.entry, _ = await self._admitted(call.scope, call.asked)
        told = await self._told(call)
        await call.say(codec.told(told, call.form, heard), _retry_after(told))

    async def report(self, call: _Call) -> None:
        """Notes."""
        heard = await self._heard(call, codec.read_batch(await call.body(codec.MAX_BATCH), call.spoken))
        await call.say(codec.kept(heard, call.form))

    async def decide(self, call: _Call) -> None:
        """What the owner says to an offer that waits. Who said yes before and says it again is told where it is."""
        action, said, until, reason = codec.read_decision(await call.body(codec.MAX_DECISION), call.spoken)
        world, tenant, device = self._world, call.tenant.id, call.entry.subject.id
        actor = Actor(f"device:{device}")
        share = call.entry.subject.open
        if share is None or share.action != action:
            raise NotFoundError(f"there is no such action {action} now")
        if said is Answer.APPROVE and share.state not in WAITING:
            state = share.state
        elif said is Answer.APPROVE:
            state = (await consent.approve(world, tenant, actor, share.rollout, device)).state
        elif until is not None:
            state = (await consent.postpone(world, tenant, actor, share.rollout, device, until)).state
        else:
            state = (await consent.reject(world, tenant, actor, share.rollout, device, reason)).state
        await call.say(codec.decided(state, call.form))

    async def describe(self, call: _Call) -> None:
        """What the device is."""
        said, mode = codec.read_description(await call.body(codec.MAX_DESCRIPTION), call.spoken)
        await attributes.merge(self._world, call.tenant.id, call.entry.subject.id, said, mode)
        await answer(call.scope, call.send, 204, [])

    async def tell(self, call: _Call) -> None:
        """How the device fares."""
        told = health_wire.told(await call.body(health_wire.MAX_BODY))
        taken = await health.tell(self._world, call.tenant.id, call.entry.subject.id, told)
        body = b'{"kept": %d, "known": %d}' % (taken.kept, taken.known)
        await _say_json(call, body)

    async def errand(self, call: _Call) -> None:
        """How errands go."""
        said = codec.read_errands(await call.body(codec.MAX_ERRANDS), call.spoken)
        states = await errands.hear(self._world, call.tenant.id, call.entry.subject.id, said)
        stands = [(one.number, state) for one, state in zip(said, states, strict=True)]
        await call.say(codec.standing(stands, call.form))

    async def received(self, call: _Call) -> None:
        """How many bytes of diagnostics are here: where to go on."""
        here = await errands.received(self._world, call.tenant.id, call.entry.subject.id, _whole(call.asked, "errand"))
        await _say_json(call, codec.received(here, Form.JSON))

    async def receive(self, call: _Call) -> None:
        """A part of diagnostics."""
        number, first, size = (_whole(call.asked, name) for name in ("errand", "first", "size"))
        content = await read_body(call.scope, call.receive, MAX_PART)
        part = errands.Part(first, content, size, ids.sha256(call.asked.get("sha256", "")))
        here = await errands.receive(self._world, call.tenant.id, call.entry.subject.id, number, part)
        await _say_json(call, codec.received(here, Form.JSON))

    async def backed_up(self, call: _Call) -> None:
        """How many bytes of a backup are here: where to go on."""
        digest = ids.sha256(call.asked.get("sha256", ""))
        here = await backups.received(self._world, call.tenant.id, call.entry.subject.id, digest)
        await _say_json(call, codec.received(here, Form.JSON))

    async def back_up(self, call: _Call) -> None:
        """A part of a backup."""
        name, digest = backup_name(call.asked.get("name", "")), ids.sha256(call.asked.get("sha256", ""))
        first, size = _whole(call.asked, "first"), _whole(call.asked, "size")
        content = await read_body(call.scope, call.receive, MAX_BACKUP_PART)
        part = backups.Part(name, first, content, size, digest)
        here = await backups.receive(self._world, call.tenant.id, call.entry.subject.id, part)
        await _say_json(call, codec.received(here, Form.JSON))

    async def _admitted(self, scope: Scope, asked: dict[str, str]) -> tuple[Tenant, Entry, bool]:
        authorization = header(scope, b"authorization")
        certificate = None
        if authorization is None and self._certificates is not None:
            certificate = self._certificates.shown(scope, self._world.clock.now())
        tenant, entry = await admit(
            self._world,
            asked.get("tenant", DEFAULT_TENANT),
            asked["device"],
            authorization,
            certificate,
            grants=self._grants,
        )
        return tenant, entry, certificate is not None

    async def _awaited(self, call: _Call, place: Place, known: bytes, wait: timedelta) -> Told:
        """What is due once it is news, or the time is over. Whoever was shut out meanwhile is told so at once."""
        clock, waiter, last = self._world.clock, place.waiter, False
        end = clock.monotonic() + wait.total_seconds()
        while True:
            waiter.begin()
            call.tenant, call.entry, _ = await self._admitted(call.scope, call.asked)
            told = await self._told(call)
            left = min(end - clock.monotonic(), _soon(call, told))
            if last or left <= 0 or not _matches(known, _tag(told, call.form)):
                return told
            place.watch.rest_on({share.rollout for share in call.entry.subject.memberships})
            # Who was not woken looks once more all the same: it may be time that was waited for.
            last = not await waiter.wait(left, call.receive)
            if waiter.over:
                return told

    async def _told(self, call: _Call) -> Told:
        """What is due now, and what else the device is asked for."""
        told = await self._due(call)
        settled = await self._monitoring.told(call.tenant, call.entry.subject.id)
        asked = await errands.told(self._world, call.tenant.id, call.entry.subject.id)
        said = None if settled == _NOT_SETTLED else settled
        return replace(told, errands=asked, monitoring=said) if asked or said else told

    async def _due(self, call: _Call) -> Told:
        """What is due now. The call's entry is the one that was asked, afterwards."""
        call.entry, due, ask_at = await polling.poll(
            self._world,
            call.tenant,
            call.entry,
            whole=call.asked.get("hold") != "1",
            shown=True,
            single=False,
        )
        now, interval, entry = self._world.clock.now(), call.tenant.settings.polling, call.entry
        if ask_at is not None:
            interval = min(interval, max(ask_at - now, timedelta(seconds=_LEAST_S)))
        interval = timedelta(seconds=ceil(interval.total_seconds()))
        share = entry.subject.open
        if share is not None and share.state is State.CANCELLING:
            return Told(interval, cancel=share.action, describe=entry.attributes_requested)
        if due is None or share is None or not may_install(entry):
            return Told(interval, describe=entry.attributes_requested)
        asked = None
        if share.state in WAITING:
            asked = await consent.asked(self._world, call.tenant.id, share.rollout, entry.subject.id)
        files = [await self._file(call, share, due, artifact) for artifact in due.artifacts]
        offer = offered(due, entry.subject, call.tenant, asked, files, now)
        return Told(interval, offer, describe=entry.attributes_requested)

    async def _file(self, call: _Call, share: Membership, due: polling.Due, artifact: Artifact) -> File:
        """A file with where it is, and other ways to come by it."""
        addresses = self._addresses(call, share, artifact, alone=len(due.artifacts) == 1)
        return offered_file(artifact, addresses, await self._patches(call, share, due, artifact))

    def _addresses(self, call: _Call, share: Membership, artifact: Artifact, *, alone: bool) -> tuple[str, ...]:
        """Where the file is: mirrors, then the server, which asks for the same credential and knows Range."""
        path = file_path(call.tenant.id, call.entry.subject.id, share.action, artifact.filename, alone=alone)
        return (*self._mirrors(artifact.blob.sha256), self._origin(call) + path)

    def _mirrors(self, digest: Sha256) -> list[str]:
        return [m.replace("{sha256:2}", digest[:2]).replace("{sha256}", digest) for m in self._settings.mirrors]

    def _origin(self, call: _Call) -> str:
        # Where certificates are asked for is another address than everybody's: links stay there.
        origin = "" if call.by_certificate else self._settings.public_url
        host = (header(call.scope, b"host") or b"localhost").decode("latin-1")
        return origin or f"{call.scope['scheme']}://{host}"

    async def _patches(self, call: _Call, share: Membership, due: polling.Due, artifact: Artifact) -> list[Patch]:
        """The deltas that the device can take, where it says what it can: who says nothing costs nothing."""
        taker = _taker(call.asked)
        if taker is None:
            return []
        subject = call.entry.subject
        found = await deltas.leading(self._world, call.tenant.id, due.plan.release, artifact, subject, taker)
        here = f"{self._origin(call)}/device/v1/patch?"
        named = {"tenant": call.tenant.id, "device": subject.id, "action": share.action}
        return [
            Patch(
                delta.pair.source,
                delta.pair.codec,
                delta.patch,
                delta.size,
                delta.memory,
                (*self._mirrors(delta.patch), here + urlencode({**named, "sha256": delta.patch})),
            )
            for delta in found
            if delta.patch is not None and delta.size is not None and delta.memory is not None
        ]

    async def patch(self, call: _Call) -> None:
        """The bytes of a delta that an offer names; Range works as for files."""
        share, world = call.entry.subject.open, self._world
        action, sha256 = call.asked.get("action", ""), ids.sha256(call.asked.get("sha256", ""))
        plan = None
        if share is not None and str(share.action) == action and share.state in _TAKING and may_install(call.entry):
            plan = await world.registry.plan(call.tenant.id, share.rollout)
        artifacts = () if plan is None else plan.release.artifacts_for(call.entry.subject.hardware)
        targets = [artifact.blob.sha256 for artifact in artifacts]
        if not targets or not await deltas.patch_of(world, call.tenant.id, targets, sha256):
            raise NotFoundError(f"action {action[:20]!r} has no such delta now")
        name = f"{sha256[:16]}.delta"
        await serve_artifact(
            call.scope, call.receive, call.send, world.blobs, sha256, filename=name, x_accel=self._settings.x_accel
        )

    async def _heard(self, call: _Call, said: Batch) -> list[Heard]:
        """Keep what a device says, durably, in its order."""
        world, tenant, subject = self._world, call.tenant.id, call.entry.subject
        states: list[State | None] = []
        if said.notes:
            states = await notes.hear(world, tenant, subject, said)
        running = dict(subject.installed)
        if any(running.get(component) != version for component, version in said.installed.items()):
            wanted = devices.Change(installed=said.installed)
            await devices.change(world, tenant, Actor(f"device:{subject.id}"), subject.id, wanted)
        return [Heard(note.id, state) for note, state in zip(said.notes, states, strict=True)]

    async def _answer(self, call: _Call, told: Told, known: bytes | None) -> None:
        tag = _tag(told, call.form)
        if known is not None and _matches(known, tag):
            headers: Headers = [(b"etag", tag), (b"vary", b"accept"), _retry_after(told)]
            await answer(call.scope, call.send, 304, headers)
            return
        await call.say(codec.told(told, call.form), (b"etag", tag), (b"vary", b"accept"), _retry_after(told))


async def _say_json(call: _Call, body: bytes) -> None:
    await answer(call.scope, call.send, 200, [*_JSON, (b"content-length", b"%d" % len(body))], body)


MAX_WAIT_S = MAX_WAIT.total_seconds()
_NOT_SETTLED = Monitoring()
"""What a tenant says of telemetry that has said nothing: it costs a poll no word."""
_JSON = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]

_TAKING = OPEN - {State.CANCELLING}
"""Deployments whose deltas are given out."""
_POLLED = frozenset({"wait", "hold", "forms", "memory", "has"})
_MOST_FORMS = 16

RESOURCES: dict[str, tuple[dict[str, _Handler], frozenset[str]]] = {
    "poll": ({"GET": NativeRoad.poll, "POST": NativeRoad.report_and_poll}, _POLLED),
    "patch": ({"GET": NativeRoad.patch, "HEAD": NativeRoad.patch}, frozenset({"action", "sha256"})),
    "reports": ({"POST": NativeRoad.report}, frozenset()),
    "consent": ({"POST": NativeRoad.decide}, frozenset()),
    "attributes": ({"POST": NativeRoad.describe}, frozenset()),
    "events": ({"POST": NativeRoad.tell}, frozenset()),
    "backups": (
        {"GET": NativeRoad.backed_up, "POST": NativeRoad.back_up},
        frozenset({"name", "first", "size", "sha256"}),
    ),
    "errands": ({"POST": NativeRoad.errand}, frozenset()),
    "diagnostics": (
        {"GET": NativeRoad.received, "POST": NativeRoad.receive},
        frozenset({"errand", "first", "size", "sha256"}),
    ),
}
"""By their names below `/device/v1/`: methods, and what the address may say beside the device and its tenant."""


def _wait(asked: dict[str, str]) -> timedelta | None:
    """How long the answer may be held back.

    Raises:
        InvalidInputError: it is not a number of seconds.
    """
    text = asked.get("wait", "0")
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise InvalidInputError(f"wait is {text[:20]!r}", hint=f"Write wait=SECONDS, {MAX_WAIT_S:.0f} at most.")
    return min(timedelta(seconds=int(text)), MAX_WAIT) or None


def _whole(asked: dict[str, str], name: str) -> int:
    text = asked.get(name, "")
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and int(text) <= MAX_NUMBER):
        raise InvalidInputError(f"{name} is {text[:20]!r}: a number is wanted")
    return int(text)


def _taker(asked: dict[str, str]) -> Taker | None:
    """What a device says of deltas; None where it wants none.

    Raises:
        InvalidInputError: it is not of its form.
    """
    if "forms" not in asked:
        return None
    forms, memory, has = asked["forms"].split(","), asked.get("memory", ""), asked.get("has", "")
    if not (memory.isascii() and memory.isdigit() and len(memory) <= 15):
        raise InvalidInputError("memory is no number of bytes", hint="Write forms=FORM,FORM&memory=BYTES.")
    digests = has.split(",") if has else []
    if len(forms) > _MOST_FORMS or len(digests) > MAX_HAD:
        raise InvalidInputError(f"at most {_MOST_FORMS} forms and {MAX_HAD} digests may be named")
    return Taker(frozenset(forms), int(memory), frozenset(map(ids.sha256, digests)))


def _soon(call: _Call, told: Told) -> float:
    """In how many seconds time alone changes something, or the device is to be heard of: where that is before its next poll."""
    after = told.poll_after
    return after.total_seconds() if after < call.tenant.settings.polling else MAX_WAIT_S


def _tag(told: Told, form: Form) -> bytes:
    """Weak: when to ask again is no part of what is due."""
    return _tag_of(replace(told, poll_after=timedelta(0)), form)


@lru_cache(maxsize=1024)
def _tag_of(told: Told, form: Form) -> bytes:
    body = codec.told(told, form)
    return b'W/"%s"' % blake2b(body, digest_size=12).hexdigest().encode()


def _matches(known: bytes, tag: bytes) -> bool:
    """As 13.1.2 of RFC 9110 compares: weakly."""
    return known.strip() == b"*" or tag.removeprefix(b"W/") in {
        one.strip().removeprefix(b"W/") for one in known.split(b",")
    }


def _retry_after(told: Told) -> tuple[bytes, bytes]:
    return (b"retry-after", b"%d" % told.poll_after.total_seconds())
