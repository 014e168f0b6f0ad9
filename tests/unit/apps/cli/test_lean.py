"""`agent run` without the command line around it: which words it takes, and what it does not bring into memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from otaru.apps.cli import lean


@pytest.mark.parametrize(
    ("words", "path"),
    [
        ("agent run", "/etc/otaru/agent.toml"),
        ("agent run --config /c", "/c"),
        ("agent run --config=/c", "/c"),
        ("agent run --help", None),
        ("agent run --config", None),
        ("agent run --config /c --json", None),
        ("agent run --confi=/c", None),
        ("agent status", None),
        ("", None),
    ],
)
def test_it_takes_two_words_and_a_file(words: str, path: str | None) -> None:
    assert lean.config(words.split()) == (None if path is None else Path(path))


HEAVY = (
    "backports.zstd",
    "cryptography",
    "h2",
    "lark",
    "rich",
    "securesystemslib",
    "tuf",
    "typer",
    "otaru.domain.rollout",
    "otaru.trust.tuf",
)


def test_an_idle_agent_does_without_what_verifies() -> None:
    """Each of them is a megabyte or more. What else an idle agent may load is measured by `make bench`."""
    told = """
import json, sys
import otaru.apps.cli, otaru.apps.cli.lean, otaru.apps.agent.run, otaru.apps.agent.settings
from otaru.images.delta.patch import Codec, is_here
[is_here(codec) for codec in Codec]  # each poll tells which patches the device takes
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)
    loaded = set(json.loads(done.stdout))
    assert "otaru.services.edge.update" in loaded
    assert [name for name in HEAVY if name in loaded] == []
