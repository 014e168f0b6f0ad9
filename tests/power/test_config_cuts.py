"""Power cuts while configuration documents are switched, alone and with an app: all of one version, never some of each."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from otaru.adapters.board.config import ConfigInstaller
from otaru.adapters.board.disk import replace as replace_file
from otaru.domain import deployment
from otaru.images.configuration import Document, pack
from otaru.ports.board import Drift
from otaru.services.edge.parts import Parts
from tests.power import test_cuts as cuts
from tests.power.test_cuts import FINAL, NEW_APP
from tests.support.edge import Device, Outcome
from tests.support.modeldisk import Fate, ModelDisk, PowerCut

DOCUMENTS = (Document("app.toml", "port = 81\n" * 1, {"type": "object"}), Document("motd", "good day\n" * 9000))
SETTINGS = {"settings": ("config", pack(DOCUMENTS))}


def settings(disk: ModelDisk, *, mends: bool = False) -> ConfigInstaller:
    return ConfigInstaller("settings", disk, "/etc/app", mends=mends)


def more(device: Device) -> Callable[[Parts], Parts]:
    return lambda parts: replace(parts, installers={**parts.installers, "settings": settings(device.disk)})


@dataclass
class Story(cuts.Story):
    """As there, of a device that has configuration, too."""

    def check(self, device: Device, outcome: Outcome, *, ends: deployment.State | None = None) -> None:
        super().check(device, outcome, ends=ends)
        done = device.server.outcomes == [FINAL.SUCCEEDED]
        assert settings(device.disk).drift() == (Drift() if done else None)
        for one in DOCUMENTS:
            assert device.disk.size(f"/etc/app/current/{one.name}") == (len(one.data) if done else None)


BOTH = {**SETTINGS, "app": ("file", NEW_APP)}
STORIES = [
    Story("configuration", FINAL.SUCCEEDED, parts=dict(SETTINGS), more=more),
    Story("configuration and app", FINAL.SUCCEEDED, parts=dict(BOTH), more=more),
    Story("configuration and app, sick", FINAL.REVERTED, parts=dict(BOTH), more=more, device={"sick": True}),
]


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points(story: Story) -> None:
    cuts.singles(story, 3)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_some_points_and_another_while_it_recovers(story: Story) -> None:
    cuts.doubles(story, cuts.EVERYDAY * 40)


@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_disk_that_is_full_or_fails_at_some_points(story: Story) -> None:
    cuts.faults(story, cuts.EVERYDAY)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("story", STORIES, ids=str)
def test_a_cut_at_every_point(story: Story) -> None:
    cuts.singles(story, 1)
    cuts.faults(story, 1)


@pytest.mark.parametrize("fate", list(Fate))
def test_what_is_put_back_is_whole_or_drift(fate: Fate) -> None:
    """Cut at every operation of it: a document is the changed one, or the right one; and at last all are right."""
    device, _ = STORIES[0].play()
    replace_file(device.disk, "/etc/app/current/motd", b"changed")
    made = device.disk
    assert settings(made.copy(), mends=True).drift() == Drift(("motd",), ("motd",))
    for point in range(40):
        disk = made.copy()
        disk.cuts, disk.fate, disk.seed = frozenset({point}), fate, point
        try:
            settings(disk, mends=True).drift()
        except PowerCut:
            disk.cut()
        assert disk.read_at("/etc/app/current/motd", 0, 1 << 20) in {b"changed", DOCUMENTS[1].data}
        settings(disk, mends=True).drift()
        assert settings(disk).drift() == Drift()
