"""Which of two versions is newer: a product's releases stand in one of these orders.

A version is read into a *place*, and a place is written as a *key*, text whose bytewise order is the order of versions;
`compare` compares keys. So what a database sorts and what a rule decides cannot differ. Every order writes the same
kind of key: numbers, then what stands before a release (`-rc.1`), then what stands after it (commits since a tag).
Two versions with one key are equally new: `1.0+a` and `1.0+b` (SemVer 2.0, paragraph 10).

How a key is written (ASCII; what is not a sign of a version stands below all that are):
a number is the count of its digits in two hexadecimal digits and the digits, without zeros in front;
`!` ends a list, so that a shorter one comes first; `-` opens a pre-release and `~` stands for none.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from enum import StrEnum
from functools import lru_cache
from itertools import groupby

from otaru.domain.ids import Version
from otaru.errors import InvalidInputError


class VersionOrder(StrEnum):
    """How the versions of a product follow each other."""

    AUTO = "auto"
    """By SemVer where it is semantic, else by its dotted numbers, else by the numbers and letters it is made of."""
    SEMANTIC = "semantic"
    """SemVer 2.0: `1.2.3`, `1.2.3-rc.1`, `1.2.3+build`."""
    CALENDAR = "calendar"
    """CalVer: `2026.11.1`, `26.04`, `2026-11-21`, `20261121`, `2026.11-rc1`; a year of two digits is in this century."""
    GIT_DESCRIBE = "git-describe"
    """What `git describe` prints: `v1.2`, `v1.2-14-gabc1234`, `v1.2-14-gabc1234-dirty`."""
    DOTTED = "dotted"
    """Numbers with dots, any number of them: `1.2.3.4`. A missing number is 0."""


FORMS: Mapping[VersionOrder, str] = {
    VersionOrder.AUTO: "any version",
    VersionOrder.SEMANTIC: "three numbers with dots, as in 1.2.3 or 1.2.3-rc.1 (semver.org)",
    VersionOrder.CALENDAR: "a year and numbers, as in 2026.11, 26.04.1, 2026-11-21 or 20261121",
    VersionOrder.GIT_DESCRIBE: "what `git describe` prints, as in v1.2 or v1.2-14-gabc1234",
    VersionOrder.DOTTED: "numbers with dots, as in 1.2.3.4",
}

_NUMBER = r"(?:0|[1-9][0-9]*)"
_PRE = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_IDENTIFIERS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_BUILD = rf"(?:\+{_IDENTIFIERS})?"
_SEMANTIC = re.compile(rf"({_NUMBER}\.{_NUMBER}\.{_NUMBER})(?:-({_PRE}(?:\.{_PRE})*))?{_BUILD}")
_LOOSE = re.compile(rf"v?([0-9]+(?:\.[0-9]+)*)(?:-({_IDENTIFIERS}))?{_BUILD}")
_DOTTED = re.compile(r"v?([0-9]+(?:\.[0-9]+)*)")
_CALENDAR = re.compile(
    rf"([0-9]{{8}}|[0-9]{{4}}|[0-9]{{2}})((?:[.-][0-9]+)*)(?:[.-]([A-Za-z][0-9A-Za-z-]*(?:\.[0-9A-Za-z-]+)*))?{_BUILD}"
)
_DESCRIBED = re.compile(r"(.+)-([0-9]+)-g[0-9a-f]{4,64}")
_DIRTY = "-dirty"

_TEXT, _NUMBERED = "0", "1"
"""What a key begins with: versions that are no numbers stand before those that are."""
_END = "!"
_PRE_RELEASE, _RELEASE = "-", "~"


def compare(order: VersionOrder, a: Version, b: Version) -> int:
    """-1 where `a` is older than `b`, 1 where it is newer, 0 where they are equally new.

    Raises:
        InvalidInputError: one of them is not of this order's form.
    """
    left, right = key(order, a), key(order, b)
    return (left > right) - (left < right)


def key(order: VersionOrder, version: Version) -> str:
    """Text whose bytewise order is the order of versions.

    Raises:
        InvalidInputError: the version is not of this order's form.
    """
    found = _read(order, version)
    if found is None:
        raise InvalidInputError(
            f"{version!r} is not a version of the {order} order",
            hint=f"It is {FORMS[order]}; another order: otaru product set PRODUCT --order ORDER.",
        )
    return found


def reads(order: VersionOrder, version: Version) -> bool:
    """Whether a version is of an order's form."""
    return _read(order, version) is not None


@lru_cache(maxsize=4096)
def _read(order: VersionOrder, version: Version) -> str | None:
    return _READERS[order](version)


def _auto(version: str) -> str | None:
    found = _LOOSE.fullmatch(version)
    return _TEXT + _mixed(version) if found is None else _numbered(found[1].split("."), found[2])


def _semantic(version: str) -> str | None:
    found = _SEMANTIC.fullmatch(version)
    return None if found is None else _numbered(found[1].split("."), found[2])


def _dotted(version: str) -> str | None:
    found = _DOTTED.fullmatch(version)
    return None if found is None else _numbered(found[1].split("."), None)


def _calendar(version: str) -> str | None:
    found = _CALENDAR.fullmatch(version)
    if found is None:
        return None
    first, rest = found[1], re.findall("[0-9]+", found[2])
    if len(first) == 8:
        try:
            day = date(int(first[:4]), int(first[4:6]), int(first[6:]))
        except ValueError:
            return None
        return _numbered([str(day.year), str(day.month), str(day.day), *rest], found[3])
    return _numbered([first if len(first) == 4 else f"20{first}", *rest], found[3])


def _git_describe(version: str) -> str | None:
    clean = version.removesuffix(_DIRTY)
    described = _DESCRIBED.fullmatch(clean)
    tag, commits = (clean, "0") if described is None else (described[1], described[2])
    found = _LOOSE.fullmatch(tag)
    if found is None:
        return None
    return _numbered(found[1].split("."), found[2]) + _number(commits) + ("1" if clean != version else "0")


_READERS: Mapping[VersionOrder, Callable[[str], str | None]] = {
    VersionOrder.AUTO: _auto,
    VersionOrder.SEMANTIC: _semantic,
    VersionOrder.CALENDAR: _calendar,
    VersionOrder.GIT_DESCRIBE: _git_describe,
    VersionOrder.DOTTED: _dotted,
}


def _numbered(numbers: list[str], pre_release: str | None) -> str:
    """Numbers, and what stands before the release with them. Zeros at the end say nothing: `1.0` is `1`."""
    written = [_number(digits) for digits in numbers]
    while written and written[-1] == _ZERO:
        written.pop()
    before = _RELEASE if pre_release is None else _PRE_RELEASE + _identifiers(pre_release)
    return _NUMBERED + "".join(written) + _END + before


def _identifiers(text: str) -> str:
    """SemVer 2.0, paragraph 11.4: numbers by value, before letters; more identifiers after fewer."""
    parts = (f"0{_number(part)}" if part.isdigit() else f"1{part}{_END}" for part in text.split("."))
    return "".join(parts) + _END


def _mixed(text: str) -> str:
    """Any text, with the numbers in it by value: `build9` before `build10`."""
    runs = ("".join(run) for _, run in groupby(text, str.isdigit))
    return "".join(f"0{_number(run)}" if run.isdigit() else f"1{run}{_END}" for run in runs) + _END


def _number(digits: str) -> str:
    significant = digits.lstrip("0")
    return f"{len(significant):02x}{significant}"


_ZERO = _number("0")
