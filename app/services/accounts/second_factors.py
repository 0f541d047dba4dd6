"""Second factors: one-time codes of an authenticator app (TOTP, RFC 6238) and recovery codes."""

import base64
import io
import secrets
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from uuid import UUID

import pyotp
import segno

from app.errors import (
    CodeWrongError,
    SealBrokenError,
    SecondFactorNotBegunError,
    SecondFactorOnError,
)
from app.records import User
from app.services.accounts.api_tokens import digest_of
from app.services.audit import AuditService
from app.services.clock import Clock, utc_now
from app.services.sealing import Sealer
from app.storage.second_factors import SecondFactorStore

ISSUER = "Veriscan"
STEP_S = 30
DIGITS = 6
DRIFT_STEPS = 1  # clocks of telephones are not exact
RECOVERY_CODES = 10
RECOVERY_BYTES = 15  # 120 random bits
RECOVERY_GROUP = 6
SEALED_FOR = "veriscan second factor"


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondFactorStatus:
    """What a user may know of their second factor.

    Attributes:
        since: When it was turned on; None while it is off.
        recovery_codes: How many are left.
    """

    since: datetime | None
    recovery_codes: int

    @property
    def is_on(self) -> bool:
        """Whether a code is asked for at sign-in."""
        return self.since is not None


class SecondFactorService:
    """Sets up, checks and removes second factors.

    A code is taken once: neither it nor an older one is taken again, so that who looked over a
    shoulder cannot use it. Seeds are encrypted with a key drawn from the installation's secret key;
    of recovery codes only digests are kept.

    Args:
        store: Where they are.
        secret_key: Of the installation.
        audit: Where it is recorded that one was turned on or off.
        clock: Tells the time.
    """

    def __init__(
        self,
        store: SecondFactorStore,
        secret_key: str,
        audit: AuditService,
        clock: Clock = utc_now,
    ) -> None:
        self._store = store
        self._sealer = Sealer(secret_key, SEALED_FOR)
        self._audit = audit
        self._clock = clock

    def status(self, user_id: UUID) -> SecondFactorStatus:
        """Return whether a user's second factor is on, and how many recovery codes are left."""
        factor = self._store.find(user_id)
        since = factor.confirmed if factor else None
        return SecondFactorStatus(
            since=since, recovery_codes=self._store.count_codes(user_id) if since else 0
        )

    def is_on(self, user_id: UUID) -> bool:
        """Return whether a user is asked for a code at sign-in."""
        factor = self._store.find(user_id)
        return factor is not None and factor.confirmed is not None

    def users(self) -> frozenset[UUID]:
        """Return whose second factor is on."""
        return self._store.users()

    # --- setting up -------------------------------------------------------------------------

    def begin(self, user_id: UUID) -> None:
        """Make a new seed; nothing is asked for until ``confirm``.

        Raises:
            SecondFactorOnError: There is one already.
        """
        if not self._store.put(user_id, self._sealer.seal(pyotp.random_base32())):
            raise SecondFactorOnError

    def seed(self, user_id: UUID) -> str:
        """Return the seed that is being set up, for who cannot scan the picture.

        Raises:
            SecondFactorNotBegunError: None is; that of one that is on is not shown again.
        """
        return self._begun(user_id)[0]

    def _begun(self, user_id: UUID) -> tuple[str, str]:
        """Return the seed that is being set up, open and sealed."""
        factor = self._store.find(user_id)
        if factor is None or factor.confirmed is not None:
            raise SecondFactorNotBegunError
        try:
            return self._sealer.open(factor.sealed_seed), factor.sealed_seed
        except SealBrokenError as error:
            raise SecondFactorNotBegunError from error

    def qr_svg(self, user: User) -> bytes:
        """Return the picture for the authenticator app, as an SVG file.

        Raises:
            SecondFactorNotBegunError: None is being set up.
        """
        address = pyotp.TOTP(self.seed(user.id)).provisioning_uri(
            name=user.username, issuer_name=ISSUER
        )
        file = io.BytesIO()
        segno.make(address, error="m").save(
            file, kind="svg", scale=5, dark="#000", light="#fff", svgclass=None, lineclass=None
        )
        return file.getvalue()

    def confirm(self, user_id: UUID, code: str) -> list[str]:
        """Turn the second factor on and return its recovery codes, which are not shown again.

        Raises:
            SecondFactorNotBegunError: None is being set up.
            CodeWrongError: The code is not of the new seed (field ``code``).
        """
        seed, sealed = self._begun(user_id)
        if not self._is_new_code(user_id, seed, code):
            raise CodeWrongError
        # Another window may have begun anew, or have turned it on, in the meantime.
        if not self._store.confirm(user_id, sealed, self._clock()):
            raise SecondFactorNotBegunError
        codes = self._new_recovery_codes(user_id)
        self._audit.record("account.second_factor_on", actor=user_id, subject=str(user_id))
        return codes

    def renew_recovery_codes(self, user_id: UUID) -> list[str]:
        """Return new recovery codes; those before are worth nothing now.

        Raises:
            SecondFactorNotBegunError: The second factor is off.
        """
        if not self.is_on(user_id):
            raise SecondFactorNotBegunError
        codes = self._new_recovery_codes(user_id)
        self._audit.record("account.recovery_codes_renewed", actor=user_id, subject=str(user_id))
        return codes

    def turn_off(self, user_id: UUID, *, actor: UUID) -> None:
        """Remove a second factor with its recovery codes."""
        self._store.delete(user_id)
        self._audit.record("account.second_factor_off", actor=actor, subject=str(user_id))

    def forget(self, user_id: UUID) -> None:
        """Remove all that is kept of a user who is being deleted."""
        self._store.delete(user_id)

    # --- checking ---------------------------------------------------------------------------

    def check(self, user_id: UUID, code: str) -> None:
        """Take a one-time code or a recovery code; neither works a second time.

        Raises:
            CodeWrongError: It is wrong, old or was taken before (field ``code``).
        """
        factor = self._store.find(user_id)
        if factor is None or factor.confirmed is None:
            raise CodeWrongError
        if len(_plain(code)) > DIGITS:
            if not self._store.take_code(user_id, digest_of(_plain(code))):
                raise CodeWrongError
            self._audit.record("account.recovery_code_used", actor=user_id, subject=str(user_id))
            return
        try:
            seed = self._sealer.open(factor.sealed_seed)
        except SealBrokenError as error:  # the secret key was replaced: recovery codes still work
            raise CodeWrongError from error
        if not self._is_new_code(user_id, seed, code):
            raise CodeWrongError

    def _is_new_code(self, user_id: UUID, seed: str, code: str) -> bool:
        now_step = int(self._clock().timestamp()) // STEP_S
        generator = pyotp.TOTP(seed, digits=DIGITS, interval=STEP_S)
        typed = _plain(code).encode("utf-8", "replace")
        for step in range(now_step - DRIFT_STEPS, now_step + DRIFT_STEPS + 1):
            if compare_digest(generator.generate_otp(step).encode(), typed):
                return self._store.take_step(user_id, step)
        return False

    def _new_recovery_codes(self, user_id: UUID) -> list[str]:
        codes = [
            base64.b32encode(secrets.token_bytes(RECOVERY_BYTES)).decode().lower()
            for _ in range(RECOVERY_CODES)
        ]
        self._store.replace_codes(user_id, [digest_of(code) for code in codes])
        return [_grouped(code) for code in codes]


def _plain(code: str) -> str:
    """Return a code without the spaces and hyphens that make it legible."""
    return "".join(code.split()).replace("-", "").lower()


def _grouped(code: str) -> str:
    starts = range(0, len(code), RECOVERY_GROUP)
    return "-".join(code[start : start + RECOVERY_GROUP] for start in starts)
