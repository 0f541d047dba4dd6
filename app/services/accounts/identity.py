"""The services around who somebody is, built and wired in one place."""

from dataclasses import dataclass
from datetime import timedelta

from app.config import Settings
from app.services.accounts.api_tokens import ApiTokenService
from app.services.accounts.invitations import InvitationService
from app.services.accounts.mail import MailServer, MailService
from app.services.accounts.one_time_links import OneTimeLinks
from app.services.accounts.passwords import PasswordService
from app.services.accounts.registration import Doorkeeping, RegistrationService
from app.services.accounts.resets import ResetService
from app.services.accounts.second_factors import SecondFactorService
from app.services.accounts.sessions import SessionLimits, SessionService
from app.services.accounts.sign_in import Checks, SignInService
from app.services.accounts.throttle import Throttle
from app.services.audit import AuditService
from app.services.clock import Clock
from app.services.site_settings import SiteSettingsService
from app.storage.database import Database
from app.storage.one_time_links import OneTimeLinkStore
from app.storage.second_factors import SecondFactorStore
from app.storage.sessions import SessionStore
from app.storage.throttle import ThrottleStore
from app.storage.tokens import TokenStore
from app.storage.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Groundwork:
    """What the services around identity stand on."""

    users: UserStore
    database: Database
    audit: AuditService
    site_settings: SiteSettingsService
    passwords: PasswordService
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Letting people in, keeping them in, and keeping others out."""

    passwords: PasswordService
    throttle: Throttle
    sessions: SessionService
    sign_in: SignInService
    second_factors: SecondFactorService
    registration: RegistrationService
    invitations: InvitationService
    resets: ResetService
    tokens: ApiTokenService
    mail: MailService


def build_identity(settings: Settings, secret_key: str, ground: Groundwork) -> Identity:
    """Wire the services.

    Args:
        settings: Of this server.
        secret_key: Of the installation; keys for what is stored encrypted are drawn from it.
        ground: What they stand on.
    """
    users, audit, clock, passwords = ground.users, ground.audit, ground.clock, ground.passwords
    mail = MailService(MailServer.from_settings(settings))
    throttle = Throttle(ThrottleStore(ground.database), clock)
    second_factors = SecondFactorService(
        SecondFactorStore(ground.database), secret_key, audit, clock
    )
    sessions = SessionService(SessionStore(ground.database), users, _limits(settings), audit, clock)
    checks = Checks(passwords=passwords, second_factors=second_factors, throttle=throttle)
    link_store = OneTimeLinkStore(ground.database)
    links = OneTimeLinks(link_store, clock)
    invitations = InvitationService(links, link_store, audit)
    door = Doorkeeping(
        site_settings=ground.site_settings, invitations=invitations, throttle=throttle
    )
    return Identity(
        passwords=passwords,
        throttle=throttle,
        sessions=sessions,
        sign_in=SignInService(users, sessions, checks, audit),
        second_factors=second_factors,
        registration=RegistrationService(users, passwords, door, audit),
        invitations=invitations,
        resets=ResetService(users, links, mail, sessions, checks, audit),
        tokens=ApiTokenService(TokenStore(ground.database), users, audit, clock),
        mail=mail,
    )


def _limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        idle=timedelta(seconds=settings.session_lifetime_s),
        absolute=timedelta(seconds=settings.session_max_s),
    )
