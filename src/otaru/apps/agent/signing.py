"""The device's key used in a process of its own, once an hour: what it needs takes ten megabytes, and goes with it.

That process is given the data folder and, on its stdin, the text; it says the signature as JSON.
"""

import json
import subprocess
import sys
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from otaru.apps.agent.identity import FileKey
from otaru.errors import DataFolderError, OtaruError

PATIENCE_S = 60.0
MAX_TEXT = 64 * 1024


@dataclass(frozen=True, slots=True)
class _Said:
    pem: str
    der: bytes
    signature: bytes


class DistantKey:
    """`adapters.links.admission.Key` of the file in a data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data

    @property
    def pem(self) -> str:
        """See the protocol."""
        return self._public.pem

    @property
    def der(self) -> bytes:
        """See the protocol."""
        return self._public.der

    def sign(self, data: bytes) -> bytes:
        """A signature.

        Raises:
            DataFolderError: there is no such key, or the process cannot be started.
        """
        return self._ask(data).signature

    @cached_property
    def _public(self) -> _Said:
        return self._ask(b"")

    def _ask(self, text: bytes) -> _Said:
        # Where this process has its modules from the other one has them, too: packages keep them at places of their own.
        program = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import main; sys.exit(main())"
        words = [sys.executable, "-P", "-c", program, str(self._data)]
        try:
            done = subprocess.run(words, input=text, capture_output=True, timeout=PATIENCE_S, check=False)  # noqa: S603
            if done.returncode != 0:
                raise DataFolderError(
                    done.stderr.decode(errors="replace").strip()[-300:] or "the key could not be used"
                )
            told = json.loads(done.stdout)
            return _Said(told["pem"], b64decode(told["der"]), b64decode(told["signature"]))
        except (OSError, subprocess.TimeoutExpired, ValueError, KeyError) as error:
            raise DataFolderError(f"{self._data}: the key could not be used: {error}") from None


def main() -> int:
    """Sign what is read; 1 where that cannot be."""
    try:
        key = FileKey(Path(sys.argv[1]))
    except OtaruError as error:
        sys.stderr.write(error.message)
        return 1
    made = {"der": key.der, "signature": key.sign(sys.stdin.buffer.read(MAX_TEXT))}
    told = {"pem": key.pem, **{name: b64encode(value).decode() for name, value in made.items()}}
    sys.stdout.write(json.dumps(told))
    return 0
