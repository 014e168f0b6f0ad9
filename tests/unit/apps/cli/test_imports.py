"""Devices from files."""

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from otaru.apps.cli.client import Api
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.imports import BATCH, BATCH_BYTES, MAX_LINE, batches, bring_in, read
from otaru.apps.cli.printer import Printer
from otaru.errors import InvalidInputError


def devices(text: str, kind: str = "csv") -> list[dict[str, Any]]:
    return list(read(io.StringIO(text), kind))


def test_csv() -> None:
    text = (
        "id,hardware,tags,attr.region,installed.app,token\n"
        'dev-1,pi:4,lab beta,"eu, north",1.0,\n'
        "dev-2,pi,,,,secret-secret-secret\n"
    )
    assert devices(text) == [
        {
            "id": "dev-1",
            "hardware": "pi:4",
            "tags": ["lab", "beta"],
            "attributes": {"region": "eu, north"},
            "installed": {"app": "1.0"},
        },
        {"id": "dev-2", "hardware": "pi", "token": "secret-secret-secret"},
    ]


def test_ndjson_goes_to_the_server_as_it_is() -> None:
    rows: list[dict[str, Any]] = [{"id": "a", "hardware": "x", "tags": ["t"]}, {"id": "b", "hardware": "x"}]
    assert devices("\n\n".join(map(json.dumps, rows)) + "\n", "ndjson") == rows


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no id"),
        ("id,tags\na,b\n", "no id"),
        ("id,hardware,colour\n", "colour"),
        ("id,hardware,attr.\n", "attr."),
        ("id,hardware,id\n", "twice"),
        ("id,hardware\na,b,c\n", "line 2"),
        ("id,hardware\na\n", "line 2"),
        ("id,hardware\n,b\n", "line 2"),
        ('id,hardware\na,"b\n', "CSV"),
        ("id,hardware\na," + "b" * MAX_LINE, "line 2"),
    ],
)
def test_bad_csv_says_where(text: str, said: str) -> None:
    with pytest.raises(InvalidInputError, match=said):
        devices(text)


@pytest.mark.parametrize("line", ["{", "[]", '"a"', '{"hardware": "x"}', '{"id": 1}'])
def test_bad_ndjson_says_where(line: str) -> None:
    with pytest.raises(InvalidInputError, match="line 2"):
        devices('{"id": "a", "hardware": "x"}\n' + line, "ndjson")


@given(st.lists(st.integers(0, BATCH_BYTES // 2), max_size=60), st.integers(0, 2500))
def test_batches_keep_order_and_both_limits(sizes: list[int], small: int) -> None:
    given_devices: list[dict[str, Any]] = [{"id": str(n), "x": "x" * size} for n, size in enumerate(sizes)]
    given_devices += [{"id": f"s{n}"} for n in range(small)]
    made = list(batches(given_devices))
    assert [device for batch in made for device in batch] == given_devices
    assert all(1 <= len(batch) <= BATCH for batch in made)
    assert all(len(json.dumps({"devices": batch})) <= BATCH_BYTES + 1000 for batch in made)


def answering(added: list[str], taken: list[str]) -> Api:
    answer = {"added": [{"id": name, "token": "secret"} for name in added], "taken": taken}
    return Api("http://here:1", "t", transport=httpx.MockTransport(lambda _: httpx.Response(200, json=answer)))


def imported(folder: Path, rows: str, added: list[str], taken: list[str]) -> Exit | None:
    table = folder / "devices.csv"
    table.write_text(f"id,hardware\n{rows}")
    with answering(added, taken) as api:
        return bring_in(api, Printer(json=False), table, None, folder / "tokens.csv")


def test_a_file_of_tokens_is_there_when_there_are_tokens(tmp_path: Path) -> None:
    assert imported(tmp_path, "a,x\nb,x\n", ["a"], ["b"]) is Exit.PARTLY
    assert (tmp_path / "tokens.csv").read_text() == "id,token\na,secret\n"
    assert (tmp_path / "tokens.csv").stat().st_mode & 0o777 == 0o600
    with pytest.raises(InvalidInputError, match="it exists") as refused:
        imported(tmp_path, "c,x\n", ["c"], [])
    assert "new file" in (refused.value.hint or "")
    assert (tmp_path / "tokens.csv").read_text() == "id,token\na,secret\n"


def test_no_empty_file_of_tokens_is_left(tmp_path: Path) -> None:
    assert imported(tmp_path, "a,x\n", [], ["a"]) is Exit.NOTHING_TO_DO
    assert not (tmp_path / "tokens.csv").exists()
    with pytest.raises(InvalidInputError, match="line 2"):
        imported(tmp_path, "a\n", [], [])
    assert not (tmp_path / "tokens.csv").exists()
