"""What the demo shows: a live view on a terminal, else a line for each change."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from otaru.apps.cli.printer import console, grid, one_line, plain, rows, several
from otaru.apps.cli.progress import counts, sections, summary

if TYPE_CHECKING:
    from otaru.apps.simulator.report import Tally

Rollout = Mapping[str, Any]


class Screen(Protocol):
    """Where the demo speaks."""

    def say(self, text: str) -> None:
        """Say something that stays."""
        ...

    def show(self, rollout: Rollout, tally: "Tally") -> None:
        """Show how far it is."""
        ...


@contextmanager
def screen(*, live: bool) -> Iterator[Screen]:
    """A view that changes in its place, or lines."""
    if not live:
        yield _Lines()
        return
    from rich.live import Live

    with Live(console=console(), auto_refresh=False, transient=False) as view:
        yield _View(view)


class _Lines:
    def __init__(self) -> None:
        self._last = ""

    def say(self, text: str) -> None:
        print(plain(text), flush=True)

    def show(self, rollout: Rollout, tally: "Tally") -> None:
        del tally
        if (line := summary(rollout)) != self._last:
            self._last = line
            print(line, flush=True)


class _View:
    def __init__(self, live: Any) -> None:
        self._live = live

    def say(self, text: str) -> None:
        self._live.console.print(plain(text), markup=False, highlight=False, soft_wrap=True)

    def show(self, rollout: Rollout, tally: "Tally") -> None:
        from rich.console import Group

        self._live.update(Group(*_parts(rollout, tally)), refresh=True)


def _parts(rollout: Rollout, tally: "Tally") -> Iterator[Any]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    waiting = sum(number for state, number in rollout["counts"].items() if state not in _final())
    yield Text("")
    yield grid(
        [
            ("rollout", f"{rollout['id']}: {rollout['product']} {rollout['version']} {rollout['state']}"),
            ("why", one_line(rollout.get("reason") or "")),
            ("devices", counts(rollout["counts"])),
            ("fleet", fleet(tally)),
        ]
    )
    yield ProgressBar(total=max(rollout["size"], 1), completed=rollout["size"] - waiting, width=60)
    for title, items, columns in sections(rollout):
        if items:
            yield Text(f"\n{title}")
            yield rows(items, columns)


def fleet(tally: "Tally") -> str:
    """What the simulated devices did, on one line."""
    refused = tally.troubles["unauthenticated"]
    parts = [
        f"{tally.polls} polls",
        f"{tally.downloads} downloads ({tally.bytes / 1e6:.1f} MB, {tally.breaks} broken off and resumed)",
        f"{tally.reports_lost} reports lost and sent again" if tally.reports_lost else "",
        f"{refused} times 401 for a wrong token" if refused else "",
    ]
    return ", ".join(part for part in parts if part)


def closing(rollout: Rollout, tally: "Tally") -> Iterator[str]:
    """The summary at the end, line by line."""
    yield f"Rollout {rollout['id']} of {rollout['product']} {rollout['version']} is {rollout['state']}."
    if rollout.get("reason"):
        yield f"  why: {one_line(rollout['reason'])}"
    for wave in rollout["waves"]:
        why = f" ({one_line(wave['reason'])})" if wave.get("reason") else ""
        size = wave["height"] - wave["start"]
        yield f"  wave {wave['index'] + 1}: {several(size, 'device', 'devices')}, {wave['state']}{why}: {counts(wave['counts'])}"
    for failure in rollout["failures"]:
        yield f"  {failure['devices']} {failure['state']}: {one_line(failure.get('reason') or '')}"
    yield f"  fleet: {fleet(tally)}"


def _final() -> frozenset[str]:
    from otaru.domain.deployment import FINAL

    return frozenset(FINAL)
