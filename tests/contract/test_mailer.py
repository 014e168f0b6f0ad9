"""The port `Mailer`: SMTP against a real server, in a process of its own."""

from collections.abc import Iterator

import pytest

from otaru.adapters.notify.smtp import SmtpMailer, server
from otaru.errors import InvalidInputError, OtaruError, RefusedError, UnavailableError
from otaru.ports.mailer import Message
from tests.support.mail import MailServer, mail_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


def mailer(port: int, scheme: str = "smtp") -> SmtpMailer:
    return SmtpMailer(server(f"{scheme}://127.0.0.1:{port}"), "otaru@example.org")


def message(*to: str, subject: str = "ALERT", mark: str = "1") -> Message:
    return Message(to or ("ops@example.org",), subject, "Größe: 1\n.\nend\n", mark)


async def test_a_mail_arrives_whole(mail: MailServer) -> None:
    subject = "ALERT: ü\r\nBcc: evil@example.org"
    await mailer(mail.port).send(message("ops@example.org", "b@example.org", subject=subject))
    (got,) = mail.got()
    assert got["from"] == "otaru@example.org"
    assert got["rcpt"] == ["ops@example.org", "b@example.org"]
    assert got["to"] == "ops@example.org, b@example.org"
    assert got["subject"] == "ALERT: ü Bcc: evil@example.org"
    assert got["text"].replace("\r\n", "\n") == "Größe: 1\n.\nend", "but for its last line's end"
    for mark in ("1", "2"):
        await mailer(mail.port).send(message(mark=mark))
    ids = [one["id"] for one in mail.got()]
    assert ids[0] == ids[1] != ids[2], "the same again has the same Message-ID"


@pytest.mark.parametrize(
    ("to", "error"), [("nobody@example.org", RefusedError), ("later@example.org", UnavailableError)]
)
async def test_what_the_server_says_is_told(mail: MailServer, to: str, error: type[OtaruError]) -> None:
    with pytest.raises(error, match=r"no such mailbox|try again"):
        await mailer(mail.port).send(message(to))


async def test_nobody_there_and_no_tls(mail: MailServer) -> None:
    with pytest.raises(UnavailableError, match="does not answer"):
        await mailer(9).send(message())
    for scheme in ("smtp+tls", "smtps"):
        before = len(mail.got())
        with pytest.raises((RefusedError, UnavailableError)):
            await mailer(mail.port, scheme).send(message())
        assert len(mail.got()) == before, "nothing goes in clear where TLS is demanded"


@pytest.mark.parametrize(
    "address",
    [
        "mail.example",
        "http://mail.example",
        "smtp://",
        "smtp://host:0x1",
        "smtp://u:s@host",
        "smtp://host/x",
        "smtp://h:99999",
    ],
)
def test_addresses_that_are_none_are_refused(address: str) -> None:
    with pytest.raises(InvalidInputError):
        server(address)


def test_an_address_is_read() -> None:
    found = server("smtp+tls://o%40x:s%2Fe@mail.example")
    assert (found.host, found.port, found.user, found.secret) == ("mail.example", 587, "o@x", "s/e")
    assert "s/e" not in repr(found)
