"""The attacks that a device has to withstand, named as in TUF and Uptane: each is refused with its code.

`ATTACKS` is what docs/attacks.md shows. Each test refuses with exactly the codes that stand there, or it is red.
"""

import re
from importlib import import_module
from pathlib import Path

from otaru.trust.verify.refusals import REFUSALS
from tests.support.attacks import ATTACKS


def test_the_page_shows_these_attacks() -> None:
    for domain in Path(__file__).parent.glob("test_attacks_*.py"):
        import_module(f"tests.unit.trust.verify.{domain.stem}")
    page = (Path(__file__).parents[4] / "docs/attacks.md").read_text()
    rows = re.findall(r"^\| ([^|`]+) \| [^|]+ \| `(test_\w+)` \| ([^|]+) \|$", page, re.MULTILINE)
    shown = {test: (name, frozenset(re.findall(r"`(\w+)`", codes))) for name, test, codes in rows}
    assert shown == ATTACKS
    assert {code for _, codes in ATTACKS.values() for code in codes} <= set(REFUSALS)
