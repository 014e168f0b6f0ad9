"""`otaru serve` whose clock runs faster than the world's: `python -m otaru.apps.simulator.scenario.hastened FOLDER SPEED`.

Everything else is the server that people start: listener, worker, store, rules, judge. It begins at the scenarios' beginning,
prints an admin's token and then what `otaru serve` prints. Only a simulated fleet lives at its pace.
"""

import asyncio
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from otaru.adapters.clock import SystemClock
from otaru.apps.server import serve
from otaru.apps.server.admin import offline
from otaru.apps.server.settings import load
from otaru.apps.simulator.scenario.script import BEGINNING
from otaru.domain.access import Role
from otaru.domain.ids import TenantId
from otaru.services.control import tokens
from otaru.services.control.world import SYSTEM


class HastenedClock(SystemClock):
    """So many of its seconds pass in one second."""

    def __init__(self, speed: float) -> None:
        """Begin at the beginning."""
        super().__init__()
        self._speed, self._began = speed, time.monotonic()

    def now(self) -> datetime:
        """The server's time."""
        return BEGINNING + timedelta(seconds=(time.monotonic() - self._began) * self._speed)


def main(folder: Path, speed: float) -> int:
    """Serve until told to end."""
    settings = load(data=folder, listen="127.0.0.1:0", log_level="warning")

    async def token() -> str:
        async with offline(settings) as world:
            return (await tokens.create(world, TenantId("DEFAULT"), SYSTEM, Role.ADMIN)).secret

    print(asyncio.run(token()), flush=True)  # noqa: T201 - to the process that started this one
    return serve.run(settings, HastenedClock(speed))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), float(sys.argv[2])))
