"""Processes that work for this one, and how they are ended for sure."""

import asyncio
from contextlib import suppress


async def end(process: asyncio.subprocess.Process) -> None:
    """Kill it, and wait until it is gone.

    What it has said is read on the way: of one whose pipe was too full to be read on, asyncio does not see that it is gone,
    and `wait` lasts for ever.
    """
    with suppress(ProcessLookupError):
        process.kill()
    await process.communicate()
