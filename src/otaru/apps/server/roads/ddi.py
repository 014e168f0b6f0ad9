"""hawkBit's DDI v1, as devices use it: plain ASGI, routed by hand, so that a poll costs no framework.

`/{tenant}/controller/v1/{device}` and what stands below it. What bytes mean is in `protocols/ddi`, what is due in
`domain`; here a request is taken apart, one service is asked, and its answer is written down. Success is always 200 with
a Content-Length, and 304 only to If-None-Match: SWUpdate and rauc-hawkbit-updater take nothing else for success.

A file's URL names its action as the software module: `softwaremodules/{action}/artifacts/{filename}`.
"""

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from math import ceil
from urllib.parse import parse_qs

from otaru.apps.server.body import Receive, Scope, Send
from otaru.apps.server.files import accelerated, serve_artifact
from otaru.apps.server.http import Whole
from otaru.apps.server.roads.certificates import certificates
from otaru.apps.server.roads.credentials import admit, good
from otaru.apps.server.roads.ddi_call import NO_ACTION, Call, idle, may_install
from otaru.apps.server.roads.grants import Grants
from otaru.apps.server.settings import Settings
from otaru.domain.deployment import FINAL, OPEN, TOLD, WAITING, Event, Report, State
from otaru.domain.device import AutoConfirm
from otaru.domain.ids import MAX_ACTION, ActionId, DeviceId, TenantId
from otaru.domain.offer import Membership, Plan, Subject, window_of
from otaru.domain.release import Artifact
from otaru.domain.rollout import Urgency
from otaru.domain.tenant import Tenant
from otaru.errors import GoneError, InvalidInputError, MethodNotAllowedError, NotFoundError, RateLimitedError
from otaru.ports.registry import Entry
from otaru.protocols.ddi import server as ddi
from otaru.protocols.ddi import words
from otaru.protocols.ddi.words import Channel, Handling
from otaru.protocols.health import in_details
from otaru.services.control import actions, attributes, devices, feedback, health, releases
from otaru.services.control import poll as polling
from otaru.services.control.world import Actor, World

_CANCELLING = frozenset({State.CANCELLING})
_SHOWN = TOLD | {State.ON_TRIAL}
"""States in which a device is shown its deployment. On trial it is closed for the device, as after its end."""

_READABLE = FINAL - {State.CANCELLED, State.SKIPPED}
_TRIED = frozenset({State.ON_TRIAL})
_INSTALLED = frozenset({State.SUCCEEDED})
_FETCHABLE = frozenset({State.SUCCEEDED, State.SILENT})
"""Ended deployments whose files are still given out: what runs, and what a device that was given up may be at."""

_GONE = FINAL - {State.SILENT}
"""Ended for good. A device that was given up for silent may be heard to its end."""

_ENDED_AS = {
    Event.SUCCEED: State.SUCCEEDED,
    Event.FAIL: State.FAILED,
    Event.CANCEL_DONE: State.CANCELLED,
}
"""What a report that ends a deployment makes of it: said again, it is no news and no error."""

_MAX_HISTORY = 100

_POLL, _DOWNLOAD = 5, 9
"""Parts of their paths."""
_CONDITIONS = frozenset({b"if-none-match", b"if-match"})

_Handler = Callable[["DdiRoad", Call], Awaitable[None]]
_Methods = dict[str, _Handler]


class DdiRoad:
    """The ASGI application below `/{tenant}/controller/`."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._certificates = certificates(settings)
        self._grants = Grants(world)
        self._prompt = {_POLL, _DOWNLOAD} if settings.x_accel else {_POLL}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request.

        Raises:
            OtaruError: the shell tells it as a problem.
        """
        parts: list[str] = scope["path"].split("/")
        methods, action = _route(parts)
        handler = methods.get(scope["method"])
        if handler is None:
            raise MethodNotAllowedError(f"this resource does not know {scope['method']}", allowed=sorted(methods))
        authorization = host = known = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name == b"host":
                host = value
            elif name == b"if-none-match":
                known = value
        certificate = None
        if authorization is None and self._certificates is not None:
            certificate = self._certificates.shown(scope, self._world.clock.now())
        tenant, entry = await admit(
            self._world,
            parts[1],
            parts[4],
            authorization,
            certificate,
            grants=self._grants,
            anonymous=handler in _ANONYMOUS,
        )
        # With neither, somebody fetches a file that is for everybody: no word of the device.
        if authorization is not None or certificate is not None:
            client = scope.get("client")
            self._world.registry.touch(
                tenant.id, entry.subject.id, self._world.clock.now(), client[0] if client else ""
            )
        # Where certificates are asked for is another address than everybody's: links stay there.
        public_url = self._settings.public_url if certificate is None else ""
        await handler(self, Call(scope, receive, send, tenant, entry, public_url, host, known, parts[-1], action))

    def at_once(self, scope: Scope) -> Whole | None:
        """What memory answers to a device that we know: a poll in no rollout, a download that nginx does.

        It says what `root` and `download` say. Everything else, and what is to be refused, goes the usual way.
        """
        parts: list[str] = scope["path"].split("/")
        if len(parts) not in self._prompt or parts[2] != "controller" or parts[3] != "v1":
            return None
        known = self._world.registry.known(TenantId(parts[1]), DeviceId(parts[4]))
        if known is None:
            return None
        tenant, entry = known
        found = _nothing_due(tenant, entry) if len(parts) == _POLL else self._handed_over(parts, tenant.id, entry)
        if found is None:
            return None
        authorization = None
        for name, value in scope["headers"]:
            if name == b"authorization":
                authorization = value
            elif name in _CONDITIONS:
                return None
        if authorization is None or not (
            good(tenant, entry, authorization, self._world.clock)
            or self._grants.opens_at_once(tenant.id, entry, authorization)
        ):
            return None
        client = scope["client"]
        self._world.registry.touch(tenant.id, entry.subject.id, self._world.clock.now(), client[0] if client else "")
        return found

    def _handed_over(self, parts: list[str], tenant: TenantId, entry: Entry) -> Whole | None:
        """Where nginx finds the file that a path names, if it is that of the device's open deployment."""
        open_ = entry.subject.open
        if open_ is None or parts[5] != "softwaremodules" or parts[7] != "artifacts":
            return None
        if parts[6] != str(open_.action) or not may_install(entry):
            return None
        plan = self._world.registry.known_plan(tenant, open_.rollout)
        artifacts = () if plan is None else plan.release.artifacts_for(entry.subject.hardware)
        if (artifact := _named(parts[8], artifacts)) is None:
            return None
        sha256 = artifact.blob.sha256
        try:
            place = self._world.blobs.path(sha256)
        except OSError:
            return None
        return None if place is None else (accelerated(self._settings.x_accel + place, sha256, artifact.filename), b"")

    async def root(self, call: Call) -> None:
        """The poll."""
        single = call.entry.subject.hardware.model not in call.tenant.settings.several
        entry, due, ask_at = await polling.poll(self._world, call.tenant, call.entry, single=single)
        interval = call.tenant.settings.polling
        if ask_at is not None:
            interval = min(interval, _whole_seconds(ask_at - self._world.clock.now()))
        open_ = entry.subject.open
        if open_ is not None and not may_install(entry) and open_.state is not State.CANCELLING:
            open_ = None
        if open_ is None and not entry.attributes_requested and not entry.last_installed_action:
            await call.idle(interval)
            return
        base = call.base
        links = words.Links(
            config_data=f"{base}/configData" if entry.attributes_requested else None,
            installed_base=f"{base}/installedBase/{entry.last_installed_action}"
            if entry.last_installed_action
            else None,
            **_due_link(base, open_, told=due is not None),
        )
        await call.say(ddi.root(interval, links))

    async def config_data(self, call: Call) -> None:
        """The device says what it is."""
        said = ddi.attributes(await call.body(ddi.MAX_ATTRIBUTES_BODY))
        await attributes.merge(self._world, call.tenant.id, call.entry.subject.id, said.data, said.mode)
        await call.nod()

    async def deployment_base(self, call: Call) -> None:
        """What is to be installed. As in hawkBit it can be read after its end, but not while or after it is called off."""
        call.refuse_unfit()
        told = await self._told(call, _SHOWN, _READABLE)
        await call.say(ddi.deployment(told))

    async def confirmation_action(self, call: Call) -> None:
        """What waits for consent."""
        call.refuse_unfit()
        told = await self._told(call, WAITING, frozenset())
        await call.say(ddi.confirmation(told))

    async def cancel_action(self, call: Call) -> None:
        """What is to be cancelled."""
        membership = call.mine(_CANCELLING)
        await call.say(ddi.cancel(membership.action))

    async def installed_base(self, call: Call) -> None:
        """What was installed."""
        told = await self._told(call, _TRIED, _INSTALLED)
        await call.say(ddi.deployment(told))

    async def declare_installed(self, call: Call) -> None:
        """The device says what it runs that we did not bring it (hawkBit calls this experimental)."""
        said = ddi.running(await call.body(ddi.MAX_FEEDBACK))
        subject = call.entry.subject.id
        release = await releases.show(self._world, call.tenant.id, said.product, said.version)
        runs = release.artifacts_for(call.entry.subject.hardware) or release.artifacts[:1]
        wanted = devices.Change(installed={artifact.component: said.version for artifact in runs})
        await devices.change(self._world, call.tenant.id, Actor(f"device:{subject}"), subject, wanted)
        await call.nod()

    async def confirmation_base(self, call: Call) -> None:
        """The standing yes, and what waits for one."""
        open_ = call.entry.subject.open if may_install(call.entry) else None
        waiting = open_.action if open_ is not None and open_.state in WAITING else None
        await call.say(ddi.confirmation_base(call.base, call.entry.auto_confirm, waiting))

    async def deployment_feedback(self, call: Call) -> None:
        """How an installation goes."""
        said = ddi.feedback(await call.body(ddi.MAX_FEEDBACK))
        if (
            (waiting := call.entry.subject.open) is not None
            and waiting.action == call.action
            and waiting.state in WAITING
        ):
            raise NotFoundError(f"action {call.action} waits for consent")
        state = await self._report(call, Channel.DEPLOYMENT, said)
        event = words.event(Channel.DEPLOYMENT, said)
        if state in _GONE and (event is None or _ENDED_AS.get(event) is not state):
            raise GoneError(f"action {call.action} has ended: {state}")
        await call.nod()

    async def cancel_feedback(self, call: Call) -> None:
        """What became of an order to cancel. It crosses the device's own reports, so no answer to it is an error."""
        await self._report(call, Channel.CANCEL, ddi.feedback(await call.body(ddi.MAX_FEEDBACK)))
        await call.nod()

    async def confirmation_feedback(self, call: Call) -> None:
        """A yes or no to what waits. As in hawkBit a no is not the end: it may be confirmed later."""
        said = ddi.consent(await call.body(ddi.MAX_FEEDBACK))
        call.mine(WAITING)
        event = words.consent_event(said.answer)
        identity = words.consent_digest(said)
        await self._keep(call, event, said.answer, "", said.messages, identity)
        await call.nod()

    async def activate(self, call: Call) -> None:
        """A standing yes."""
        said = ddi.standing(await call.body(ddi.MAX_FEEDBACK))
        standing = AutoConfirm(said.initiator, said.remark, self._world.clock.now())
        await attributes.auto_confirm(self._world, call.tenant.id, call.entry.subject.id, standing)
        await call.nod()

    async def deactivate(self, call: Call) -> None:
        """No standing yes any more."""
        await attributes.auto_confirm(self._world, call.tenant.id, call.entry.subject.id, None)
        await call.nod()

    async def artifact_list(self, call: Call) -> None:
        """The files of an action."""
        call.refuse_unfit()
        _, plan = await self._found(call, OPEN, _FETCHABLE)
        artifacts = call.artifacts(plan)
        await call.say(ddi.artifacts([call.file(artifact, alone=len(artifacts) == 1) for artifact in artifacts]))

    async def download(self, call: Call) -> None:
        """An action's file, or the line that `md5sum -c` reads of it."""
        call.refuse_unfit()
        _, plan = await self._found(call, OPEN, _FETCHABLE)
        artifacts = call.artifacts(plan)
        if (artifact := _named(call.last, artifacts)) is not None:
            await serve_artifact(
                call.scope,
                call.receive,
                call.send,
                self._world.blobs,
                artifact.blob.sha256,
                filename=artifact.filename,
                x_accel=self._settings.x_accel,
            )
        elif (artifact := _named(call.last.removesuffix(".MD5SUM"), artifacts)) is not None:
            await call.say_md5sum(artifact)
        else:
            raise NotFoundError(f"action {call.action} has no such file")

    async def _report(self, call: Call, channel: Channel, said: words.Feedback) -> State:
        messages = said.messages if said.code is None else (*said.messages, f"status code {said.code}")
        identity = words.digest(channel, said)
        state = await self._keep(
            call, words.event(channel, said), said.execution, said.finished, messages, identity, said.device_time
        )
        if told := in_details(said.messages, identity):
            # What a device tells beside its report never spoils the report.
            with contextlib.suppress(RateLimitedError):
                await health.tell(self._world, call.tenant.id, call.entry.subject.id, told)
        return state

    async def _keep(
        self,
        call: Call,
        event: Event | None,
        execution: str,
        result: str,
        messages: tuple[str, ...],
        digest: bytes,
        device_time: str = "",
    ) -> State:
        now = self._world.clock.now()
        device = call.entry.subject.id
        said = Report(device, call.action, now, event, execution, result, messages, digest, device_time)
        return await feedback.report(self._world, call.tenant.id, said)

    async def _told(self, call: Call, open_: frozenset[State], ended: frozenset[State]) -> words.Deployment:
        """The action as a device is shown it, if it is in one of these states."""
        state, plan = await self._found(call, open_, ended)
        return await self._words(call, plan, call.artifacts(plan), state)

    async def _found(self, call: Call, open_: frozenset[State], ended: frozenset[State]) -> tuple[State, Plan]:
        """The action's state and rollout. Most that is asked for is open: then no store is asked."""
        subject, tenant = call.entry.subject, call.tenant.id
        if (now := subject.open) is not None and now.action == call.action:
            plan = await self._world.registry.plan(tenant, now.rollout) if now.state in open_ else None
            if plan is not None:
                return now.state, plan
        elif ended:
            was = await actions.action(self._world, tenant, subject.id, call.action)
            if was is not None and was.deployment.state in ended:
                return was.deployment.state, was.plan
        raise NotFoundError(f"there is no such action {call.action} now")

    async def _words(self, call: Call, plan: Plan, artifacts: Sequence[Artifact], state: State) -> words.Deployment:
        urgency = plan.rollout.policy.urgency_at(self._world.clock.now())
        handling = Handling.FORCED if urgency is Urgency.FORCED else Handling.ATTEMPT
        first, *others = _lacking(call.entry.subject, plan, artifacts, state)
        alone = len(artifacts) == 1
        return words.Deployment(
            action=call.action,
            download=handling,
            update=Handling.SKIP if polling.only_downloads(plan, state) else handling,
            part=call.tenant.settings.chunk_parts.get(call.entry.subject.hardware.model, "os"),
            name=plan.release.product if alone else first.component,
            version=plan.release.version,
            file=call.file(first, alone=alone),
            more=tuple(words.Part(a.component, call.file(a, alone=False)) for a in others),
            window=self._window(call, plan, state),
            history=await self._history(call, state),
            conditions=tuple(map(str, plan.rollout.policy.conditions)),
        )

    def _window(self, call: Call, plan: Plan, state: State) -> words.Window | None:
        """Told beside `forced` or `attempt`, never instead."""
        # Beside `skip` it is no word of ours: rauc-hawkbit-updater would never say that it has downloaded.
        window = plan.rollout.install_window
        if window is None or state not in OPEN or polling.only_downloads(plan, state):
            return None
        window = window_of(call.entry.subject, window, call.tenant.calendar)
        return words.Window.AVAILABLE if window.open_at(self._world.clock.now()) else words.Window.UNAVAILABLE

    async def _history(self, call: Call, state: State) -> words.History | None:
        """What the device said before, where it asks for it: `?actionHistory=N`, a negative number for all."""
        query: bytes = call.scope["query_string"]
        if b"actionHistory=" not in query:
            return None
        text = parse_qs(query.decode("latin-1")).get("actionHistory", ["0"])[0]
        try:
            wanted = int(text) if len(text) <= 11 else 0
        except ValueError:
            raise InvalidInputError(
                f"actionHistory is {text[:20]!r}", hint="Expected: a number of messages, -1 for all"
            ) from None
        if wanted == 0:
            return None
        limit = _MAX_HISTORY if wanted < 0 else min(wanted, _MAX_HISTORY)
        said = await actions.said(self._world, call.tenant.id, call.entry.subject.id, call.action, limit)
        messages = [message for report in said for message in reversed(report.messages)]
        return words.History(words.STATUS[state], tuple(messages[:limit])) if messages else None


def _lacking(subject: Subject, plan: Plan, artifacts: Sequence[Artifact], state: State) -> Sequence[Artifact]:
    """What of it a device is still to install: who has one of two is brought the other alone."""
    if state not in TOLD or len(artifacts) == 1:
        return artifacts
    return [a for a in artifacts if (a.component, plan.release.version) not in subject.installed] or artifacts


def _named(segment: str, artifacts: Sequence[Artifact]) -> Artifact | None:
    """The one of an action's files that the last segment of a path names."""
    found = ddi.named(segment, [artifact.filename for artifact in artifacts])
    return None if found is None else artifacts[found]


def _nothing_due(tenant: Tenant, entry: Entry) -> Whole | None:
    if entry.subject.memberships or entry.attributes_requested or entry.last_installed_action:
        return None
    return idle(tenant.settings.polling)


def _whole_seconds(span: timedelta) -> timedelta:
    """Rounded up: who is told so comes when it is over."""
    return timedelta(seconds=ceil(span.total_seconds()))


def _due_link(base: str, open_: Membership | None, *, told: bool) -> dict[str, str]:
    """The one link to what is to be done. An order to cancel stands even when its release has gone."""
    if open_ is None:
        return {}
    if open_.state is State.CANCELLING:
        # Zephyr 4.1 reads the number behind its first digit (its issue 89530): of `7` it would see nothing, of `07` a 7.
        return {"cancel_action": f"{base}/cancelAction/0{open_.action}"}
    if not told:
        return {}
    if open_.state in WAITING:
        return {"confirmation_base": f"{base}/confirmationBase/{open_.action}"}
    return {"deployment_base": f"{base}/deploymentBase/{open_.action}"}


def _read(handler: _Handler) -> _Methods:
    return {"GET": handler, "HEAD": handler}


_ROOT = _read(DdiRoad.root)
_BELOW: dict[str, _Methods] = {
    "configData": {"PUT": DdiRoad.config_data},
    "installedBase": {"PUT": DdiRoad.declare_installed},
    "confirmationBase": _read(DdiRoad.confirmation_base),
}
_ORDERS: dict[str, _Methods] = {
    "activateAutoConfirm": {"POST": DdiRoad.activate},
    "deactivateAutoConfirm": {"POST": DdiRoad.deactivate},
}
_ACTIONS: dict[str, _Methods] = {
    "deploymentBase": _read(DdiRoad.deployment_base),
    "installedBase": _read(DdiRoad.installed_base),
    "cancelAction": _read(DdiRoad.cancel_action),
    "confirmationBase": _read(DdiRoad.confirmation_action),
}
_FEEDBACK: dict[str, _Methods] = {
    "deploymentBase": {"POST": DdiRoad.deployment_feedback},
    "cancelAction": {"POST": DdiRoad.cancel_feedback},
    "confirmationBase": {"POST": DdiRoad.confirmation_feedback},
}
_FILES = _read(DdiRoad.artifact_list)
_FILE = _read(DdiRoad.download)
_ANONYMOUS = frozenset({DdiRoad.download})
"""What a tenant may let everybody fetch."""


def _route(parts: list[str]) -> tuple[_Methods, ActionId]:
    """The methods of the resource that a path names, and its action (0 where it has none)."""
    # "", tenant, "controller", "v1", device, then what stands below it
    if len(parts) == 5 and parts[3] == "v1" and parts[4]:
        return _ROOT, NO_ACTION
    methods: _Methods | None = None
    action = NO_ACTION
    match parts[3:]:
        case ["v1", _, resource]:
            methods = _BELOW.get(resource)
        case ["v1", _, "confirmationBase", order] if order in _ORDERS:
            methods = _ORDERS[order]
        case ["v1", _, resource, number]:
            methods, action = _ACTIONS.get(resource), _number(number)
        case ["v1", _, resource, number, "feedback"]:
            methods, action = _FEEDBACK.get(resource), _number(number)
        case ["v1", _, "softwaremodules", number, "artifacts"]:
            methods, action = _FILES, _number(number)
        case ["v1", _, "softwaremodules", number, "artifacts", _]:
            methods, action = _FILE, _number(number)
    if methods is None:
        raise NotFoundError("there is no such DDI resource")
    return methods, action


def _number(text: str) -> ActionId:
    if not (text.isascii() and text.isdigit() and len(text) <= 11 and 0 < int(text) <= MAX_ACTION):
        raise NotFoundError("there is no such action", hint="An action is a number below 2^31.")
    return ActionId(int(text))
