"""Real mail servers in processes of their own, which keep what they get.

`mail_server` is Python's `smtpd`, which speaks SMTP in clear to whoever comes. `tls_mail_server` is Debian's aiosmtpd
(python3-aiosmtpd), which wants TLS and a password; beside it stand some that nobody should give a password to.
"""

import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import trustme

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


USER, SECRET = "otaru", "hunter2/of the mail"
_DEBIAN = "/usr/bin/python3"
_TLS_SERVER = """
import asyncio, base64, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

folder, user, secret = sys.argv[1:4]
log = open(folder + "/log", "a", buffering=1)

class Noting(SMTP):
    def data_received(self, data):
        if self.transport.get_extra_info("sslcontext") is None:
            log.write(json.dumps({"clear": data.decode("latin-1")}) + "\\n")
        super().data_received(data)

class Box:
    async def handle_DATA(self, server, session, envelope):
        log.write(json.dumps({"mail": envelope.content.decode(), "user": session.auth_data.login.decode()}) + "\\n")
        return "250 taken"

def known(server, session, envelope, mechanism, data):
    good = isinstance(data, LoginPassword) and data == LoginPassword(user.encode(), secret.encode())
    return AuthResult(success=good, handled=good, auth_data=data)

def shows(name):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{folder}/{name}.pem")
    return context

async def main():
    loop, ports, kept = asyncio.get_running_loop(), {}, []
    for name in ("good", "other", "old", "stranger", "bare", "implicit"):
        tls = None if name in ("bare", "implicit") else shows(name)
        options = dict(tls_context=tls, require_starttls=tls is not None, auth_required=True, auth_require_tls=tls is not None)
        make = lambda options=options: Noting(Box(), loop=loop, authenticator=known, **options)
        server = await loop.create_server(make, "127.0.0.1", 0, ssl=shows("good") if name == "implicit" else None)
        kept.append(server)
        ports[name] = server.sockets[0].getsockname()[1]
    print(json.dumps(ports), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class TlsMail:
    """Where they listen, by what is special of them; whom their clients trust; what they noted."""

    ports: dict[str, int]
    trust: ssl.SSLContext
    log: Path

    def noted(self) -> list[dict[str, str]]:
        """Mails that were taken, and what came in clear."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@contextmanager
def tls_mail_server() -> Iterator[TlsMail]:
    """Mail servers with TLS until the end of the block.

    `good` takes STARTTLS, `implicit` TLS from the beginning. `other` shows the certificate of another host, `old` one that has
    expired, `stranger` one of nobody that is trusted; `bare` has no TLS, as somebody in between makes of `good`.
    """
    ours, theirs = trustme.CA(), trustme.CA()
    with TemporaryDirectory() as folder:
        shown = {
            "good": ours.issue_cert("127.0.0.1"),
            "other": ours.issue_cert("mail.example.org"),
            "old": ours.issue_cert("127.0.0.1", not_after=datetime(2020, 1, 1, tzinfo=UTC)),
            "stranger": theirs.issue_cert("127.0.0.1"),
        }
        for name, certificate in shown.items():
            certificate.private_key_and_cert_chain_pem.write_to_path(f"{folder}/{name}.pem")
        trust = ssl.create_default_context()
        ours.configure_trust(trust)
        words = [_DEBIAN, "-c", _TLS_SERVER, folder, USER, SECRET]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                told = process.stdout.readline()
                assert told, "aiosmtpd is not there: apt install python3-aiosmtpd"
                yield TlsMail(json.loads(told), trust, Path(folder) / "log")
            finally:
                process.kill()
