"""`otaru serve`: one process with listener, admin socket and worker; ends cleanly on SIGTERM and SIGINT."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import uvicorn

from otaru.apps.console.application import console
from otaru.apps.server import api, folder, wiring, worker
from otaru.apps.server.body import App, Receive, Scope, Send
from otaru.apps.server.http import Server, config, mutual_config
from otaru.apps.server.metrics import metrics
from otaru.apps.server.roads.ddi import DdiRoad
from otaru.apps.server.roads.device import DeviceRoad
from otaru.apps.server.roads.est import EstRoad
from otaru.apps.server.roads.log import LogRoad
from otaru.apps.server.roads.tuf import TufRoad
from otaru.apps.server.settings import Settings
from otaru.apps.server.shell import Shell
from otaru.apps.server.stick import written
from otaru.domain.ids import DEFAULT_TENANT
from otaru.errors import DataFolderError, InvalidInputError, NotFoundError, RefusedError, UnavailableError
from otaru.ports.clock import Clock
from otaru.services.control import metadata, tokens
from otaru.services.control.world import World

_log = logging.getLogger("otaru.server")

_GC_THRESHOLD = (20_000, 20, 20)
"""Requests leave few cycles behind; at Python's own 700 a busy server spends several percent of its time looking for them."""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What the applications of one process share."""

    world: World
    settings: Settings
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process is asked to end: streams end themselves."""


def run(settings: Settings, clock: Clock | None = None) -> int:
    """Serve until told to end, by the system's clock or another one; the exit code.

    Raises:
        DataFolderError: the data folder cannot be used.
        UnavailableError: the address cannot be listened on.
        InvalidInputError: the TLS files are none.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    for chatty in ("uvicorn.error", "alembic", "tuf"):  # they tell what we tell ourselves
        logging.getLogger(chatty).setLevel(logging.WARNING)
    os.umask(0o077)  # what we make is for our own user only
    check_tls(settings)
    with folder.locked(settings.data), contextlib.ExitStack() as stack:
        listener = stack.enter_context(_listener(settings.listen))
        devices = stack.enter_context(_listener(settings.device_listen)) if settings.device_listen else None
        stack.enter_context(uvloop_runner()).run(_serve(settings, listener, devices, clock))
    return 0


def uvloop_runner() -> asyncio.Runner:
    """A runner on uvloop, which halves what a request costs; on asyncio's own loop where there is none."""
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=new_event_loop)


async def _serve(
    settings: Settings, listener: socket.socket, devices: socket.socket | None, clock: Clock | None
) -> None:
    async with wiring.world(settings, clock) as world:
        runtime = Runtime(world, settings)
        await _check_keys(world)
        road, tuf, log = DdiRoad(world, settings), TufRoad(world, settings), LogRoad(world, settings)
        rest, pages = api.application(runtime), console(runtime, written)
        est, device, numbers = (
            EstRoad(world, settings),
            DeviceRoad(world, settings),
            metrics(world, settings.public_url),
        )
        shell = Shell(road, rest, pages, _ready(runtime), tuf, log, est, device, numbers, poll=road.at_once)
        servers = [(Server(config(shell, settings)), listener)]
        if devices is not None:
            roads = replace(shell, api=_nothing, console=_nothing, metrics=_nothing)
            mutual = mutual_config(roads, settings)
            mutual.load()
            servers.append((Server(mutual), devices))
        local = Server(config(replace(shell, local_admin=True)))
        stop = _stopper(runtime, device, local, *(server for server, _ in servers))
        loop = asyncio.get_running_loop()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(name, stop)
        async with _admin_socket(settings) as admin, asyncio.TaskGroup() as tasks:
            work = tasks.create_task(worker.work(runtime.world, settings, runtime.closing))
            logs = tasks.create_task(worker.keep_logs(runtime.world, runtime.closing))
            verdicts = tasks.create_task(worker.keep_judged(runtime.world))
            deltas = tasks.create_task(worker.keep_deltas(runtime.world))
            watch = tasks.create_task(
                worker.keep_watch(runtime.world, wiring.mailer(settings), settings.public_url, runtime.closing)
            )
            if devices is not None:
                assert mutual.ssl is not None  # noqa: S101 - the listener has a certificate
                tasks.create_task(worker.learn_authorities(world, mutual.ssl, runtime.closing))
            tasks.create_task(local.serve(sockets=[admin]))
            for server, bound in servers:
                tasks.create_task(server.serve(sockets=[bound]))
            await _greet(runtime, servers)
            gc.freeze()  # what start-up made stays: later collections need not walk it
            gc.set_threshold(*_GC_THRESHOLD)
            await runtime.closing.wait()
            for slow in (verdicts, deltas):  # they may be in the middle of a large image; the next process goes on
                slow.cancel()
            await asyncio.gather(work, logs, watch)


async def _check_keys(world: World) -> None:
    """Say that development keys sign, or refuse to serve with them where this is production.

    Raises:
        RefusedError: this is production.
    """
    tenants = ", ".join(await metadata.development(world))
    if not tenants:
        return
    if world.production:
        raise RefusedError(
            f"development keys sign the releases of {tenants}, and this is production",
            hint="Start without production and replace them: docs/trust.md, From development keys to your own.",
        )
    _log.warning("development keys sign the releases of %s: not for production (docs/trust.md)", tenants)


def _stopper(runtime: Runtime, device: DeviceRoad, *servers: uvicorn.Server) -> Callable[[], None]:
    def stop() -> None:
        runtime.closing.set()
        device.native.close()
        for server in servers:
            server.should_exit = True

    return stop


async def _greet(runtime: Runtime, servers: Sequence[tuple[uvicorn.Server, socket.socket]]) -> None:
    """Say where we are, once somebody answers there: whoever waits for these lines can connect."""
    while not all(server.started for server, _ in servers) and not runtime.closing.is_set():  # noqa: ASYNC110 - uvicorn tells it by an attribute only
        await asyncio.sleep(0.005)
    settings = runtime.settings
    scheme = "https" if settings.tls_cert is not None else "http"
    here, *devices = (f"{scheme}://{_shown(bound)}" for _, bound in servers)
    code = await tokens.login_code(runtime.world, DEFAULT_TENANT)
    print(f"Otaru listens on {here}", flush=True)  # noqa: T201 - what the command prints
    for there in devices:
        print(f"Devices with certificates connect to {there}", flush=True)  # noqa: T201
    address = settings.public_url or here
    print(f"One-time admin link (valid for an hour): {address}/login?code={code}", flush=True)  # noqa: T201


def _shown(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _nothing(scope: Scope, receive: Receive, send: Send) -> None:
    """What devices' own listener has beside their roads."""
    del scope, receive, send
    raise NotFoundError("there is no such page", hint="This listener is for devices.")


def _ready(runtime: Runtime) -> App:
    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        del receive
        up = scope["path"] == "/healthz" or (runtime.world.registry.fresh and not runtime.closing.is_set())
        body = b"ok\n" if up else b"not ready\n"
        headers = [(b"content-type", b"text/plain"), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200 if up else 503, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer


@contextlib.contextmanager
def _listener(listen: str) -> Iterator[socket.socket]:
    """The socket, bound before anything else starts, so that a port in use is said at once."""
    name, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UnavailableError(f"cannot listen on {listen}: {error.strerror}") from None
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
        except OSError as error:
            hint = "Choose another HOST:PORT."
            raise UnavailableError(f"cannot listen on {listen}: {error.strerror}", hint=hint) from None
        yield listener


def check_tls(settings: Settings) -> None:
    """Read the certificate, its key and the devices' authorities once, to say now what is wrong with them.

    Raises:
        InvalidInputError: they cannot be read or do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if settings.client_ca is not None:
        try:
            context.load_verify_locations(settings.client_ca)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInputError(f"client_ca: {settings.client_ca} holds no certificates: {error}") from None
    if settings.tls_cert is None:
        return
    try:
        context.load_cert_chain(settings.tls_cert, settings.tls_key)
    except (OSError, ssl.SSLError) as error:
        raise InvalidInputError(f"the TLS certificate or key cannot be used: {error}") from None


@contextlib.asynccontextmanager
async def _admin_socket(settings: Settings) -> AsyncIterator[socket.socket]:
    """The Unix socket for the CLI of the same user. We hold the folder's lock, so one that is there is a leftover."""
    path = settings.admin_socket
    path.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as admin:
        try:
            admin.bind(str(path))
        except OSError as error:  # a longer path than the system takes (107 bytes on Linux), or a disk that has none
            raise DataFolderError(
                f"the admin socket {path} cannot be made: {error.strerror or error}",
                hint="Go into the data folder and use --data . where its path is too long.",
            ) from None
        path.chmod(0o600)
        try:
            yield admin
        finally:
            path.unlink(missing_ok=True)
