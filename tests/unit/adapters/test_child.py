"""Ending processes."""

import asyncio
import sys

import pytest

from otaru.adapters import child

pytestmark = pytest.mark.anyio
FLOODS = "import os\nwhile True: os.write(1, bytes(1 << 20))"


async def test_one_that_says_more_than_anybody_reads_is_ended() -> None:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FLOODS, stdin=pipe, stdout=pipe)
    assert process.stdout is not None
    assert await process.stdout.read(1)
    while not process.stdout._paused:  # type: ignore[attr-defined]  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    async with asyncio.timeout(60):
        await child.end(process)
    assert process.returncode == -9
