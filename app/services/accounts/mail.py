"""Sends e-mails through the SMTP server of the settings, in the background."""

import logging
import smtplib
import ssl
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from app.config import Settings
from app.errors import MailError, VeriscanError

TIMEOUT_S = 20.0
PORTS = {"smtp": 587, "smtps": 465}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class MailServer:
    """An SMTP server and how this installation appears in its e-mails.

    Attributes:
        scheme: ``smtps`` for TLS from the start, ``smtp`` for STARTTLS wherever it is offered.
        username: Empty where the server wants none.
        sender: Address in the header From.
        public_url: Where people reach this installation, without a slash at the end. Never taken
            from a request: whoever sends one could lead others astray with it.
    """

    scheme: str
    host: str
    port: int
    username: str
    password: str = field(repr=False)
    sender: str
    public_url: str

    @classmethod
    def from_settings(cls, settings: Settings) -> "MailServer | None":
        """Return the server of the settings, or None where none is set."""
        if settings.smtp_url is None:
            return None
        url = urlsplit(settings.smtp_url)
        return cls(
            scheme=url.scheme,
            host=url.hostname or "",
            port=url.port or PORTS[url.scheme],
            username=unquote(url.username or ""),
            password=unquote(url.password or ""),
            sender=settings.mail_from or "",
            public_url=settings.public_url or "",
        )


class MailService:
    """Sends e-mails one after the other, without anybody waiting for them.

    Args:
        server: Through which; None where there is none.
    """

    def __init__(self, server: MailServer | None) -> None:
        self._server = server
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="mail")

    @property
    def is_available(self) -> bool:
        """Whether e-mails can be sent at all."""
        return self._server is not None

    def address_of(self, path: str) -> str:
        """Return the full address of a page, for an e-mail."""
        return f"{self._server.public_url}{path}" if self._server else path

    def in_background(self, work: Callable[[], None]) -> None:
        """Do something after all before it; an error of ours is logged."""
        self._worker.submit(_logged, work)

    def send(self, to: str, subject: str, text: str) -> None:
        """Send an e-mail; returns when the server has taken it.

        Raises:
            MailError: There is no server, or it did not take it.
        """
        server = self._server
        if server is None:
            raise MailError
        message = EmailMessage()
        message["From"] = server.sender
        message["To"] = to
        message["Subject"] = subject
        message.set_content(text)
        context = ssl.create_default_context()
        try:
            with _connection(server, context) as connection:
                _greet(connection, server, context)
                connection.send_message(message)
        except (OSError, smtplib.SMTPException, ValueError) as error:
            raise MailError from error

    def close(self) -> None:
        """Send what is waiting, then no more."""
        self._worker.shutdown()


def _connection(server: MailServer, context: ssl.SSLContext) -> smtplib.SMTP:
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=TIMEOUT_S, context=context)
    return smtplib.SMTP(server.host, server.port, timeout=TIMEOUT_S)


def _greet(connection: smtplib.SMTP, server: MailServer, context: ssl.SSLContext) -> None:
    connection.ehlo()
    # A password is never sent in the clear: without TLS starttls() fails, and so does this.
    if server.scheme == "smtp" and (connection.has_extn("starttls") or server.username):
        connection.starttls(context=context)
    if server.username:
        connection.login(server.username, server.password)


def _logged(work: Callable[[], None]) -> None:
    try:
        work()
    except VeriscanError as error:
        log.error("An e-mail was not sent. %s", error)  # a traceback may hold names
