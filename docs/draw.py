"""Draws what docs take from the code: floors, state diagrams and the command line's pages. `make docs` runs it; a test compares."""

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer.main

from otaru.apps.cli.app import app
from otaru.domain.deployment import DEPLOYMENT
from otaru.domain.device import LIFECYCLE
from otaru.domain.errand import ERRAND
from otaru.domain.machine import Machine
from otaru.domain.release import RELEASE
from otaru.domain.rollout import ROLLOUT
from otaru.domain.update import RESUME, UPDATE

MACHINES: tuple[Machine[Any, Any], ...] = (ROLLOUT, DEPLOYMENT, RELEASE, LIFECYCLE, UPDATE, ERRAND)


def drawn(machine: Machine[Any, Any]) -> str:
    """A page with the machine as a Mermaid diagram; edges between the same two states share an arrow."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in machine.table.items():
        edges.setdefault((state, target), []).append(str(event))
    lines = [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in edges.items()]
    ends = [f"    {state} --> [*]" for state in sorted(machine.final) if not machine.allowed(state)]
    return "\n".join(
        [
            "<!-- Drawn by docs/draw.py from the transition table. Change the table, then `make docs`. -->",
            "```mermaid",
            "stateDiagram-v2",
            f"    [*] --> {machine.initial}",
            *lines,
            *ends,
            "```",
            "",
        ]
    )


def resumed() -> str:
    """What a device does in each state after power came back, from the table."""
    lines = [
        "<!-- Drawn by docs/draw.py from RESUME. Change the table, then `make docs`. -->",
        "| state | after power came back | at most | then |",
        "|---|---|---|---|",
    ]
    for state, row in RESUME.items():
        lines += [f"| `{state}` | {row.way.replace('_', ' ')} | {row.limit or ''} | {row.beyond or ''} |"]
    return "\n".join([*lines, ""])


def floors() -> str:
    """The floors of the house, as import-linter holds them; what stands side by side knows nothing of one another."""
    settings = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    stacks = [
        (contract["containers"][0], [layer.split(" | ") for layer in contract["layers"]])
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "layers"
    ]
    lines = [
        "<!-- Drawn by docs/draw.py from the contracts in pyproject.toml. Change them, then `make docs`. -->",
        "```mermaid",
    ]
    lines += ["flowchart TD"]
    for number, (container, layers) in enumerate(stacks):
        lines += [f"    subgraph s{number} [{container}]"]
        lines += [f"        s{number}{room}[{room}]" for layer in layers for room in layer]
        lines += [
            f"        s{number}{upper} --> s{number}{lower}"
            for above, below in pairwise(layers)
            for upper in above
            for lower in below
        ]
        lines += ["    end"]
    return "\n".join([*lines, "```", ""])


def commands() -> str:
    """The page of the command line: the help text of each command."""
    parts = [
        "<!-- Written by docs/draw.py from the command line itself. Change a command, then `make docs`. -->",
        "# Command line",
        "",
        "Every command that prints data takes `--json` and then prints one JSON document.",
        "",
    ]
    _help(typer.main.get_command(app), "otaru", None, parts)
    return "\n".join(parts)


def _help(command: Any, path: str, parent: Any, parts: list[str]) -> None:
    context = command.context_class(command, info_name=path.rsplit(" ", 1)[-1], parent=parent, terminal_width=88)
    text = command.get_help(context)
    parts += [f"{'##' if path.count(' ') < 2 else '###'} `{path}`", "", "```text", text.rstrip(), "```", ""]
    for name in getattr(command, "commands", {}):
        _help(command.commands[name], f"{path} {name}", context, parts)


def main() -> None:
    """Write every page."""
    folder = Path(__file__).parent
    for machine in MACHINES:
        (folder / "diagrams" / f"{machine.name}.md").write_text(drawn(machine), encoding="utf-8")
    (folder / "diagrams" / "resume.md").write_text(resumed(), encoding="utf-8")
    (folder / "diagrams" / "floors.md").write_text(floors(), encoding="utf-8")
    (folder / "cli.md").write_text(commands(), encoding="utf-8")


if __name__ == "__main__":
    main()
