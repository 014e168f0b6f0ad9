"""What a device's maker names is taken out, and no expression of theirs runs for ever."""

import io
import json
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

from otaru.adapters.board.blotting import WITHHELD, Blotter
from otaru.adapters.board.diagnostics import Allowed, AllowedCommands, Collected, FolderDiagnoser
from otaru.adapters.board.disk import LocalDisk

PATIENT_S = 60
SLOW = "(a+)+$"
FOR_YEARS = "a" * 60 + "!"


def test_what_expressions_find_is_gone() -> None:
    blotted = Blotter(["IMEI[ :]+[0-9]+", r"\\(\w+)"], PATIENT_S)
    assert blotted("a IMEI: 4711 b \\dömain é") == "a [redacted] b [redacted] é"
    assert blotted("") == ""
    assert Blotter([])("IMEI: 4711") == "IMEI: 4711"


def test_what_cannot_be_looked_through_in_time_is_withheld() -> None:
    assert Blotter([SLOW], 0.5)(FOR_YEARS) == WITHHELD
    said = AllowedCommands({"x": Allowed(["echo", FOR_YEARS])}, blotted=Blotter([SLOW], 0.5)).run("x").said
    assert said == WITHHELD


def test_its_process_ends_by_itself_where_nobody_ends_it() -> None:
    words = [sys.executable, "-c", "from otaru.adapters.board.blotting_process import main; main()"]
    told = json.dumps([[SLOW], "x", 1])
    done = subprocess.run([*words, told], input=FOR_YEARS.encode(), capture_output=True, timeout=PATIENT_S, check=False)
    assert (done.returncode, done.stdout) == (-signal.SIGALRM, b"")


def test_after_some_in_vain_no_other_text_is_looked_through(tmp_path: Path) -> None:
    tried: list[str] = []

    def blotted(text: str) -> str:
        tried.append(text)
        return WITHHELD if text.startswith("slow") else text

    says = {f"{number}": lambda number=number: f"slow {number}" if number else "fine" for number in range(9)}
    diagnoser = FolderDiagnoser(LocalDisk(), str(tmp_path), Collected(), says, blotted=blotted)
    size, _ = diagnoser.collect(1)
    with tarfile.open(fileobj=io.BytesIO(diagnoser.part(1, 0, size))) as archive:
        found = {m.name: archive.extractfile(m).read().decode() for m in archive}  # type: ignore[union-attr]
    assert tried == ["fine", "slow 1", "slow 2", "slow 3"]
    assert found.pop("diagnostics/0") == "fine"
    assert set(found.values()) == {WITHHELD}
