"""What the demo keeps in its data folder, beside the server's own files, so that a later run goes on."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from otaru.errors import DataFolderError


@dataclass(frozen=True, slots=True)
class Folder:
    """The demo's folder."""

    data: Path
    """The server's data folder."""

    @property
    def own(self) -> Path:
        """What is the demo's own in it."""
        return self.data / "demo"

    @property
    def firmware(self) -> Path:
        """The wheels that hold the firmware."""
        return self.own / "firmware"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.own / "server.log"

    @property
    def token_file(self) -> Path:
        """An admin's API token."""
        return self.own / "token"

    @property
    def _devices_file(self) -> Path:
        return self.own / "devices.json"

    def create(self) -> None:
        """Make it where it is missing.

        Raises:
            DataFolderError: it cannot be made.
        """
        try:
            self.firmware.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataFolderError(f"{self.data} cannot be used: {error.strerror}") from None

    def token(self) -> str | None:
        """The admin's token from an earlier run."""
        return _read(self.token_file)

    def keep_token(self, token: str) -> None:
        """Keep the admin's token."""
        _write(self.token_file, f"{token}\n")

    def devices(self) -> dict[str, str]:
        """The devices' tokens from an earlier run."""
        text = _read(self._devices_file)
        return dict(json.loads(text)) if text else {}

    def keep_devices(self, tokens: Mapping[str, str]) -> None:
        """Keep the devices' tokens."""
        _write(self._devices_file, json.dumps(dict(tokens), indent=1) + "\n")


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8").strip() if path.exists() else None


def _write(path: Path, text: str) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    scratch = path.with_suffix(".new")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        scratch.replace(path)
    except OSError as error:
        raise DataFolderError(f"{path} cannot be written: {error.strerror}") from None
