"""The Debian package, installed by dpkg in a system of its own (this one, with what changes kept apart), and at work there."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.agent_site import Site, archive, served
from tests.support.ddi import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
ROOT = Path(__file__).parents[2]
# `$1` is memory: the changes are made there. The system below is not touched, and sees nothing of it.
_ENTER = """
mount -t tmpfs none "$1" && mkdir "$1/changes" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/changes,workdir=$1/work" "$1/root"
mount -t proc none "$1/root/proc" && mount --rbind /dev "$1/root/dev"
exec sleep infinity
"""


def missing() -> str:
    """Why a package cannot be installed here; empty: it can."""
    lacking = [name for name in ("dpkg-deb", "unshare", "nsenter", "chroot") if shutil.which(name) is None]
    if lacking or os.geteuid() != 0:
        return f"not installed: {', '.join(lacking)}" if lacking else "only root enters another system"
    tried = subprocess.run(["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], check=False, capture_output=True)
    return "nothing may be mounted here" if tried.returncode else ""


needs_root = pytest.mark.skipif(bool(missing()), reason=missing())


@dataclass
class System:
    """A Debian whose changes are thrown away."""

    process: "subprocess.Popen[bytes]"
    folder: Path

    def words(self, *words: str) -> list[str]:
        inside = ["nsenter", "-t", str(self.process.pid), "-m", "chroot", str(self.folder / "root")]
        return [*inside, "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8", *words]

    def run(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(self.words(*words), capture_output=True, text=True, timeout=200, check=False)
        assert done.returncode == code, f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory.mktemp("deb"))


def built(out: Path) -> Path:
    subprocess.run([sys.executable, ROOT / "packaging/deb.py", out], check=True, timeout=500, stdout=subprocess.DEVNULL)
    (made,) = out.glob("*.deb")
    return made


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    process = subprocess.Popen(["unshare", "-m", "sh", "-ec", _ENTER, "sh", str(tmp_path)])
    system = System(process, tmp_path)
    ready = system.words("test", "-e", "/proc/1/stat")
    try:
        eventually(lambda: subprocess.run(ready, check=False, capture_output=True).returncode == 0)
        yield system
    finally:
        process.kill()
        process.wait()


def test_the_same_sources_give_the_same_package(package: Path, tmp_path: Path) -> None:
    again = built(tmp_path)
    assert sha256(again.read_bytes()).digest() == sha256(package.read_bytes()).digest()
    assert package.stat().st_size < 12_000_000


@needs_root
def test_it_is_installed_and_keeps_a_device_up_to_date(
    package: Path, system: System, tmp_path_factory: pytest.TempPathFactory
) -> None:
    system.run("dpkg", "-i", str(package))
    assert system.run("otaru", "--version").strip().endswith("0.1.0")
    assert system.run("dpkg", "--verify", "otaru-agent") == ""
    enabled = "/etc/systemd/system/multi-user.target.wants/otaru-agent.service"
    assert system.run("readlink", enabled).strip().endswith("/systemd/system/otaru-agent.service")
    assert system.run("systemd-analyze", "verify", "--man=no", "/usr/lib/systemd/system/otaru-agent.service") == ""
    assert "never enrolled" in system.run("sh", "-c", CONFIGURE + "otaru agent status", code=1)
    assert system.run("/usr/bin/python3", "-I", "-c", STRANGE).split() == [], "nothing of Debian's own libraries"
    with served(tmp_path_factory.mktemp("deb-server") / "server") as site:
        update(site, system)
    system.run("dpkg", "-r", "otaru-agent")
    system.run("test", "!", "-e", "/usr/bin/otaru")
    system.run("test", "!", "-e", "/usr/lib/otaru")
    assert "left in /var/lib/otaru" in system.run("dpkg", "-P", "otaru-agent")
    system.run("test", "!", "-e", enabled)
    system.run("test", "-e", "/var/lib/otaru/journal.0")


STRANGE = """
import sys
sys.path.insert(0, "/usr/lib/otaru/python")
import otaru.apps.agent.run
files = [getattr(module, "__file__", None) or "" for module in sys.modules.values()]
print(*(file for file in files if "-packages/" in file and "/_distutils_hack/" not in file))  # that one comes by itself
"""
CONFIGURE = """
mkdir -p /etc/otaru /opt/app && cat >/etc/otaru/agent.toml <<'END'
data = "/var/lib/otaru"
[[component]]
name = "app"
installer = "files"
folder = "/opt/app"
unpack = true
END
"""


def update(site: Site, system: System) -> None:
    """Enroll the system's agent, and have it install a release."""
    told = ("--server", site.server.url, "--token", site.claim(), "--device", "deb-1", "--hardware", "gateway")
    system.run("otaru", "agent", "enroll", *told)
    release = {"release": site.release({"app": archive("2.0.0")}), "target": "id==deb-1", "start": True}
    rollout = int(site.operator.ok("POST", "/rollouts", json=release)["id"])
    agent = subprocess.Popen(system.words("otaru", "agent", "run"))
    try:
        eventually(lambda: site.operator.ok("GET", f"/rollouts/{rollout}")["state"] == "finished", 100)
    finally:
        agent.terminate()
        assert agent.wait(60) == 0
    assert system.run("cat", "/opt/app/current/version") == "2.0.0"
