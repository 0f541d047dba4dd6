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
from app.services.ground import Ground
from app.storage.one_time_links import OneTimeLinkStore
from app.storage.second_factors import SecondFactorStore
from app.storage.sessions import SessionStore
from app.storage.throttle import ThrottleStore
from app.storage.tokens import TokenStore


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


def build_identity(ground: Ground, passwords: PasswordService) -> Identity:
    """Wire the services; keys for what is stored encrypted are drawn from the secret key."""
    database, users, audit, clock = ground.database, ground.users, ground.audit, ground.clock
    mail = MailService(MailServer.from_settings(ground.settings))
    throttle = Throttle(ThrottleStore(database), clock)
    second_factors = SecondFactorService(
        SecondFactorStore(database), ground.secret_key, audit, clock
    )
    limits = _limits(ground.settings)
    sessions = SessionService(SessionStore(database), users, limits, audit, clock)
    checks = Checks(passwords=passwords, second_factors=second_factors, throttle=throttle)
    link_store = OneTimeLinkStore(database)
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
        tokens=ApiTokenService(TokenStore(database), users, audit, clock),
        mail=mail,
    )


def _limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        idle=timedelta(seconds=settings.session_lifetime_s),
        absolute=timedelta(seconds=settings.session_max_s),
    )
