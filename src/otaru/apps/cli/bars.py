"""Progress bars on a terminal, nothing elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager

from otaru.apps.cli.printer import console
from otaru.apps.cli.uploads import Progress, silent


@contextmanager
def bar(name: str) -> Iterator[Progress]:
    """A progress bar on stderr, where that is a terminal; gone when it is over."""
    if not (out := console(stderr=True)).is_terminal:
        yield silent
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=out, transient=True) as bars:
        task = bars.add_task(name, total=None)
        phase = ""

        def show(what: str, done: int, total: int) -> None:
            nonlocal phase
            if what != phase:
                phase = what
                bars.reset(task, total=total, description=f"{what} {name}")
            bars.update(task, completed=done)

        yield show
