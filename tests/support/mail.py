"""A real mail server in a process of its own: Python's `smtpd`, which speaks SMTP to whoever comes and keeps what it gets."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

_SERVER = """
import asyncore, email, email.policy, json, smtpd, sys

class Box(smtpd.SMTPServer):
    def process_message(self, peer, mailfrom, rcpttos, data, **options):
        if any(to.startswith("nobody@") for to in rcpttos):
            return "550 no such mailbox"
        if any(to.startswith("later@") for to in rcpttos):
            return "451 try again"
        mail = email.message_from_bytes(data, policy=email.policy.default)
        told = {"from": mailfrom, "to": mail["To"], "subject": mail["Subject"], "id": mail["Message-ID"]}
        with open(sys.argv[1], "a") as box:
            box.write(json.dumps({**told, "text": mail.get_content(), "rcpt": rcpttos}) + "\\n")

box = Box(("127.0.0.1", 0), None)
print(box.socket.getsockname()[1], flush=True)
asyncore.loop(timeout=1)
"""


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where it listens, and what it got."""

    port: int
    box: Path

    def got(self) -> list[dict[str, Any]]:
        """What it took, in order."""
        return [json.loads(line) for line in self.box.read_text().splitlines()] if self.box.exists() else []


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """A mail server until the end of the block."""
    with TemporaryDirectory() as folder:
        box = Path(folder) / "box"
        words = [sys.executable, "-W", "ignore", "-c", _SERVER, str(box)]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                yield MailServer(int(process.stdout.readline()), box)
            finally:
                process.kill()
