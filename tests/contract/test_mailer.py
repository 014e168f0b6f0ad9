"""The port `Mailer`: SMTP against a real server, in a process of its own."""

from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from otaru.adapters.notify.smtp import SmtpMailer, server
from otaru.errors import InvalidInputError, OtaruError, RefusedError, UnavailableError
from otaru.ports.mailer import Message
from tests.support.mail import SECRET, USER, MailServer, TlsMail, mail_server, tls_mail_server

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def mail() -> Iterator[MailServer]:
    with mail_server() as found:
        yield found


@pytest.fixture(scope="module")
def tls() -> Iterator[TlsMail]:
    with tls_mail_server() as found:
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


def over_tls(tls: TlsMail, name: str, scheme: str = "smtp+tls", secret: str = SECRET) -> SmtpMailer:
    where = f"{scheme}://{USER}:{quote(secret, '')}@127.0.0.1:{tls.ports[name]}"
    return SmtpMailer(server(where), "otaru@example.org", tls.trust)


def told_a_secret(noted: list[dict[str, str]]) -> bool:
    """Whether the password went in clear: as it is, or in one of the forms of AUTH."""
    clear = "".join(one.get("clear", "") for one in noted)
    pairs = (SECRET, f"\0{USER}\0{SECRET}", f"{USER}\0{USER}\0{SECRET}")
    return any(form in clear for text in pairs for form in (text, b64encode(text.encode()).decode())) or "AUTH" in clear


@pytest.mark.parametrize(("name", "scheme"), [("good", "smtp+tls"), ("implicit", "smtps")])
async def test_a_mail_and_its_password_go_over_tls(tls: TlsMail, name: str, scheme: str) -> None:
    before = len(tls.noted()) if tls.log.exists() else 0
    await over_tls(tls, name, scheme).send(message(subject=f"by {scheme}"))
    noted = tls.noted()[before:]
    (got,) = [one for one in noted if "mail" in one]
    assert got["user"] == USER
    assert f"Subject: by {scheme}" in got["mail"]
    assert not told_a_secret(noted)
    assert any("STARTTLS" in one.get("clear", "") for one in noted) == (scheme == "smtp+tls")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("other", "certificate is not good: .*127.0.0.1"),
        ("old", "certificate is not good: certificate has expired"),
        ("stranger", "certificate is not good: .*issuer"),
        ("bare", "STARTTLS"),
    ],
)
async def test_who_is_not_the_mail_server_gets_neither_mail_nor_password(tls: TlsMail, name: str, why: str) -> None:
    before = len(tls.noted()) if tls.log.exists() else 0
    with pytest.raises(RefusedError, match=why) as refused:
        await over_tls(tls, name).send(message())
    noted = tls.noted()[before:]
    assert any("ehlo" in one.get("clear", "").lower() for one in noted), "it was spoken to"
    assert not [one for one in noted if "mail" in one]
    assert not told_a_secret(noted)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("name", ["good", "bare"])
async def test_who_wants_no_tls_is_refused_by_implicit_tls(tls: TlsMail, name: str) -> None:
    with pytest.raises((RefusedError, UnavailableError)):
        await over_tls(tls, name, "smtps").send(message())
    assert not told_a_secret(tls.noted())


async def test_a_wrong_password_is_told_and_not_shown(tls: TlsMail) -> None:
    with pytest.raises(RefusedError, match="535") as refused:
        await over_tls(tls, "good", secret="wrong-one").send(message())
    assert "wrong-one" not in str(refused.value)


async def test_the_certificate_is_looked_at_also_where_nobody_says_whom_to_trust(tls: TlsMail) -> None:
    where = f"smtp+tls://{USER}:x@127.0.0.1:{tls.ports['good']}"
    with pytest.raises(RefusedError, match="certificate is not good"):
        await SmtpMailer(server(where), "otaru@example.org").send(message())
