"""Docs are tested: every setting, error code and event is documented, and diagrams are as the tables are."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from otaru import errors
from otaru.apps.agent import remote_settings as remote
from otaru.apps.agent import settings as agent
from otaru.apps.agent.neighbours import Hooks, Local, Locks, Probe
from otaru.apps.server.settings import Settings
from otaru.domain.events import Kind
from otaru.domain.offer import Rule
from otaru.trust.verify.refusals import REFUSALS

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def first_column(page: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", (DOCS / page).read_text(), re.MULTILINE))


def drawing() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw", DOCS / "draw.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_setting_is_documented_and_no_other() -> None:
    assert first_column("configuration.md") == set(Settings.model_fields)


def test_every_error_code_is_documented_and_no_other() -> None:
    codes = {c.code for c in vars(errors).values() if isinstance(c, type) and issubclass(c, errors.OtaruError)}
    assert first_column("errors.md") == codes


def test_every_refusal_of_a_device_is_documented_and_no_other() -> None:
    assert first_column("attacks.md") == set(REFUSALS)


def test_every_event_is_documented_and_no_other() -> None:
    assert first_column("events.md") == set(map(str, Kind))


def test_diagrams_are_drawn_from_the_tables() -> None:
    draw = drawing()
    for machine in draw.MACHINES:
        page = DOCS / "diagrams" / f"{machine.name}.md"
        assert page.read_text() == draw.drawn(machine), f"{page.name} is old: make docs"


def test_the_table_of_resumptions_is_drawn_from_the_code() -> None:
    assert (DOCS / "diagrams/resume.md").read_text() == drawing().resumed(), "resume.md is old: make docs"


def test_every_key_of_an_agent_is_documented_and_no_other() -> None:
    def keys(of: type, before: str = "") -> set[str]:
        return {before + name for name in of.__struct_fields__}  # type: ignore[attr-defined]

    lists = {
        "component[].commands.": agent.Commands,
        "download.limits[].": agent.Limit,
        "health.http[].": Probe,
        "backup.item[].": agent.Saved,
        "command[].": remote.Command,
    }
    inner = keys(agent.Component, "component[].")
    sections = {"boot": agent.Boot, "health": agent.Health, "conditions": agent.Conditions, "download": agent.Download}
    sections |= {"windows": agent.Windows}
    sections |= {"locks": Locks, "hooks": Hooks, "local": Local, "server": agent.Server, "backup": agent.Backup}
    sections |= {"monitor": remote.Monitor, "diagnostics": remote.Diagnostics, "remote": remote.Remote}
    for name, section in sections.items():
        inner |= keys(section, f"{name}.")
    for before, of in lists.items():
        inner = inner - {before.rstrip("[].")} | keys(of, before)
    wanted = keys(agent.Settings) - {"component", "command", *sections} | inner
    page = (DOCS / "agent.md").read_text().partition("| key | is |")[2].partition("## How")[0]
    assert set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)) == wanted


def test_the_floors_are_drawn_from_the_contracts() -> None:
    assert (DOCS / "diagrams/floors.md").read_text() == drawing().floors(), "floors.md is old: make docs"


def test_the_walks_through_the_code_name_files_that_are_there() -> None:
    named = re.findall(r"`((?:src|tests)/[\w/.]+)`", (DOCS / "architecture.md").read_text())
    assert len(named) > 30
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_rule_has_its_line_in_the_decision_tree() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", (DOCS / "my-device-did-not-update.md").read_text(), re.MULTILINE)
    assert rows == [str(rule) for rule in Rule]


def test_the_command_line_is_documented_as_it_is() -> None:
    assert (DOCS / "cli.md").read_text() == drawing().commands(), "cli.md is old: make docs"


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_decision_is_listed() -> None:
    listed = set(re.findall(r"\(([0-9]{4}-[^)]+\.md)\)", (DOCS / "adr/index.md").read_text()))
    assert listed == {p.name for p in (DOCS / "adr").glob("[0-9]*.md")}
