"""agent.toml: what is right is read, what is wrong is one line with its key."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from otaru.adapters.board.config import ConfigInstaller
from otaru.adapters.board.deb import DebInstaller
from otaru.adapters.board.disk import LocalDisk
from otaru.adapters.board.files import FilesInstaller
from otaru.adapters.board.gauges import BoardGauges
from otaru.adapters.board.rauc import RaucInstaller
from otaru.adapters.board.raw import RawInstaller
from otaru.adapters.board.script import ScriptInstaller
from otaru.adapters.board.senses import BoardSenses
from otaru.adapters.board.swupdate import SwupdateInstaller
from otaru.adapters.clock import SystemClock
from otaru.apps.agent import neighbours
from otaru.apps.agent.forms import SAID
from otaru.apps.agent.saving import safe
from otaru.apps.agent.settings import read
from otaru.apps.agent.wiring import installer, manner
from otaru.domain.update import Moment
from otaru.errors import InvalidInputError
from otaru.ports.board import Installer

APP = '[[component]]\nname = "app"\ninstaller = "files"\nfolder = "/opt/app"\n'
OS = '[[component]]\nname = "os"\ninstaller = "raw"\na = "/dev/a"\nb = "/dev/b"\n'
SCRIPT = '[[component]]\nname = "web"\ninstaller = "script"\n'
COMMANDS = '[component.commands]\ninstall = ["i"]\nactivate = ["a"]\nstanding = ["s"]\nrevert = ["r"]\n'
SWU = '[[component]]\nname = "os"\ninstaller = "swupdate"\n'
CONFIG = '[[component]]\nname = "settings"\ninstaller = "config"\nfolder = "/etc/app"\n'
ITEM = '[[backup.item]]\nname = "st"\n'
DEB = '[[component]]\nname = "app"\ninstaller = "deb"\n'
BOOT = '[boot]\nkind = "script"\nscript = ["/boot"]\n'


def test_the_example_of_the_page_is_read(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs/agent.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    (tmp_path / "agent.toml").write_text(example)
    found = read(tmp_path / "agent.toml")
    assert [one.name for one in found.component] == ["os", "app"]
    assert found.health.memory == 20_000_000
    how = manner(found)
    assert [limit.bytes_per_s for limit in how.limits] == [50_000]
    assert how.addresses("ab" * 32, ["https://o/f"]) == ["https://o/f"]


def test_commands_are_an_installer_of_what_they_take(tmp_path: Path) -> None:
    text = 'data = "/d"\n' + SCRIPT + 'takes = ["mcuboot"]\n' + COMMANDS
    (tmp_path / "agent.toml").write_text(text)
    found = read(tmp_path / "agent.toml")
    made = installer(found.component[0], found, LocalDisk())
    assert isinstance(made, ScriptInstaller)
    assert (made.components, made.kinds) == (frozenset({"web"}), frozenset({"mcuboot"}))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (SWU.replace("swupdate", "rauc"), RaucInstaller),
        (SWU + 'select_a = "stable,copy1"\n', SwupdateInstaller),
        (DEB + 'package = "hello"\n', DebInstaller),
        (OS, RawInstaller),
        (APP, FilesInstaller),
        (CONFIG, ConfigInstaller),
    ],
)
def test_each_installer_is_made(tmp_path: Path, text: str, kind: type[Installer]) -> None:
    (tmp_path / "agent.toml").write_text(f'data = "{tmp_path}"\n' + BOOT + text)
    found = read(tmp_path / "agent.toml")
    assert isinstance(installer(found.component[0], found, LocalDisk()), kind)


def test_caches_near_the_device_are_asked_first(tmp_path: Path) -> None:
    near = '[download]\nmirrors = ["http://cache/{sha256}", "http://[::1]:8080/blobs/{sha256:2}/{sha256}"]\n'
    (tmp_path / "agent.toml").write_text('data = "/d"\n' + near + APP)
    how = manner(read(tmp_path / "agent.toml"))
    digest = "ab" * 32
    wanted = [f"http://cache/{digest}", f"http://[::1]:8080/blobs/ab/{digest}", "https://o/f"]
    assert how.addresses(digest, ["https://o/f"]) == wanted


def test_the_memory_for_deltas_is_bounded_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    for said, memory in (("", 40_000_000), ("delta_memory = 0\n", 0), ("delta_memory = 9\n", 9)):
        (tmp_path / "agent.toml").write_text('data = "/d"\n[download]\n' + said + APP)
        assert manner(read(tmp_path / "agent.toml")).memory == memory


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (APP, "data"),
        ("data = 1\n" + APP, "data: it is a whole number, not text"),
        ('data = "here"\n' + APP, "data: it is not an absolute path"),
        ('data = "/d"\n', "component: it is missing"),
        ('data = "/d"\ncomponent = []\n', "component: it is empty"),
        ('data = "/d"\nsome = 1\n' + APP, "some: there is no such key"),
        ('data = "/d"\n' + APP + "[boot]\n", "boot.kind: it is missing"),
        ('data = "/d"\n' + APP + 'trials = "many"\n', "component[0].trials: it is text, not a whole number"),
        ('data = "/d"\n' + APP + "trials = 11\n", "component[0].trials: it is more than 10"),
        ('data = "/d"\n' + APP + "after_timeout_s = 0\n", "component[0].after_timeout_s: it is not more than 0"),
        ('data = "/d"\n' + APP + "[monitor]\nperiod_s = 0\n", "monitor.period_s: it is less than 1"),
        ('data = "/d"\n' + APP + "[monitor]\nperiod_s = 2026-01-01\n", "monitor.period_s: it is a date, not a number"),
        ('data = "/d"\n' + APP + "[conditions]\nbattery = 1\n", "conditions.battery: it is a whole number, not text"),
        ('data = "/d"\n' + APP + "[monitor]\nreason = 1\n", "monitor.reason: it is a whole number, not a list"),
        (
            'data = "/d"\n' + APP + f'[diagnostics]\nredact = ["{"x" * 201}"]\n',
            "redact[0]: it has more than 200 characters",
        ),
        (
            'data = "/d"\n' + APP + '[monitor]\ncommands = { "a b" = ["x"] }\n',
            "monitor.commands: one of its names: it is not a name: at most",
        ),
        ('data = "/d"\n' + APP + "[locks]\nfiles = [" + '"/l",' * 51 + "]\n", "locks.files: there are more than 50"),
        ('data = "/d"\n' + APP + APP, "component: two have the same name"),
        ('data = "/d"\n' + OS, "boot: os has two slots"),
        (
            'data = "/d"\n' + BOOT + OS.replace("/dev/b", "/dev//a"),
            "component[0].b: it is the same place as component[0].a",
        ),
        (
            'data = "/d"\n' + APP + APP.replace("app", "App", 1),
            "component[1].folder: it is the same place as component[0].folder",
        ),
        ('data = "/opt/app"\n' + APP, "component[0].folder: it is the same place as data"),
        (
            'data = "/d"\n' + BOOT + OS + OS.replace("os", "os2", 1).replace("/dev/a", "/dev/c"),
            "component[1].b: it is the same place as component[0].b",
        ),
        (
            'data = "/d"\n' + DEB + 'package = "app"\n' + DEB.replace("app", "b", 1) + 'package = "app"\nroot = "/."\n',
            "component[1].package: it is the same place as component[0].package",
        ),
        ('data = "/d"\n' + APP + '[monitor]\noff = ["load", "singal"]\n', "monitor.off[1]: singal is not measured"),
        ('data = "/d\\u0000"\n' + APP, "data: there is a zero byte in it"),
        ('data = "/d"\nreboot = ["a\\u0000"]\n' + APP, "reboot[0]: there is a zero byte in it"),
        (
            'data = "/d"\n' + APP + '[conditions]\ncommands = { idle = ["\\u0000"] }\n',
            "conditions.commands.idle[0]: there is a zero",
        ),
        ('data = "/d"\nx = ' + "[" * 5000 + "]" * 5000 + "\n" + APP, "it nests too deep"),
        ('data = "/d"\n' + APP + "#" * (1 << 20), "it is larger than 1048576 bytes"),
        (
            'data = "/d"\n' + APP + '[diagnostics]\nredact = ["a{99999999999}"]\n',
            "diagnostics.redact[0]: the repetition",
        ),
        (
            'data = "/d"\n' + APP + '[diagnostics]\nredact = ["x", "[0-9]*"]\n',
            "diagnostics.redact[1]: it finds a secret between any two characters",
        ),
        (
            'data = "/d"\n' + APP + '[diagnostics]\nredact = ["[[a-z]"]\n',
            "diagnostics.redact[0]: Possible nested set at position 1",
        ),
        (
            'data = "/d"\n' + APP + '[monitor]\ncommands = { battery = ["b"] }\n',
            "monitor.commands.battery: the agent measures battery itself",
        ),
        ('data = "/d"\n' + APP + 'a = "/dev/a"\n', "component[0].a: the installer files has no use for it"),
        ('data = "/d"\n' + APP.replace("files", "magic"), "component[0].installer: 'magic' is none of"),
        ('data = "/d"\n' + APP + "keep_archive = true\n", "component[0].keep_archive: only what is unpacked"),
        ('data = "/d"\n' + APP.replace("files", "deb"), "component[0].package: the installer deb needs it"),
        ('data = "/d"\n' + APP + ITEM + 'path = "/"\n', "backup.item[0].path: write it without"),
        ('data = "/d"\n' + APP + ITEM + 'path = "/srv/../etc"\n', "backup.item[0].path: write it without"),
        ('data = "/var/d"\n' + APP + ITEM + 'path = "/var"\n', "backup.item[0].path: /var/d is in it"),
        ('data = "/d"\n' + APP + ITEM, "backup.item[0]: it is a path, or commands"),
        ('data = "/d"\n' + APP + ITEM + 'path = "/a"\nsave = ["s"]\n', "backup.item[0]: it is a path, or commands"),
        ('data = "/d"\n' + APP + ITEM + 'save = ["s"]\n', "backup.item[0]: it is a path, or commands"),
        (
            'data = "/d"\n' + APP + ITEM + 'path = "/a"\ncomponent = "os"\n',
            "backup.item[0].component: there is no component os",
        ),
        ('data = "/d"\n' + APP + (ITEM + 'path = "/a"\n') * 2, "backup.item[0].name: another one has it"),
        (
            'data = "/d"\n' + APP + ITEM + 'path = "/a"\n' + ITEM.replace("st", "b") + 'path = "/a/b"\n',
            "backup.item[0].path: /a/b is in it",
        ),
        ('data = "/d"\n[backup]\nkeep = 1\n' + APP, "backup"),
        (
            'data = "/d"\n' + APP + '[backup]\ntenant = "age1x"\n' + ITEM + 'path = "/a"\n',
            "backup.tenant: 'age1x' is no public key",
        ),
        ('data = "/d"\n' + CONFIG + 'drift = "hide"\n', "component[0].drift: "),
        ('data = "/d"\n' + CONFIG.replace("folder", "root"), "component[0].folder: the installer config needs it"),
        ('data = "/d"\n' + APP + 'test = ["true"]\n', "component[0].test: the installer files has no use for it"),
        ('data = "/d"\n' + DEB + 'package = "--root=/"\n', "component[0].package: "),
        ('data = "/d"\n' + SWU.replace("swupdate", "rauc"), "boot: os has two slots"),
        ('data = "/d"\n' + SWU, "boot: os has two slots"),
        ('data = "/d"\n' + BOOT + SWU + 'select_b = "stable"\n', "component[0].select_b: "),
        ('data = "/d"\n' + SCRIPT, "component[0].commands: the installer script needs it"),
        (
            'data = "/d"\n' + SCRIPT + 'folder = "/f"\n' + COMMANDS,
            "component[0].folder: the installer script has no use",
        ),
        ('data = "/d"\n' + SCRIPT + COMMANDS.replace("revert", "back"), "component[0].commands"),
        ('data = "/d"\n' + APP + 'takes = ["mcuboot"]\n', "component[0].takes: the installer files has no use for it"),
        ('data = "/d"\n' + APP.replace("folder", "fodler"), "fodler"),
        ('data = "/d"\n[boot]\nkind = "file"\npath = "/p"\n' + APP, "boot.started: the kind file needs it"),
        ('data = "/d"\n[boot]\nkind = "script"\n' + APP, "boot.script: the kind script needs it"),
        ('data = "/d"\n[boot]\nkind = "uboot"\nenvironment = "env"\n' + APP, "boot.environment: "),
        ('data = "/d"\n[health]\nwithin_s = 0\n' + APP, "health.within_s: "),
        ('data = "/d"\n[health]\ncommands = ["true"]\n' + APP, "health.commands"),
        ('data = "/d"\n[download]\nmirrors = ["http://c/x"]\n' + APP, "download.mirrors"),
        ('data = "/d"\n[download]\nwithin_s = 1\n' + APP, "download.within_s"),
        ('data = "/d"\n[download]\ndelta_memory = -1\n' + APP, "download.delta_memory"),
        ('data = "/d"\n[locks]\nfiles = ["here"]\n' + APP, "locks.files"),
        ('data = "/d"\n[local]\nsocket = "here"\n' + APP, "local.socket"),
        ('data = "/d"\n[local]\nsocket = "/s"\nmode = "0999"\n' + APP, "local.mode: it is not a mode, as 0660"),
        ('data = "/d"\n[local]\nsocket = "/run"\n' + APP, "local.socket: /run is a folder"),
        ('data = "/d"\n[local]\nsocket = "/run/s/"\n' + APP, "local.socket: /run/s/ is a folder"),
        ('data = "/d"\n[local]\nsocket = "/no/where/s"\n' + APP, "local.socket: there is no folder /no/where"),
        (
            'data = "/d"\n[local]\nsocket = "/run/no/where/s"\ngroup = "nobody-is-in-it"\n' + APP,
            "local.group: there is no group nobody-is-in-it",
        ),
        ('data = "/d"\n[hooks]\ntimeout_s = 0\n' + APP, "hooks.timeout_s"),
        ('data = "/d"\n[health]\nunits = ["app"]\n' + APP, "health.units"),
        ('data = "/d"\n[health]\nunits = ["--root=/x.service"]\n' + APP, "health.units"),
        (
            'data = "/d"\n[[health.http]]\nurl = "http://10.0.0.1/x"\n' + APP,
            "health.http[0].url: 10.0.0.1 is not this device",
        ),
        ('data = "/d"\n[[health.http]]\nurl = "http://localhost@evil/x"\n' + APP, "evil is not this device"),
        ('data = "/d"\n[[health.http]]\nurl = "ftp://localhost/x"\n' + APP, "health.http[0].url"),
        (
            'data = "/d"\n[[health.http]]\nurl = "http://localhost:99999/x"\n' + APP,
            "health.http[0].url: it is no address: Port out of range",
        ),
        (
            'data = "/d"\n[[health.http]]\nurl = "http://[::1/x"\n' + APP,
            "health.http[0].url: it is no address: Invalid IPv6 URL",
        ),
        ('data = "/d"\n[conditions]\nrequire = ["moon"]\n' + APP, "conditions.require: 'moon' is not a condition"),
        ('data = "/d"\n[conditions]\nrequire = ["idle", "idle"]\n' + APP, "conditions.require: two conditions"),
        ('data = "/d"\n[conditions]\ncommands = { idle = [] }\n' + APP, "conditions.commands"),
        (
            'data = "/d"\n[download]\nlimits = [{ window = "at noon", bytes_per_s = 1 }]\n' + APP,
            "download.limits[0].window: ",
        ),
        ('data = "/d"\n[download]\nlimits = [{ window = "07:00/1h", bytes_per_s = -1 }]\n' + APP, "download.limits"),
        ('data = "/d"\n[windows]\ninstall = ["22:00/1h", "at noon"]\n' + APP, "windows.install[1]: 'at noon' is not"),
        (
            'data = "/d"\n[windows]\ninstall = ["22:00/1h Mars/Olympus"]\n' + APP,
            "windows.install[0]: 'Mars/Olympus' is not",
        ),
        ('data = "/d"\n[windows]\ninstall = ["22:00/1h UTC FREQ=HOURLY"]\n' + APP, "windows.install[0]: "),
        ('data = "/d"\n[windows]\ninstall = [' + '"22:00/1h",' * 17 + "]\n" + APP, "windows.install: "),
        (
            'data = "/d"\ntimezone = "CET/CEST"\n' + APP,
            "timezone: 'CET/CEST' is not a time zone that this computer knows",
        ),
        ("data = \n", "is not TOML"),
    ],
)
def test_a_slip_is_one_line_with_its_key(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "agent.toml").write_text(text)
    with pytest.raises(InvalidInputError) as caught:
        read(tmp_path / "agent.toml")
    assert said in caught.value.message
    assert "\n" not in caught.value.message


def test_a_file_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="No such file"):
        read(tmp_path / "none.toml")


@settings(deadline=None)
@given(st.text(max_size=300))
def test_whatever_else_it_says_is_refused_in_our_words(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInputError):
        read(path)


def test_words_are_there_for_all_that_texts_have_to_look_like(tmp_path: Path) -> None:
    texts = [
        OS.replace('"/dev/a"', '"a"'),
        APP + '[local]\nsocket = "/s"\ngroup = "a b"\n',
        APP + '[local]\nsocket = "/s"\nmode = "9"\n',
        APP + '[download]\nmirrors = ["x"]\n',
        APP.replace('"app"', '"a b"', 1),
        DEB + 'package = "A"\n',
        SWU + 'select_a = "x"\n',
        APP + '[health]\nunits = ["x"]\n',
        APP + '[[health.http]]\nurl = "x"\n',
    ]
    told = set()
    for text in texts:
        (tmp_path / "agent.toml").write_text('data = "/d"\n' + text)
        with pytest.raises(InvalidInputError) as caught:
            read(tmp_path / "agent.toml")
        told.add(caught.value.message.partition(": it is not ")[2])
    assert told == set(SAID.values())


@pytest.mark.parametrize(
    ("schema", "said"),
    [(None, "No such file"), ("{", "is no JSON"), ('{"pattern": "a"}', "the keyword 'pattern' is not known")],
)
def test_a_schema_that_cannot_be_read_is_said_so(tmp_path: Path, schema: str | None, said: str) -> None:
    path = tmp_path / "schema.json"
    if schema is not None:
        path.write_text(schema)
    (tmp_path / "agent.toml").write_text(f'data = "/d"\n{CONFIG}schemas = {{ "app.toml" = "{path}" }}\n')
    found = read(tmp_path / "agent.toml")
    with pytest.raises(InvalidInputError, match=said) as caught:
        installer(found.component[0], found, LocalDisk())
    assert str(path) in caught.value.message
    path.write_text('{"type": "object"}')
    assert isinstance(installer(found.component[0], found, LocalDisk()), ConfigInstaller)


def test_what_cannot_be_put_back_as_a_whole_is_not_saved(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc")
    for path in ("/proc", str(tmp_path / "link")):
        (tmp_path / "agent.toml").write_text(f'data = "{tmp_path}"\n{APP}{ITEM}path = "{path}"\n')
        with pytest.raises(InvalidInputError, match="is a mount point or a link"):
            safe(read(tmp_path / "agent.toml"), "dev-1", SystemClock())


def test_health_is_also_what_others_tell(tmp_path: Path) -> None:
    text = """
[health]
units = ["app.service", "getty@tty1.service"]
server = false
[[health.http]]
url = "http://[::1]:8080/healthz"
[[health.http]]
url = "https://other.example/ready"
elsewhere = true
"""
    (tmp_path / "agent.toml").write_text('data = "/d"\n' + text + APP)
    found = read(tmp_path / "agent.toml")
    health = neighbours.health(found.health.http, found.health.units, 1, SystemClock())
    named = ["http://[::1]:8080/healthz", "https://other.example/ready", "app.service", "getty@tty1.service"]
    assert [one.name for one in health] == named


def test_locks_and_programs_are_those_that_are_named(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    text = f'[locks]\nfiles = ["{path}"]\nflocks = ["{path}"]\n[hooks]\nafter_commit = ["false"]\n'
    (tmp_path / "agent.toml").write_text('data = "/d"\n' + text + APP)
    found = read(tmp_path / "agent.toml")
    path.touch()
    assert [lock.held() for lock in neighbours.locks(found.locks)] == [f"{path} is there", ""]
    assert [bool(neighbours.hooks(found.hooks).call(moment, {})) for moment in Moment] == [False, False, True, False]


def test_all_that_is_measured_can_be_switched_off(tmp_path: Path) -> None:
    text = (
        'data = "/d"\n'
        + APP
        + '[monitor]\ncommands = { temp = ["t"] }\noff = ["battery", "signal", "uptime", "disk", "memory", "load", "temp"]\n'
    )
    (tmp_path / "agent.toml").write_text(text)
    off = read(tmp_path / "agent.toml").monitor.off
    gauges = BoardGauges(LocalDisk(), BoardSenses(LocalDisk(), str(tmp_path)), str(tmp_path), {"temp": ["echo", "1"]})
    assert gauges.read(off) == {}
    assert set(gauges.read(())) <= set(off)
    assert {"uptime", "temp"} <= set(gauges.read(()))
