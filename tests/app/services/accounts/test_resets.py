import asyncio
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from email.parser import BytesParser
from queue import Empty, Queue

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

from app.config import Settings
from app.errors import (
    LinkInvalidError,
    MailError,
    PasswordTooWeakError,
    SignInFailedError,
    TooManyAttemptsError,
)
from app.records import User
from app.services.accounts.identity import Identity
from app.services.accounts.mail import MailServer, MailService
from app.services.accounts.resets import PAGE
from app.services.container import Services
from tests.app.services.accounts.conftest import actions
from tests.journeys.server import free_port
from tests.movable_clock import MovableClock
from tests.people import PASSWORD

NEW_PASSWORD = "sturdy lantern 42 ahoy"
PATIENCE_S = 20
PUBLIC_URL = "https://veriscan.hospital.org"


class Mailbox:
    """Takes every e-mail that comes; used by aiosmtpd as its handler."""

    def __init__(self) -> None:
        self._mails: Queue[Message] = Queue()

    async def handle_DATA(  # noqa: N802 - the name that aiosmtpd calls
        self, server: SMTP, session: Session, envelope: Envelope
    ) -> str:
        assert isinstance(envelope.content, bytes)
        self._mails.put(BytesParser().parsebytes(envelope.content))
        return "250 OK"

    def next(self) -> Message:
        """Return the next e-mail, waiting for it."""
        return self._mails.get(timeout=PATIENCE_S)

    def is_empty(self) -> bool:
        """Return whether no e-mail has come."""
        try:
            self._mails.get_nowait()
        except Empty:
            return True
        return False


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def smtp_server(mailbox: Mailbox) -> Iterator[Controller]:
    """A real SMTP server on this machine."""
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    controller.start()
    yield controller
    # A connection whose client has just left would otherwise be cut off half closed.
    end_s = time.monotonic() + PATIENCE_S
    while asyncio.all_tasks(controller.loop) and time.monotonic() < end_s:
        time.sleep(0.01)
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.01), controller.loop).result(PATIENCE_S)
    controller.stop()


@pytest.fixture
def mailing(settings: Settings, smtp_server: Controller) -> Settings:
    """Settings with that server."""
    return replace(
        settings,
        smtp_url=f"smtp://127.0.0.1:{smtp_server.port}",
        mail_from="veriscan@hospital.org",
        public_url=PUBLIC_URL,
    )


@pytest.fixture
def with_mail(identity: Identity, services: Services, mailing: Settings) -> Identity:
    """The services, which now send e-mails."""
    for holder in (identity.resets, services.accounts):
        holder._mail = MailService(MailServer.from_settings(mailing))
    return identity


def secret_in(path: str) -> str:
    assert path.startswith(PAGE)
    return path.removeprefix(PAGE)


# --- a link from an administrator -----------------------------------------------------------


def test_a_link_sets_a_password_once_and_ends_all_sessions(
    identity: Identity, services: Services, alice: User, admin: User
) -> None:
    session = identity.sign_in.sign_in("alice", PASSWORD).secret
    secret = secret_in(identity.resets.make_link(alice.id, actor=admin.id))

    assert identity.resets.user_of_link(secret) == alice
    identity.resets.set_password(secret, password=NEW_PASSWORD, confirm=NEW_PASSWORD)

    assert identity.sessions.find(session) is None
    assert identity.sign_in.check_password("alice", NEW_PASSWORD).id == alice.id
    with pytest.raises(SignInFailedError):
        identity.sign_in.check_password("alice", PASSWORD)
    with pytest.raises(LinkInvalidError):
        identity.resets.set_password(secret, password=PASSWORD, confirm=PASSWORD)
    assert {"account.reset_link_made", "account.password_reset"} <= set(actions(services))


def test_a_link_is_good_for_a_day_and_until_the_next(
    identity: Identity, alice: User, admin: User, clock: MovableClock
) -> None:
    first = secret_in(identity.resets.make_link(alice.id, actor=admin.id))
    second = secret_in(identity.resets.make_link(alice.id, actor=admin.id))

    with pytest.raises(LinkInvalidError):
        identity.resets.user_of_link(first)
    clock.move(hours=24)
    with pytest.raises(LinkInvalidError):
        identity.resets.user_of_link(second)


def test_a_password_that_is_refused_leaves_the_link_good(
    identity: Identity, alice: User, admin: User
) -> None:
    secret = secret_in(identity.resets.make_link(alice.id, actor=admin.id))

    with pytest.raises(PasswordTooWeakError):
        identity.resets.set_password(secret, password="short", confirm="short")

    assert identity.resets.user_of_link(secret) == alice


def test_a_link_is_void_once_the_user_took_a_new_password_or_address(
    identity: Identity, services: Services, alice: User, admin: User
) -> None:
    first = secret_in(identity.resets.make_link(alice.id, actor=admin.id))
    services.accounts.change_password(
        alice.id, current=PASSWORD, password=NEW_PASSWORD, confirm=NEW_PASSWORD
    )
    with pytest.raises(LinkInvalidError):
        identity.resets.user_of_link(first)

    second = secret_in(identity.resets.make_link(alice.id, actor=admin.id))
    services.accounts.change_contact(alice.id, email=alice.email, mobile="+49 170 1234567")
    assert identity.resets.user_of_link(second).id == alice.id
    services.accounts.change_contact(alice.id, email="a@clinic.org", mobile="+49 170 1234567")
    with pytest.raises(LinkInvalidError):
        identity.resets.user_of_link(second)


def test_an_invitation_sets_no_password(identity: Identity, alice: User, admin: User) -> None:
    _, secret = identity.invitations.invite(actor=admin.id)

    with pytest.raises(LinkInvalidError):
        identity.resets.set_password(secret, password=NEW_PASSWORD, confirm=NEW_PASSWORD)


# --- a link by e-mail -----------------------------------------------------------------------


def test_a_link_comes_by_e_mail_and_is_good_for_half_an_hour(
    with_mail: Identity, mailbox: Mailbox, alice: User, clock: MovableClock
) -> None:
    with_mail.resets.request_by_email("ALICE@hospital.org")

    mail = mailbox.next()
    assert mail["To"] == "alice@hospital.org"
    assert mail["From"] == "veriscan@hospital.org"
    found = re.search(rf"{re.escape(PUBLIC_URL)}([\w/?=-]+)", str(mail.get_payload(decode=True)))
    assert found
    secret = secret_in(found[1])
    assert with_mail.resets.user_of_link(secret) == alice
    clock.move(minutes=30)
    with pytest.raises(LinkInvalidError):
        with_mail.resets.set_password(secret, password=NEW_PASSWORD, confirm=NEW_PASSWORD)


def test_nothing_is_sent_to_strangers_and_to_who_is_kept_out(
    with_mail: Identity, services: Services, mailbox: Mailbox, alice: User
) -> None:
    services.accounts.set_active(alice.id, active=False)

    for address in ("nobody@hospital.org", "alice@hospital.org", "not an address", ""):
        with_mail.resets.request_by_email(address)

    with_mail.resets._mail.close()
    assert mailbox.is_empty()


def test_nobodys_mailbox_is_filled(with_mail: Identity, mailbox: Mailbox, alice: User) -> None:
    for _ in range(3):
        with_mail.resets.request_by_email("alice@hospital.org")

    with pytest.raises(TooManyAttemptsError):
        with_mail.resets.request_by_email("alice@hospital.org")


def test_without_a_server_nothing_is_promised(identity: Identity, alice: User) -> None:
    assert not identity.resets.can_mail
    with pytest.raises(MailError):
        identity.resets.request_by_email("alice@hospital.org")


def test_a_server_that_is_gone_is_reported(
    mailing: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    nowhere = f"smtp://127.0.0.1:{free_port()}"
    mail = MailService(MailServer.from_settings(replace(mailing, smtp_url=nowhere)))

    with pytest.raises(MailError):
        mail.send("alice@hospital.org", "x", "x")
    mail.in_background(lambda: mail.send("alice@hospital.org", "x", "x"))
    mail.close()

    assert "An e-mail was not sent." in caplog.text
    assert "alice" not in caplog.text


def test_a_password_is_not_sent_in_the_clear(mailing: Settings, mailbox: Mailbox) -> None:
    url = str(mailing.smtp_url).replace("smtp://", "smtp://user:secret@")
    mail = MailService(MailServer.from_settings(replace(mailing, smtp_url=url)))

    with pytest.raises(MailError):
        mail.send("alice@hospital.org", "x", "x")
    assert mailbox.is_empty()


def test_the_old_address_is_told_that_it_was_replaced(
    with_mail: Identity, services: Services, mailbox: Mailbox, alice: User
) -> None:
    services.accounts.change_contact(alice.id, email="alice@clinic.org", mobile="+49 151 23456789")

    mail = mailbox.next()
    assert mail["To"] == "alice@hospital.org"
    assert "alice@clinic.org" not in str(mail)
