"""Copies what the console loads from `node_modules` to where its pages find it. Run by `make setup` after `npm ci`.

Only what is used is copied: two scripts, a style sheet, the letters of one typeface, the icons named below as one file,
and everybody's licence.
"""

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).parents[1]
MODULES = ROOT / "node_modules"
VENDOR = ROOT / "src/otaru/apps/console/static/vendor"

FILES = (
    "htmx.org/dist/htmx.min.js",
    "idiomorph/dist/idiomorph-ext.min.js",
    "uplot/dist/uPlot.esm.js",
    "uplot/dist/uPlot.min.css",
    *(
        f"@fontsource-variable/inter/files/inter-{letters}-wght-normal.woff2"
        for letters in ("latin", "latin-ext", "greek", "cyrillic")
    ),
)
PACKAGES = ("@fontsource-variable/inter", "heroicons", "htmx.org", "idiomorph", "uplot")
ICONS = (
    "archive-box",
    "arrow-down-tray",
    "arrow-path",
    "arrow-right-start-on-rectangle",
    "arrow-up-tray",
    "arrow-uturn-left",
    "bars-3",
    "bell-alert",
    "book-open",
    "check",
    "chevron-down",
    "chevron-left",
    "chevron-right",
    "clipboard-document",
    "clock",
    "cog-6-tooth",
    "cpu-chip",
    "cube",
    "document",
    "ellipsis-horizontal",
    "exclamation-triangle",
    "hand-raised",
    "home",
    "information-circle",
    "key",
    "list-bullet",
    "magnifying-glass",
    "map-pin",
    "moon",
    "no-symbol",
    "pause",
    "pencil-square",
    "play",
    "plus",
    "question-mark-circle",
    "rocket-launch",
    "signal-slash",
    "stop",
    "sun",
    "tag",
    "trash",
    "user-circle",
    "x-mark",
)


def main() -> None:
    """Make the folder anew."""
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for name in FILES:
        shutil.copy(MODULES / name, VENDOR)
    (VENDOR / "icons.svg").write_text(sprite())
    (VENDOR / "LICENSES.txt").write_text(
        "\n\n".join(f"{p}\n\n{(MODULES / p / 'LICENSE').read_text()}" for p in PACKAGES)
    )


def sprite() -> str:
    """All icons in one file, each a symbol of its name."""
    symbols = "".join(_symbol(name) for name in ICONS)
    return f'<svg xmlns="http://www.w3.org/2000/svg">{symbols}</svg>\n'


def _symbol(name: str) -> str:
    drawn = (MODULES / "heroicons/24/outline" / f"{name}.svg").read_text()
    found = re.fullmatch(r"<svg[^>]*>(.*)</svg>\s*", drawn, re.DOTALL)
    if found is None:
        raise SystemExit(f"heroicons: {name}.svg is no picture that we understand")
    lines = 'fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"'
    return f'<symbol id="{name}" viewBox="0 0 24 24"><g {lines}>{found[1].strip()}</g></symbol>'


if __name__ == "__main__":
    main()
