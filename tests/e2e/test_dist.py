"""The wheel installs and runs in an empty environment: the base alone, and with the server."""

import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from tests.support.server import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "-q", "-o", str(out), str(ROOT)]
    subprocess.run(command, check=True, timeout=120, capture_output=True)
    (made,) = out.glob("*.whl")
    return made


def install(folder: Path, what: str) -> Path:
    venv.create(folder, with_pip=True)
    pip = [str(folder / "bin/pip"), "install", "-q", "--disable-pip-version-check", what]
    subprocess.run(pip, check=True, timeout=280, env=environment())
    return folder / "bin/otaru"


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, env=environment())


def test_the_base_install_is_a_client_and_says_what_it_lacks(wheel: Path, tmp_path: Path) -> None:
    otaru = install(tmp_path / "base", str(wheel))
    assert run(otaru, "--version").stdout.strip().endswith("0.1.0")
    assert run(otaru, "device", "list").returncode != 0
    serve = run(otaru, "serve", "--data", tmp_path / "data")
    assert serve.returncode == 1
    assert 'pip install "otaru[server]"' in serve.stderr
    packages = {p.name.split("-")[0].lower() for p in (tmp_path / "base").glob("lib/*/site-packages/*.dist-info")}
    assert not packages & {"sqlalchemy", "fastapi", "uvicorn", "numpy", "aiohttp"}
    device = "import otaru.adapters.links.native, otaru.services.edge.fetch, otaru.trust.verify.update"
    assert run(tmp_path / "base/bin/python", "-W", "error", "-c", device).returncode == 0


def test_the_wheel_has_what_pages_are_made_of(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        names = {name.removeprefix("otaru/apps/console/") for name in packed.namelist()}
    assert {"templates/base.html", "static/css/parts.css", "static/js/live.js"} <= names
    assert {f"static/vendor/{name}" for name in ("htmx.min.js", "icons.svg", "uPlot.esm.js", "LICENSES.txt")} <= names


def test_the_server_install_serves(wheel: Path, tmp_path: Path) -> None:
    otaru = install(tmp_path / "server", f"{wheel}[server]")
    made = run(otaru, "token", "create", "--data", tmp_path / "data", "--role", "admin")
    assert made.returncode == 0, made.stderr
    assert len(made.stdout.split()[-1]) >= 32
    assert run(otaru, "db", "check", "--data", tmp_path / "data").returncode == 0
