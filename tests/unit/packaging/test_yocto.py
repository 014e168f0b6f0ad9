"""The Yocto recipe says what the project says: no bitbake runs here."""

import hashlib
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
(RECIPE,) = (ROOT / "packaging/yocto").glob("*.bb")
TEXT = RECIPE.read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def value(name: str) -> str:
    found = re.search(rf'^{re.escape(name)} = "(.*?)"$', TEXT, re.MULTILINE | re.DOTALL)
    assert found is not None, name
    return " ".join(found[1].replace("\\\n", " ").split())


def test_it_is_of_this_version_and_licence() -> None:
    assert RECIPE.name == f"otaru-agent_{PROJECT['version']}.bb"
    assert value("LICENSE") == PROJECT["license"]
    digest = hashlib.md5((ROOT / "LICENSE").read_bytes(), usedforsecurity=False).hexdigest()
    assert value("LIC_FILES_CHKSUM") == f"file://LICENSE;md5={digest}"
    assert "otaru-${PV}.tar.gz" in value("SRC_URI")


def test_it_needs_what_the_base_install_needs() -> None:
    names = {re.split(r"[><=\[;]", need)[0].strip() for need in PROJECT["dependencies"]}
    told = set(value("RDEPENDS:${PN}").split())
    assert told == {f"python3-{name}" for name in names} | {"python3-core", "python3-modules", "ca-certificates"}


def test_what_it_installs_is_in_the_sdist() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["sdist"]
    files = re.findall(r"\$\{S\}/(\S+)", TEXT)
    assert len(files) == 3
    for file in files:
        assert (ROOT / file).is_file()
        assert file.split("/")[0] in build["include"]


def test_its_service_is_the_unit() -> None:
    assert value("SYSTEMD_SERVICE:${PN}") == "otaru-agent.service"
    assert {"python_hatchling", "systemd"} <= set(TEXT.partition("\ninherit ")[2].split("\n")[0].split())


@pytest.mark.parametrize("body", re.findall(r"^do_\w+(?::\w+)?\(\) \{\n(.*?)^\}", TEXT, re.MULTILINE | re.DOTALL))
def test_its_shell_is_shell(body: str) -> None:
    words = re.sub(r"\$\{(\w+)\}", r"$\1", body)
    subprocess.run(["sh", "-n"], input=words, text=True, check=True)
