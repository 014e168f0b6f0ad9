"""`python -m benchmarks`: Otaru beside its baselines, in turns.

Polls and reports by gooseBit, nginx and a bare prototype; files by nginx; fleets of up to a million by bare SQL.
"""

import argparse
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import appending, device, directing, files, growth, machine, measure, report
from benchmarks.chart import svg
from benchmarks.growth import Extent
from benchmarks.load import LoadError
from benchmarks.report import Kind, Result, Run
from benchmarks.subjects import MissingError, Subject, fleet
from benchmarks.subjects.bare import Bare
from benchmarks.subjects.goosebit import GooseBit
from benchmarks.subjects.nginx import Nginx
from benchmarks.subjects.otaru import Otaru
from benchmarks.subjects.process import ask_bytes

_HERE = Path(__file__).parent
_STAND_IN = b'{"config":{"polling":{"sleep":"00:05:00"}}}'
"""What the floors answer when Otaru is left out."""


class Plan:
    """How much is measured. `race_s` bounds a race: on a slow machine fewer rounds are run."""

    def __init__(self, *, quick: bool) -> None:
        self.fleets = (1_000,) if quick else (1_000, 20_000)
        self.rounds = 3 if quick else 7
        self.seconds = 1 if quick else 5
        self.race_s = 30.0 if quick else 150.0
        self.file_rounds, self.file_seconds = (2, 1) if quick else (6, 2)
        self.directing = (50, 5) if quick else (256, 21)
        self.appending = (1_000, 3) if quick else (4_096, 12)
        self.device = {
            "starts": 1 if quick else 5,
            "seconds": 10 if quick else 60,
            "size": 16 << 20 if quick else 64 << 20,
        }
        self.growth = Extent(
            sizes=(1_000, 10_000) if quick else (1_000, 10_000, 100_000, 1_000_000),
            searches=5 if quick else 40,
            starts=1 if quick else 3,
            everybody=1_000 if quick else 1_000_000,
            pace_s=2 if quick else 30,
        )


PARTS = ("polls", "files", "growth", "director", "log", "agent")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small fleets, short rounds: under 3 minutes")
    parser.add_argument(
        "--only", default="otaru,goosebit,nginx,bare", help="subjects to measure (default: %(default)s)"
    )
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="where the table goes (default: RESULTS.md; quick: .cache/quick.md)")
    given = parser.parse_args()
    plan = Plan(quick=given.quick)
    began = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")  # noqa: TID251 - a program of ours, not the product
    run = Run(began, given.quick, machine.facts())
    started = time.monotonic()
    try:
        _all(run, plan, given.parts.split(","), given.only.split(","))
    except (LoadError, RuntimeError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    run.took_s = time.monotonic() - started
    out = given.out or (_HERE / ".cache" / "quick.md" if given.quick else _HERE / "RESULTS.md")
    print(_write(run, out))
    print(f"Written to {out}, after {run.took_s / 60:.0f} minutes")
    return 0


def _all(run: Run, plan: Plan, parts: list[str], only: list[str]) -> None:
    for size in plan.fleets if "polls" in parts else ():
        _measure(run, plan, size, only)
    if "files" in parts:
        print("files: downloads and uploads", flush=True)
        try:
            run.sections += map(files.section, files.measure(rounds=plan.file_rounds, seconds=plan.file_seconds))
        except MissingError as error:
            run.missing["files"] = str(error)
    if "growth" in parts:
        run.sections += growth.sections(growth.measure(plan.growth))
    if "director" in parts:
        print("director: refreshes of devices' metadata", flush=True)
        run.sections.append(directing.section(directing.measure(*plan.directing)))
    if "log" in parts:
        print("log: appends", flush=True)
        run.sections.append(appending.section(appending.measure(*plan.appending)))
    if "agent" in parts:
        print("agent: its install, memory and CPU", flush=True)
        try:
            run.sections.append(device.section(device.measure(**plan.device)))
        except MissingError as error:
            run.missing["agent"] = str(error)


def _write(run: Run, out: Path) -> str:
    """Write the report, and its pictures into `plots` beside it."""
    text, plots = report.markdown(run, "plots"), out.parent / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for section in run.sections:
        for name, chart in section.charts.items():
            (plots / f"{name}.svg").write_text(svg(chart))
    out.write_text(text)
    return text


def _measure(run: Run, plan: Plan, size: int, only: list[str]) -> None:
    with ExitStack() as stack:
        subjects = _start(run, size, only, stack)
        for kind in Kind:
            _race(run, plan, kind, size, subjects)


def _start(run: Run, size: int, only: list[str], stack: ExitStack) -> list[Subject]:
    devices, started, answer = fleet(size), list[Subject](), _STAND_IN
    print(f"{size:,} devices: starting", flush=True)

    def start(subject: Subject) -> bool:
        stack.callback(subject.stop)
        try:
            subject.start(devices)
        except MissingError as error:
            run.missing[subject.name] = str(error)
            print(f"  left out: {error}", file=sys.stderr, flush=True)
            return False
        started.append(subject)
        run.versions[subject.name] = subject.version()
        return True

    if "otaru" in only and start(otaru := Otaru()):
        answer = otaru.answer()
    if "goosebit" in only:
        start(GooseBit())
    if "nginx" in only:
        start(Nginx(answer))
    if "bare" in only:
        start(Bare(answer))
    _check_credentials(run, started)
    return started


def _check_credentials(run: Run, subjects: list[Subject]) -> None:
    """Who looks at tokens: to answer without looking is cheaper."""
    device = fleet(1)[0]
    for subject in subjects:
        port = subject.polls().port
        right, _ = ask_bytes(port, "GET", device.path, device.authorization)
        wrong, _ = ask_bytes(port, "GET", device.path, "TargetToken wrong")
        said = f"{subject.name} answers {right} to a device's token and {wrong} to a wrong one."
        if said not in run.checks:
            run.checks.append(said)


def _race(run: Run, plan: Plan, kind: Kind, size: int, subjects: list[Subject]) -> None:
    entrants = []
    for subject in subjects:
        work = subject.polls() if kind is Kind.POLLS else subject.reports()
        if work is not None:
            entrants.append(measure.Entrant(subject.name, subject.pid, subject.settle_s, work))
    if not entrants:
        return
    print(f"{size:,} devices: {kind} of {', '.join(entrant.name for entrant in entrants)}", flush=True)
    before = {s.name: s.kept() for s in subjects if kind is Kind.REPORTS}
    stolen, stop_at = machine.stolen_s(), time.monotonic() + plan.race_s
    race = measure.run(entrants, rounds=plan.rounds, seconds=plan.seconds, stop_at=stop_at)
    run.results.append(Result(kind, size, plan.seconds, race, machine.stolen_s() - stolen))
    if kind is Kind.REPORTS:
        _check_kept(run, size, race, [s for s in subjects if s.name in race.samples], before)


def _check_kept(run: Run, size: int, race: measure.Race, subjects: list[Subject], before: dict[str, int]) -> None:
    """Acknowledged means kept: count what is on disk."""
    for subject in subjects:
        answers = sum(sample.outcome.answers for sample in race.samples[subject.name])
        kept = subject.kept() - before[subject.name]
        said = (
            f"{subject.name}, {size:,} devices: {answers:,} reports acknowledged, {kept:,} new ones on disk afterwards."
        )
        run.checks.append(said)
        if kept < answers and subject.name == Otaru.name:
            raise RuntimeError(said)


if __name__ == "__main__":
    sys.exit(main())
