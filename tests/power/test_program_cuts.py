"""Power cuts while another program installs: a maker's script or application, dpkg, SWUpdate, RAUC.

As `test_cuts`, whose stories these are, on doubles of the programs (`tests.support.doubles`): the power goes at each thing that
the agent does, and at each thing that they do for it: called and nothing done, half of it, all of it and nobody told. And the
agent alone is ended at each of these points, while the program ends with it, or goes on and finishes.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import pytest

from otaru.adapters.board.bootloaders import FileBootloader
from otaru.adapters.board.deb import DebInstaller
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.script import Commands, ScriptInstaller
from otaru.adapters.board.swupdate import SwupdateInstaller
from otaru.domain.deployment import State
from otaru.ports.board import Installer
from tests.power import test_cuts as cuts
from tests.power.test_cuts import FINAL, NEW_APP, NEW_OS, Story
from tests.support.doubles import Doubles, a_deb, packaged, scripted
from tests.support.edge import OLD_APP, OLD_OS, Device
from tests.support.modeldisk import Fate, PowerCut

WEB = Commands(**{name: ("web", name) for name in ("install", "activate", "standing", "revert", "commit")})


@dataclass
class Neighbours(Device):
    """A device on which others install."""

    os_by: str = "raw"
    app_by: str = "files"
    package: bool = True
    """The factory has installed one."""
    locked: int = 0
    rejects: str = ""
    programs: Doubles = field(init=False)

    def __post_init__(self) -> None:
        self.programs = Doubles(self.disk, locked=self.locked, rejects=self.rejects)

    def provision(self) -> "Device":
        super().provision()
        if self.app_by == "script":
            scripted(self.disk, OLD_APP)
        elif self.app_by == "deb":
            packaged(self.disk, OLD_APP if self.package else b"")
        return self

    def installers(self, boot: FileBootloader) -> dict[str, Installer]:
        disk, programs, notes = self.disk, self.programs, "/data/slots-os"
        programs.booted = boot.current()
        made: dict[str, Installer] = super().installers(boot)
        match self.os_by:
            case "swupdate":
                select = {"a": "stable,copy-a", "b": "stable,copy-b"}
                made["os"] = SwupdateInstaller("os", disk, boot, notes, select=select, programs=programs)
            case "rauc":
                made["os"] = RaucInstaller("os", disk, boot, notes, programs=programs)
            case _:
                assert isinstance(made["os"], RawInstaller)
        match self.app_by:
            case "script":
                made["app"] = ScriptInstaller("app", WEB, programs=programs)
            case "deb":
                made["app"] = DebInstaller("app", disk, "/opt/app", "app", programs=programs)
            case _:
                made["app"] = FilesInstaller("app", disk, "/opt/app", after=["restart"], programs=programs)
        return made

    def gone(self, how: PowerCut) -> None:
        super().gone(how)
        if self.stays:
            self.programs.agent_gone(finish=self.disk.seed % 2 == 1)
        else:
            self.programs.power_gone()

    def app(self) -> bytes:
        """What runs, whole: the script's, or dpkg's with what its postinst has written for it."""
        disk = self.disk
        if self.app_by == "script":
            return disk.read_at("/opt/web/now", 0, 1 << 30)
        if self.app_by != "deb":
            place = f"/opt/app/{self.programs.running or 'current'}"
            (name,) = disk.names(place + "/")
            return disk.read_at(f"{place}/{name}", 0, 1 << 30)
        status, version = self.programs._status()
        if not status:
            return b""  # a file whose removal was lost with the power may be left: dpkg knows of none
        told = disk.read_at("/etc/app.conf", 0, 100).decode()
        runs = disk.read_at("/usr/app/bin", 0, 1 << 30)
        return runs if (status, version) == ("installed", told) else f"{status} {version} {told}".encode() + runs


def story(name: str, ends: State, by: dict[str, str], **device: object) -> Story:
    """An update of these components, each by its installer."""
    parts = {
        "os": ({"swupdate": "swupdate", "rauc": "rauc"}.get(by.get("os", ""), "raw"), NEW_OS),
        "app": ("file", NEW_APP),
    }
    if by.get("app") == "deb":
        parts["app"] = ("deb", a_deb("2.0.0", NEW_APP, configures=not device.pop("does_not_configure", False)))
    before = (OLD_OS, b"" if device.get("package") is False else OLD_APP)
    places: dict[str, Any] = {f"{component}_by": installer for component, installer in by.items()}
    kind = partial(Neighbours, **places, package=bool(device.pop("package", True)))
    return Story(name, ends, {name: parts[name] for name in by}, device, kind=kind, before=before)


FILES, SCRIPT, DEB, SWUPDATE, RAUC = (
    {"app": "files"},
    {"app": "script"},
    {"app": "deb"},
    {"os": "swupdate"},
    {"os": "rauc"},
)
STORIES = [
    story("files", FINAL.SUCCEEDED, FILES),
    story("files, sick", FINAL.REVERTED, FILES, sick=True),
    story("script", FINAL.SUCCEEDED, SCRIPT),
    story("script, sick", FINAL.REVERTED, SCRIPT, sick=True),
    story("deb", FINAL.SUCCEEDED, DEB),
    story("deb, sick", FINAL.REVERTED, DEB, sick=True),
    story("deb, the first", FINAL.SUCCEEDED, DEB, package=False),
    story("deb, the first, sick", FINAL.REVERTED, DEB, package=False, sick=True),
    story("deb that does not configure", FINAL.FAILED, DEB, does_not_configure=True),
    story("deb while another dpkg works", FINAL.SUCCEEDED, DEB, locked=3),
    story("swupdate", FINAL.SUCCEEDED, SWUPDATE),
    story("swupdate, dead", FINAL.REVERTED, SWUPDATE, dead=True),
    story("swupdate says no", FINAL.FAILED, SWUPDATE, rejects="not for this hardware"),
    story("rauc", FINAL.SUCCEEDED, RAUC),
    story("rauc, dead", FINAL.REVERTED, RAUC, dead=True),
    story("rauc says no", FINAL.FAILED, RAUC, rejects="not for this hardware"),
    story("swupdate and deb", FINAL.SUCCEEDED, SWUPDATE | DEB),
    story("swupdate and deb, sick", FINAL.REVERTED, SWUPDATE | DEB, sick=True),
    story("rauc and script", FINAL.SUCCEEDED, RAUC | SCRIPT),
    story("rauc and script, sick", FINAL.REVERTED, RAUC | SCRIPT, sick=True),
]
FATES = (*cuts.FATES, (Fate.ALONE, 0), (Fate.ALONE, 1))
EVERYDAY = 47
"""Without `slow` each so manieth is played."""


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points(story: Story) -> None:
    cuts.singles(story, EVERYDAY, FATES)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_some_points(story: Story) -> None:
    cuts.faults(story, EVERYDAY)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_every_point(story: Story) -> None:
    cuts.singles(story, 1, FATES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_two_cuts_at_many_points(story: Story) -> None:
    cuts.doubles(story, 29, FATES)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_every_point(story: Story) -> None:
    cuts.faults(story, 1)
