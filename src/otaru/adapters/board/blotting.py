"""What a device's maker says is a secret (`diagnostics.redact`), blotted out by a process of its own, which has an end.

Python's expressions go back and try again: one of them, and a text made for it, keep a processor busy for years, and nothing
within the process can stop them. What could not be looked through in time is withheld, not sent.
"""

import json
import subprocess
import sys
from collections.abc import Sequence

from otaru.adapters.board.program import environment
from otaru.domain.redaction import GONE

TIMEOUT_S = 20.0
"""For one text: a hundred times what a plain expression takes for the longest one."""
WITHHELD = "(withheld: it could not be looked through for secrets, by diagnostics.redact)\n"
_PROGRAM = "otaru.adapters.board.blotting_process"


class Blotter:
    """Takes out what some expressions find."""

    def __init__(self, expressions: Sequence[str], timeout_s: float = TIMEOUT_S) -> None:
        self._told = json.dumps([list(expressions), GONE, int(timeout_s) + 1]) if expressions else ""
        self._timeout_s = timeout_s

    def __call__(self, text: str) -> str:
        """The text without what they find; WITHHELD where that took too long."""
        if not self._told or not text:
            return text
        program = f"import sys; sys.path[:] = {sys.path!r}; from {_PROGRAM} import main; main()"
        words = [sys.executable, "-S", "-P", "-c", program, self._told]
        try:
            done = subprocess.run(  # noqa: S603
                words,
                input=text.encode(errors="replace"),
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._timeout_s,
                check=True,
                env=environment(),
            )
        except (OSError, subprocess.SubprocessError):
            return WITHHELD
        return done.stdout.decode(errors="replace")
