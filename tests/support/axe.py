"""axe-core's judgement of a page."""

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

SOURCE = Path(__file__).parents[2] / "node_modules/axe-core/axe.min.js"

_RUN = "async () => (await axe.run(document, { resultTypes: ['violations'] })).violations"


def violations(page: Page) -> list[str]:
    """What axe finds wrong: rule, what to do, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(SOURCE.read_text())
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return [
        f"{wrong['id']} ({wrong['impact']}): {wrong['help']}: {node['html'][:160]} {node.get('failureSummary', '')}"
        for wrong in found
        for node in wrong["nodes"][:4]
    ]
