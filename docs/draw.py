"""Draws the state diagrams of docs/diagrams from the transition tables. `make docs` runs it; a test compares."""

from pathlib import Path
from typing import Any

from otaru.domain.deployment import DEPLOYMENT
from otaru.domain.device import LIFECYCLE
from otaru.domain.machine import Machine
from otaru.domain.release import RELEASE
from otaru.domain.rollout import ROLLOUT

MACHINES: tuple[Machine[Any, Any], ...] = (ROLLOUT, DEPLOYMENT, RELEASE, LIFECYCLE)


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


def main() -> None:
    """Write every diagram."""
    folder = Path(__file__).parent / "diagrams"
    for machine in MACHINES:
        (folder / f"{machine.name}.md").write_text(drawn(machine), encoding="utf-8")


if __name__ == "__main__":
    main()
