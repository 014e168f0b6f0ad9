"""`otaru agent run` without the command line around it: the process that a small device keeps for years.

All other commands, and whatever else is written behind these two words, are the command line's.
"""

import os
import sys
from pathlib import Path

from otaru.apps.cli.printer import remark

CONFIG = Path("/etc/otaru/agent.toml")


def config(arguments: list[str]) -> Path | None:
    """The configuration of `agent run [--config FILE]`; None: it says something else."""
    match arguments:
        case ["agent", "run"]:
            return CONFIG
        case ["agent", "run", "--config", path]:
            return Path(path)
        case ["agent", "run", option] if option.startswith("--config="):
            return Path(option.removeprefix("--config="))
        case _:
            return None


def run(path: Path) -> None:
    """Keep this device up to date until SIGTERM.

    Raises:
        OtaruError: the configuration is not as it should be, or the device was never enrolled.
    """
    import logging

    from otaru.apps.agent import run as process
    from otaru.apps.agent import settings

    found = settings.read(path)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    while process.run(found, remark):
        try:
            os.execv(sys.executable, sys.orig_argv)  # noqa: S606 - this very program
        except OSError as error:  # it was replaced by an update, say: this process goes on
            remark(f"{sys.executable}: {error.strerror}")
