"""Configuration on a real disk: documents are switched together, tried before, gone back from, and looked at."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from otaru.adapters.board.config import ConfigInstaller, Hooks
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.staging import FolderStaging
from otaru.domain.update import Standing
from otaru.domain.update_record import Piece
from otaru.errors import InstallError, UnsuitableError
from otaru.images.configuration import Document, pack
from otaru.ports.board import Drift

SCHEMA = {"type": "object", "properties": {"port": {"maximum": 65535}}}


def documents(port: int, motd: str = "hello\n") -> bytes:
    return pack([Document("app.toml", f"port = {port}\n", SCHEMA), Document("motd", motd)])


class Bench:
    def __init__(self, folder: Path, **options: object) -> None:
        self.folder = folder
        self.told = folder / "told"
        tell = folder / "tell"
        tell.write_text(
            f'#!/bin/sh\ncat "{folder}/root/current/app.toml" >> "{self.told}"\n[ ! -e "{folder}/refuse" ]\n'
        )
        tell.chmod(0o755)
        self.options = options
        self.hooks = Hooks(after=(str(tell),))

    @property
    def installer(self) -> ConfigInstaller:
        return ConfigInstaller("settings", LocalDisk(), str(self.folder / "root"), self.hooks, **self.options)  # type: ignore[arg-type]

    def install(self, data: bytes, version: str) -> Piece:
        piece = Piece("settings", version, "config", f"p/c/{version}/x.json", len(data), sha256(data).hexdigest())
        staging = FolderStaging(LocalDisk(), str(self.folder / "staging"))
        partial = staging.partial(piece)
        partial.append(0, data)
        partial.sync()
        self.installer.check(piece)
        self.installer.install(piece, staging.staged(piece))
        return piece

    def run(self, data: bytes, version: str) -> Piece:
        piece = self.install(data, version)
        self.installer.activate(piece)
        self.installer.commit(piece)
        return piece

    def read(self, name: str) -> str:
        return (self.folder / "root/current" / name).read_text()


def test_documents_are_switched_together_and_back_and_the_application_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    first = bench.run(documents(80), "1")
    second = bench.install(documents(81, "good day\n"), "2")
    assert (bench.read("app.toml"), bench.read("motd")) == ("port = 80\n", "hello\n")
    bench.installer.activate(second)
    assert (bench.read("app.toml"), bench.read("motd")) == ("port = 81\n", "good day\n")
    assert (tmp_path / "root/current/motd").stat().st_mode & 0o777 == 0o644
    bench.installer.revert(second)
    assert (bench.read("app.toml"), bench.read("motd")) == ("port = 80\n", "hello\n")
    assert bench.installer.standing(first) is Standing.RUNS
    assert bench.told.read_text() == "port = 80\nport = 81\nport = 80\n"


def test_an_application_that_cannot_take_it_fails_the_switch(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.run(documents(80), "1")
    second = bench.install(documents(81), "2")
    (tmp_path / "refuse").touch()
    with pytest.raises(InstallError):
        bench.installer.activate(second)
    (tmp_path / "refuse").unlink()
    bench.installer.revert(second)
    assert bench.read("app.toml") == "port = 80\n"


def test_a_program_looks_at_new_documents_before_they_are_switched_to(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.hooks = replace(bench.hooks, test=("sh", "-c", '! grep -n 13 "$OTARU_FOLDER/app.toml"'))
    bench.run(documents(80), "1")
    with pytest.raises(UnsuitableError, match=r"sh refuses settings 2: 1:port = 13"):
        bench.install(documents(13), "2")
    assert bench.read("app.toml") == "port = 80\n"
    bench.run(documents(14), "3")


def test_what_another_program_says_is_not_for_this_device_is_refused(tmp_path: Path) -> None:
    own = {"type": "object", "properties": {"port": {"minimum": 1024}}}
    bench = Bench(tmp_path, schemas={"app.toml": own, "motd.json": True})
    bench.run(documents(8080), "1")
    with pytest.raises(UnsuitableError, match=r"app\.toml: at /port: 80 is less than 1024"):
        bench.install(documents(80), "2")
    with pytest.raises(UnsuitableError, match="it is no JSON"):
        bench.install(b"port = 80\n", "3")
    long = Piece("settings", "4", "config", "x", 2 << 20, "00")
    with pytest.raises(UnsuitableError, match="at most"):
        bench.installer.check(long)


def test_what_somebody_changes_is_drift(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.installer.drift() is None
    bench.run(documents(80), "1")
    root = tmp_path / "root/current"
    assert bench.installer.drift() == Drift()
    (root / "app.toml").write_text("port = 99\n")
    (root / "motd").unlink()
    (root / "mine").touch()
    assert bench.installer.drift() == Drift(("app.toml", "mine", "motd"))
    (root / "motd").symlink_to("/etc/passwd")
    assert bench.installer.drift() == Drift(("app.toml", "mine", "motd"))
    (root / ".signed").write_bytes(documents(99))
    assert bench.installer.drift() == Drift((".signed",))
    bench.run(documents(80), "2")
    assert bench.installer.drift() == Drift()


def test_drift_is_put_back_where_that_is_wanted(tmp_path: Path) -> None:
    bench = Bench(tmp_path, mends=True)
    bench.run(documents(80), "1")
    (tmp_path / "root/current/app.toml").write_text("port = 99\n")
    (tmp_path / "root/current/mine").touch()
    assert bench.installer.drift() == Drift(("app.toml", "mine"), mended=("app.toml",))
    assert bench.read("app.toml") == "port = 80\n"
    assert bench.told.read_text() == "port = 80\nport = 80\n"
    assert bench.installer.drift() == Drift(("mine",))
