"""The port `Director`: in this process, and in one of its own, which is started again when it is killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from otaru.adapters.director import wire
from otaru.adapters.director.process import ProcessDirector
from otaru.domain.device import Hardware
from otaru.domain.ids import ActionId, DeviceId, RolloutId
from otaru.errors import AssignmentRefusedError, UnavailableError
from otaru.ports.director import Assignment, Director
from otaru.services.control import devices, metadata
from otaru.services.control.devices import NewDevice
from otaru.services.control.world import SYSTEM, World
from otaru.trust.tuf import changes
from otaru.trust.tuf.director import Share
from otaru.trust.tuf.kept import DIRECTOR
from otaru.trust.tuf.metadata import check_signatures, read
from otaru.trust.tuf.names import ROOT, SNAPSHOT, TARGETS, TIMESTAMP
from tests.support.databases import SqliteDatabases
from tests.support.keys import by, some
from tests.support.stores import ACME, RIVAL
from tests.support.world import a_world

pytestmark = pytest.mark.anyio

DEV = DeviceId("dev-1")
MODULE = "otaru.apps.server.signer"


@pytest.fixture(params=["local", "process"])
async def world(
    request: pytest.FixtureRequest, sqlite_databases: SqliteDatabases, tmp_path: Path
) -> AsyncIterator[World]:
    """A world whose tenant ACME has a director root, by a ceremony."""
    url = sqlite_databases.fresh()
    async with a_world(url, tmp_path) as (local, _):
        apart = ProcessDirector(wire.Begin(url, str(tmp_path / "director")), MODULE)
        made = replace(local, director=apart) if request.param == "process" else local
        online = ([await metadata.online_key(made, ACME, SYSTEM, DIRECTOR)], 1)
        keys = {ROOT: some(["director-1"]), TARGETS: online, SNAPSHOT: online, TIMESTAMP: online}
        root = by(changes.new_root(keys, made.clock.now()), "director-1")
        await metadata.accept(made, ACME, SYSTEM, {ROOT: root}, DIRECTOR)
        await devices.add(made, ACME, SYSTEM, NewDevice(DEV, Hardware("board")))
        yield made
        await made.director.close()


@pytest.fixture
def director(world: World) -> Director:
    return world.director


async def root_of(world: World) -> object:
    return read(ROOT, (await metadata.file(world, ACME, "1.root.json", DIRECTOR)).content).signed


async def test_it_makes_keys_and_says_which_it_holds(director: Director) -> None:
    first, second = await director.make(ACME), await director.make(RIVAL)
    both = [first.keyid, second.keyid, "x", "0" * 64]
    assert await director.held(ACME, both) == {first.keyid}
    assert await director.held(RIVAL, both) == {second.keyid}


async def test_it_signs_with_the_keys_that_root_names(world: World, director: Director) -> None:
    issued = await director.sign(Assignment(ACME, DEV, None))
    assert (issued.version, issued.root, issued.share) == (1, 1, None)
    root = await root_of(world)
    for role, content in ((TARGETS, issued.targets), (SNAPSHOT, issued.snapshot), (TIMESTAMP, issued.timestamp)):
        check_signatures(root, role, read(role, content))  # type: ignore[arg-type]


async def test_what_is_not_so_is_refused(director: Director) -> None:
    for asked in (Assignment(ACME, DEV, Share(RolloutId(1), 1, ActionId(1))), Assignment(RIVAL, DEV, None)):
        with pytest.raises(AssignmentRefusedError):
            await director.sign(asked)


async def test_many_at_once(director: Director) -> None:
    wanted = [Assignment(ACME, DeviceId(f"dev-{n}"), None) for n in range(600)]
    done = await asyncio.gather(*(director.sign(one) for one in wanted))
    assert [one.targets.count(f'"dev-{n}"'.encode()) for n, one in enumerate(done)] == [1] * 600


async def pid_of(director: Director, but: int = 0) -> int:
    """The process that answers, once there is one."""
    assert isinstance(director, ProcessDirector)
    async with asyncio.timeout(30):
        while True:
            if (process := director._process) is not None and process.pid != but:
                return process.pid
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("world", ["process"], indirect=True)
async def test_killed_it_is_started_again(director: Director) -> None:
    pid = await pid_of(director)
    os.kill(pid, signal.SIGKILL)
    assert (await director.sign(Assignment(ACME, DEV, None))).version == 1
    second = await pid_of(director, pid)
    os.kill(second, signal.SIGKILL)
    assert await pid_of(director, second)  # without anybody asking
    assert (await director.sign(Assignment(ACME, DEV, None))).version == 1


@pytest.mark.parametrize("world", ["process"], indirect=True)
async def test_killed_while_it_signs_nobody_waits_for_ever(director: Director) -> None:
    pid = await pid_of(director)
    asked = asyncio.gather(*(director.sign(Assignment(ACME, DeviceId(f"d{n}"), None)) for n in range(1000)))
    await asyncio.sleep(0)
    os.kill(pid, signal.SIGKILL)
    assert len(await asked) == 1000


@pytest.mark.parametrize("world", ["process"], indirect=True)
async def test_one_that_hangs_is_ended(director: Director) -> None:
    assert isinstance(director, ProcessDirector)
    director._deadline_s = 3
    pid = await pid_of(director)
    os.kill(pid, signal.SIGSTOP)
    assert (await director.sign(Assignment(ACME, DEV, None))).version == 1
    assert await pid_of(director) != pid


@pytest.mark.parametrize("world", ["process"], indirect=True)
async def test_it_ends_with_its_pipe_and_not_by_a_signal_of_the_terminal(director: Director) -> None:
    assert isinstance(director, ProcessDirector)
    process = director._process
    assert process is not None
    for name in (signal.SIGINT, signal.SIGTERM):
        process.send_signal(name)
    assert (await director.sign(Assignment(ACME, DEV, None))).version == 1
    assert await pid_of(director) == process.pid
    await director.close()
    assert process.returncode == -signal.SIGKILL
    with pytest.raises(UnavailableError):
        await director.sign(Assignment(ACME, DEV, None))


async def test_one_that_cannot_begin(tmp_path: Path) -> None:
    for module, database in (
        ("otaru.nothing", "sqlite:///x.db"),
        (MODULE, "nonsense"),
        (MODULE, f"sqlite:///{tmp_path}/no/x"),
    ):
        director = ProcessDirector(wire.Begin(database, str(tmp_path)), module)
        with pytest.raises(UnavailableError):
            await director.make(ACME)
        await director.close()


@pytest.mark.parametrize(
    "said", [b"", b"\0\0\0\5nonse", b"\0\0\0\2{}", b"\xff\xff\xff\xff", wire.framed(wire.Make("acme"))]
)
def test_what_it_is_not_told_properly_ends_it(said: bytes) -> None:
    env = {"PYTHONPATH": ":".join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-m", MODULE], input=said, capture_output=True, env=env, check=True)
    assert done.stdout == b""
