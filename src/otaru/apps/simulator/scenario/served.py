"""Tells a scenario over the real protocol: devices speak DDI over HTTP with a server in a process of its own.

The devices and the server's clock (`hastened`) run at the same speed, so that hours of judging pass in minutes. What happens
to whom is the scenario's; how long the network and the server take is real, and so are the machine's limits.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from otaru.apps.simulator.api import Api, connected
from otaru.apps.simulator.fleet import Fleet, running
from otaru.apps.simulator.options import Plan, check
from otaru.apps.simulator.run import runner
from otaru.apps.simulator.scenario.account import Account
from otaru.apps.simulator.scenario.life import ScenarioLife
from otaru.apps.simulator.scenario.script import Scenario
from otaru.errors import InvalidInputError, UnavailableError

START_S = 60.0
STOP_S = 60.0
LOOK_S = 1.0
"""How often the rollout is looked at, in real time; not more often than every ten minutes of the story."""
LOOK_STORY_S = 600.0
ENDED = frozenset({"finished", "stopped"})


def tell(scenario: Scenario, speed: float, connections: int, heard: Callable[[Account], object]) -> Account:
    """Tell a whole story; `heard` is called each hour of it.

    Raises:
        InvalidInputError: the rollout makes no sense, or devices are to crash: only virtual ones do.
        UnavailableError: the server does not come up.
    """
    if scenario.ails:
        raise InvalidInputError("crashes are told at virtual time only", hint="Give --virtual.")
    with runner() as loop:
        return loop.run(_whole(scenario, speed, connections, heard))


async def _whole(scenario: Scenario, speed: float, connections: int, heard: Callable[[Account], object]) -> Account:
    loop, interrupted = asyncio.get_running_loop(), asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupted.set)
    with tempfile.TemporaryDirectory(prefix="otaru-scenario-") as folder:
        async with _server(Path(folder), speed) as (url, token), connected(url, token) as api:
            for version in dict.fromkeys(
                (scenario.installed, scenario.version)
            ):  # what they run is where they go back to
                await _release(api, scenario, version)
            plan = Plan(
                server=url,
                devices=scenario.devices,
                hardware=scenario.hardware,
                seed=scenario.seed,
                prefix=scenario.prefix,
                speed=speed,
                token=token,
                installed={scenario.product: scenario.installed},
                connections=connections,
                scenario=scenario,
            )
            async with running(check(plan)) as fleet:
                began = loop.time()
                intended = {"release": f"{scenario.product}:{scenario.version}", "target": "id==*", "start": True}
                made = await api.call("POST", "/rollouts", {**intended, **scenario.rollout})
                story = _Story(scenario, api, fleet, made["id"], lambda: (loop.time() - began) * speed)
                await story.watch(heard, interrupted)
                return story.account


class _Story:
    """Looks at a rollout, and at what becomes of the devices it brought to harm."""

    def __init__(self, scenario: Scenario, api: Api, fleet: Fleet, rollout: int, now_s: Callable[[], float]) -> None:
        self.account = Account(scenario)
        self._api, self._fleet, self._rollout, self._now_s = api, fleet, rollout, now_s
        self._lives = [cast(ScenarioLife, device.life) for device in fleet.devices]

    async def watch(self, heard: Callable[[Account], object], interrupted: asyncio.Event) -> None:
        """Until all is over, its time is, or somebody interrupts it."""
        next_hour = 0.0
        while True:
            over = await self._look()
            if self._now_s() >= next_hour:
                next_hour = self._now_s() + 3600
                heard(self.account)
            if over or interrupted.is_set() or self._now_s() >= self.account.scenario.until_s:
                return
            if self._fleet.accident.done():
                self._fleet.accident.result()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(interrupted.wait(), max(LOOK_S, LOOK_STORY_S / self._fleet.plan.speed))

    async def _look(self) -> bool:
        """Note how it stands; whether the rollout has ended, and whatever brings its devices back."""
        account, tally = self.account, self._fleet.tally
        try:
            shown = await self._api.call("GET", f"/rollouts/{self._rollout}")
            back = [await self._api.call("GET", f"/rollouts/{number}") for number in shown["rolled_back_by"]]
        except UnavailableError:
            tally.troubles["rollouts_unseen"] += 1
            return False
        account.take(self._lives)
        account.polls, account.reports, account.bytes = tally.polls, tally.reports, tally.bytes
        account.troubles = dict(tally.troubles)
        account.brought_back = sum(one["counts"].get("succeeded", 0) for one in back)
        account.hour(self._now_s(), **_standing(shown))
        return all(one["state"] in ENDED for one in (shown, *back))


def _standing(shown: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": shown["state"],
        "reason": shown["reason"],
        "counts": {state: n for state, n in shown["counts"].items() if n},
        "held": tuple(segment["name"] for segment in shown["segments"] if segment["held"]),
    }


async def _release(api: Api, scenario: Scenario, version: str) -> None:
    content = f"{scenario.product} {version} ".encode()
    content = (content * (scenario.size // len(content) + 1))[: scenario.size]
    digest = (await api.upload("/artifacts", content, filename="image.bin"))["sha256"]
    hardware = sorted({str(one) for one, _ in scenario.hardware})
    artifact = {"sha256": digest, "filename": "image.bin", "hardware": hardware}
    await api.call("POST", "/releases", {"product": scenario.product, "version": version, "artifacts": [artifact]})


@asynccontextmanager
async def _server(folder: Path, speed: float) -> AsyncIterator[tuple[str, str]]:
    """A server of our own: its address and an admin's token."""
    log = folder / "server.log"
    with log.open("ab") as errors:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "otaru.apps.simulator.scenario.hastened", str(folder / "data"), str(speed)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            env={name: value for name, value in os.environ.items() if not name.startswith("OTARU_")},
            cwd=folder,  # no otaru.toml of another server is read there
            start_new_session=True,  # Ctrl-C is for us; we end the server when the devices are down
        )
    try:
        async with asyncio.timeout(START_S):
            token, greeting = await _line(child), await _line(child)
        if not greeting.startswith("Otaru listens on "):
            said = log.read_text(errors="replace").strip().splitlines()
            raise UnavailableError(f"the server does not start: {said[-1] if said else 'it says nothing'}")
        yield greeting.split()[-1], token
    except TimeoutError:
        raise UnavailableError(f"the server does not start within {START_S:g} s") from None
    finally:
        await _end(child)


async def _line(child: asyncio.subprocess.Process) -> str:
    return "" if child.stdout is None else (await child.stdout.readline()).decode().strip()


async def _end(child: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(STOP_S):
            await child.communicate()
    except TimeoutError:
        child.kill()
        await child.wait()
