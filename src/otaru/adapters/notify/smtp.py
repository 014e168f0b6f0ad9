"""Mail by SMTP: smtplib in a thread, one connection for each mail. Alerts are few.

    smtp://mail.example:25              STARTTLS where the server has it
    smtp+tls://USER:SECRET@mail.example:587   STARTTLS, or no mail
    smtps://USER:SECRET@mail.example:465      TLS from the beginning

A name and a secret are sent over TLS only. The server's certificate has to be good wherever TLS is demanded.
"""

import asyncio
import hashlib
import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.utils import formatdate
from urllib.parse import unquote, urlsplit

from otaru.errors import InvalidInputError, RefusedError, UnavailableError
from otaru.ports.mailer import Message

TIMEOUT_S = 30.0
_PORTS = {"smtp": 25, "smtp+tls": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail is handed over."""

    scheme: str
    host: str
    port: int
    user: str = ""
    secret: str = field(default="", repr=False)


def server(address: str) -> Server:
    """Read the address of a mail server.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _PORTS or not parts.hostname or extra:
        raise InvalidInputError(
            "the mail server's address is none", hint="smtp://HOST, smtp+tls://USER:SECRET@HOST, smtps://…"
        )
    user, secret = unquote(parts.username or ""), unquote(parts.password or "")
    if user and parts.scheme == "smtp":
        raise InvalidInputError("a mail server's secret is sent over TLS only", hint="Write smtp+tls:// or smtps://.")
    return Server(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], user, secret)


class SmtpMailer:
    """`ports.mailer.Mailer`."""

    def __init__(self, server: Server, sender: str, trust: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._sender = sender
        self._trust = trust or ssl.create_default_context()

    async def send(self, message: Message) -> None:
        """See the port."""
        await asyncio.to_thread(self._send, message)

    def _send(self, message: Message) -> None:
        try:
            with self._connected() as smtp:
                refused = smtp.send_message(_mail(message, self._sender), self._sender, list(message.to))
        except (smtplib.SMTPServerDisconnected, smtplib.SMTPConnectError) as error:
            raise UnavailableError(f"the mail server does not answer: {error}") from None
        except smtplib.SMTPException as error:
            raise _refusal(error) from None
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(f"the mail server's certificate is not good: {error.verify_message}") from None
        except OSError as error:
            raise UnavailableError(f"the mail server does not answer: {error}") from None
        if refused:
            raise RefusedError(f"the mail server refused {', '.join(sorted(refused))}")

    def _connected(self) -> smtplib.SMTP:
        where = self._server
        if where.scheme == "smtps":
            smtp: smtplib.SMTP = smtplib.SMTP_SSL(where.host, where.port, timeout=TIMEOUT_S, context=self._trust)
        else:
            smtp = smtplib.SMTP(where.host, where.port, timeout=TIMEOUT_S)
        try:
            smtp.ehlo()
            if where.scheme == "smtp+tls" or (where.scheme == "smtp" and smtp.has_extn("starttls")):
                smtp.starttls(context=self._trust if where.scheme == "smtp+tls" else _any())
                smtp.ehlo()
            if where.user:
                smtp.login(where.user, where.secret)
        except BaseException:  # whatever ended it, the connection is closed; raised again
            smtp.close()
            raise
        return smtp


def _any() -> ssl.SSLContext:
    """Encrypt with whoever it is: better than in clear, which is what the setting allows too."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(error: Exception) -> RefusedError | UnavailableError:
    """What the server said, in one line: 4xx is for now, 5xx for good."""
    code = getattr(error, "smtp_code", 0)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        code = min(codes, default=0)
        words = f"it refused {', '.join(sorted(error.recipients))}"
    else:
        said = getattr(error, "smtp_error", b"") or str(error)
        words = " ".join((said.decode("ascii", "replace") if isinstance(said, bytes) else said).split())[:200]
    if 400 <= code < 500:
        return UnavailableError(f"the mail server cannot take it now: {code} {words}")
    return RefusedError(f"the mail server will not take it: {code or ''} {words}".replace("  ", " "))


def _mail(message: Message, sender: str) -> EmailMessage:
    mail = EmailMessage()
    mail["From"] = sender
    mail["To"] = ", ".join(message.to)
    mail["Subject"] = " ".join(message.subject.split())[:200]
    mail["Date"] = formatdate(usegmt=True)
    digest = hashlib.sha256(message.mark.encode()).hexdigest()[:32]
    mail["Message-ID"] = f"<{digest}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    return mail
