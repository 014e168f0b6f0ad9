"""The demo's course: fetch, serve, publish, bring up the fleet, roll out, tell; and leave a clean state whenever it ends.

Everything that is to last is in the data folder (`folder`), so a demo that was interrupted goes on where it was.
"""

import asyncio
import contextlib
import shlex
import signal
import sys
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from otaru.apps.cli.demo import child, stage
from otaru.apps.cli.demo.firmware import MODEL, PRODUCT, REVISIONS, images
from otaru.apps.cli.demo.folder import Folder
from otaru.apps.cli.demo.screen import Screen, closing

if TYPE_CHECKING:
    from otaru.apps.simulator.api import Api
    from otaru.apps.simulator.fleet import Fleet

DEVICES = 50
SEED = 7
SPEED, HURRY = 30.0, 60.0
"""How much faster than real devices they live: to look at, and where nobody looks."""
LOOK_S = 0.5
WRONG_FOR_S = 600.0
"""So long (of the devices' time) the last one shows a wrong token."""
SETTLED = frozenset({"paused", "finished", "stopped"})


@dataclass(frozen=True, slots=True)
class Wish:
    """What the user wants."""

    folder: Folder
    bad_firmware: float
    """The share of devices of the last revision that the newest firmware breaks."""
    ends: bool
    """End when the rollout has finished, stopped or paused."""

    @property
    def speed(self) -> float:
        """How much faster than real devices ours live."""
        return HURRY if self.ends else SPEED


def run(wish: Wish, screen: Screen) -> None:
    """Play until the end, or until SIGINT, SIGTERM or SIGHUP (its terminal is closed).

    Raises:
        OtaruError: something that the demo needs is not there.
    """
    from otaru.apps.simulator.run import runner

    with runner() as loop:
        loop.run(_interruptible(_play(wish, screen), screen))


async def _interruptible(course: Coroutine[Any, Any, None], screen: Screen) -> None:
    playing = asyncio.ensure_future(course)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if not playing.cancelling():
            playing.cancel()
            _last_word(screen, "Stopping …")

    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(name, stop)
    with contextlib.suppress(asyncio.CancelledError):
        await playing
        return
    _last_word(screen, f"Everything is stopped. {own_name()} demo goes on where this one ended.")


def _last_word(screen: Screen, text: str) -> None:
    with contextlib.suppress(OSError):  # the terminal may be gone
        screen.say(text)


async def _play(wish: Wish, screen: Screen) -> None:
    folder = wish.folder
    folder.create()
    if not any(folder.firmware.iterdir()):
        screen.say("Fetching real firmware (greatfet 2025.0.0 and 2026.0.0) with pip …")
    firmware = await asyncio.to_thread(images, folder.firmware)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(child.serving(folder))
        api = await stack.enter_async_context(_admin(folder, server.url))
        _introduce(screen, folder, server)
        for done in await stage.publish(api, firmware):
            screen.say(done)
        devices = await stack.enter_async_context(_devices(wish, server.url, api))
        rollout = await stage.current(api) or await stage.begin(api, [image.version for image in firmware])
        screen.say(
            f"Rollout {rollout['id']}: {PRODUCT} {rollout['version']} to {rollout['size']} devices, waves 2, 10, all."
        )
        await _follow(wish, screen, api, devices, rollout["id"])


@contextlib.asynccontextmanager
async def _admin(folder: Folder, url: str) -> "AsyncIterator[Api]":
    """An API client with the admin's token from last time, or a new one."""
    from otaru.apps.simulator.api import connected

    if (token := folder.token()) is not None:
        async with connected(url, token) as api:
            if await stage.good(api):
                yield api
                return
    said = await child.command("token", "create", "--data", str(folder.data), "--role", "admin", "--label", "demo")
    token = said.split()[-1]
    folder.keep_token(token)
    async with connected(url, token) as api:
        yield api


@contextlib.asynccontextmanager
async def _devices(wish: Wish, url: str, api: "Api") -> "AsyncIterator[Fleet]":
    """The fleet, with the tokens it had last time."""
    from otaru.apps.simulator import options
    from otaru.apps.simulator.fleet import running
    from otaru.apps.simulator.model import Odds

    plan = options.Plan(
        server=url,
        devices=DEVICES,
        hardware=options.hardware(",".join(f"{MODEL}:{revision}" for revision in REVISIONS)),
        odds=Odds(fail=0.01, loss=0.05, flaky=0.1, by_version={f"2026.0.0@{REVISIONS[-1]}": wish.bad_firmware}),
        seed=SEED,
        prefix="demo-",
        speed=wish.speed,
        stagger_s=stage.POLLING_S,
        token=api.session.headers["Authorization"].removeprefix("Bearer "),
        wrong_tokens=1,
        installed={PRODUCT: "2025.0.0"},
        tags=(stage.TAG,),
    )
    async with running(plan, wish.folder.devices()) as devices:
        wish.folder.keep_devices(devices.tokens)
        yield devices


def _introduce(screen: Screen, folder: Folder, server: child.Server) -> None:
    port = f" (port {child.PORT} is taken)" if not server.url.endswith(f":{child.PORT}") else ""
    screen.say(f"Otaru serves {folder.data} at {server.url}{port}.")
    screen.say(f"Console, by a link that works once: {server.login}")
    screen.say(f"API docs: {server.url}/api/docs")
    screen.say("To work on it from another terminal:")
    screen.say(f"  {_exports(server.url, folder)}")


def _exports(url: str, folder: Folder) -> str:
    return f"export OTARU_SERVER={url} OTARU_TOKEN=$(cat {shlex.quote(str(folder.token_file))})"


async def _follow(wish: Wish, screen: Screen, api: "Api", devices: "Fleet", rollout: int) -> None:
    """Show the rollout until told to stop; or, where the demo `ends`, until it settles."""
    lost = devices.devices[-1]
    screen.say(
        f"{DEVICES} simulated devices come up, {wish.speed:g} times as fast as real ones. "
        f"{sum(d.me.flaky for d in devices.devices)} are flaky; {lost.name} shows a wrong token."
    )
    loop = asyncio.get_running_loop()
    begun, corrected, told = loop.time(), False, ""
    while True:
        if devices.accident.done():
            devices.accident.result()
        found = await api.call("GET", f"/rollouts/{rollout}")
        screen.show(found, devices.tally)
        if not corrected and loop.time() - begun > WRONG_FOR_S / wish.speed:
            corrected = True
            refused = devices.tally.troubles["unauthenticated"]
            screen.say(f"{lost.name} was refused {refused} times (401). Now it gets its right token.")
            devices.correct(lost)
        if found["state"] != told and (told := found["state"]) in SETTLED:
            for line in (*closing(found, devices.tally), *_advice(found, _exports(api.server, wish.folder))):
                screen.say(line)
            if wish.ends:
                return
            screen.say("The server and the devices go on. Ctrl-C ends the demo.")
        await asyncio.sleep(LOOK_S)


def _advice(rollout: Mapping[str, Any], exports: str) -> list[str]:
    """What the user can do now."""
    number = rollout["id"]
    match rollout["state"]:
        case "paused":
            return [
                "It paused by its threshold: the devices that have the new firmware keep it, no other gets it.",
                f"  {exports}",
                f"  to go on in spite of it:  {own_name()} rollout resume {number} --reason 'seen and accepted'",
                f"  to end it:                {own_name()} rollout stop {number}",
            ]
        case "finished":
            return [f"{own_name()} demo, run again, rolls out the other version."]
        case _:
            return []


def own_name() -> str:
    """How this command was called, for commands to copy."""
    name = sys.argv[0]
    return shlex.quote(name) if Path(name).name == "otaru" else "otaru"
