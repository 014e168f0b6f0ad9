"""`otaru rollout watch`: follow a rollout until it has come so far.

The counts are asked for every LOOK_S; an event about the rollout is a reason to ask at once. Without a stream of events
(a proxy in between that holds them back, an old server) it is the asking alone, which loses nothing but a moment.
"""

import math
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from otaru.apps.cli.client import Api, path
from otaru.apps.cli.exits import Exit
from otaru.apps.cli.printer import Printer, console, grid, remark, rows
from otaru.apps.cli.progress import Rollout, details, failures, sections, summary
from otaru.apps.cli.stream import Feed
from otaru.errors import InvalidInputError, OtaruError

LOOK_S = 2.0
ENDED = frozenset({"finished", "stopped"})
STATES = frozenset({"finished", "stopped", "paused"})
_WAVE = re.compile(r"wave:([1-9]\d{0,2})")

Show = Callable[[Rollout], None]


def goal(until: str) -> Callable[[Rollout], bool]:
    """Whether a rollout has come as far as `until` says.

    Raises:
        InvalidInputError: `until` says nothing we know.
    """
    if until in STATES:
        return lambda rollout: rollout["state"] == until
    if found := _WAVE.fullmatch(until):
        index = int(found[1]) - 1
        return lambda rollout: any(
            w["index"] == index and w["state"] not in {"pending", "never_opened"} for w in rollout["waves"]
        )
    raise InvalidInputError(f"{until!r} is nothing to wait for", hint="Write finished, stopped, paused or wave:N.")


def watched(api: Api, printer: Printer, rollout: int, until: str, timeout_s: float | None) -> Exit | None:
    """Follow a rollout until `until`, its end, or the time is over; the exit code says which."""
    reached = goal(until)
    end = math.inf if timeout_s is None else time.monotonic() + timeout_s
    told_paused = False
    with _shown(printer) as show:
        for found in _looks(api, rollout, end):
            show(found)
            if reached(found) or found["state"] in ENDED:
                break
            if found["state"] == "paused" and not told_paused:
                told_paused = True
                remark(f"otaru: rollout {rollout} is paused; waiting for somebody to resume or stop it")
    if printer.json:
        printer.document(found)
    return verdict(found, until)


def verdict(rollout: Rollout, until: str) -> Exit | None:
    """The exit code for where watching ended; None where all is well."""
    state, reached = rollout["state"], goal(until)(rollout)
    if not reached and state not in ENDED:
        remark(f"otaru: the time is over, and rollout {rollout['id']} is {state}")
        return Exit.FAILED
    if until == "finished":
        if state == "stopped":
            remark(f"otaru: rollout {rollout['id']} was stopped: {rollout.get('reason') or 'no reason is given'}")
            return Exit.PARTLY
        # Who expired unreached is no failure of the release, but not what was asked for either.
        return Exit.PARTLY if failures(rollout) or rollout.get("reason") == "expired" else None
    if not reached:
        remark(f"otaru: rollout {rollout['id']} is {state}, so it will not be {until} any more")
        return Exit.FAILED
    return None


def _looks(api: Api, rollout: int, end: float) -> Iterator[Rollout]:
    """The rollout now and each time it may have changed, until the monotonic time `end`."""
    here = path("rollouts", rollout)
    yield api.get(here)
    wait = _waiter(api, rollout)
    while (left := end - time.monotonic()) > 0:
        wait(min(LOOK_S, left))
        yield api.get(here)


def _waiter(api: Api, rollout: int) -> Callable[[float], object]:
    """Waits for an event about the rollout, so many seconds at most; just waits where events cannot be had."""
    try:
        feed = Feed(api, subject=str(rollout))
    except OtaruError:
        return api.sleep

    broken = False

    def wait(seconds: float) -> None:
        nonlocal broken
        if broken:
            api.sleep(seconds)
            return
        try:
            # However many events have piled up, one look answers them all.
            while feed.next(seconds) is not None:
                seconds = 0.0
        except (OtaruError, ValueError):
            broken = True

    return wait


@contextmanager
def _shown(printer: Printer) -> Iterator[Show]:
    """How each look is shown: a live view on a terminal, else a line for each change (on stderr beside --json)."""
    if sys.stdout.isatty() and not printer.json:
        with _live() as show:
            yield show
        return
    last = ""

    def line(found: Rollout) -> None:
        nonlocal last
        if (said := summary(found)) != last:
            last = said
            print(said, file=sys.stderr if printer.json else sys.stdout, flush=True)

    yield line


@contextmanager
def _live() -> Iterator[Show]:
    from rich.console import Group
    from rich.live import Live

    with Live(console=console(), auto_refresh=False) as live:

        def show(found: Rollout) -> None:
            live.update(Group(*_view(found)), refresh=True)

        yield show


def _view(rollout: Rollout) -> Iterator[Any]:
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    shown = {"rollout", "name", "release", "state", "why", "devices"}
    yield grid([(name, value) for name, value in details(rollout) if name in shown])
    ended = rollout["size"] - sum(n for state, n in rollout["counts"].items() if state not in _final())
    yield ProgressBar(total=max(rollout["size"], 1), completed=ended, width=60)
    for title, items, columns in sections(rollout):
        if items:
            yield Text(f"\n{title}")
            yield rows(items, columns)


def _final() -> frozenset[str]:
    from otaru.domain.deployment import FINAL

    return frozenset(FINAL)
