"""How much of the disk a user's scans take, and how much they may."""

from dataclasses import dataclass
from uuid import UUID

from app.errors import QuotaExceededError, SiteSettingError
from app.services.audit import AuditService
from app.services.site_settings import MAX_QUOTA_MIB, SiteSettingsService
from app.storage.quotas import QuotaStore
from app.storage.statistics import StatisticsStore

MIB = 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """The room of one user.

    Attributes:
        analyses: How many they have.
        used_bytes: What the pictures of these take.
        limit_mib: What they may take, in MiB; 0 is without limit.
        is_own: Whether the limit is this user's own, not the site's.
    """

    analyses: int
    used_bytes: int
    limit_mib: int
    is_own: bool

    @property
    def is_exceeded(self) -> bool:
        """Whether more is stored than may be."""
        return 0 < self.limit_mib * MIB < self.used_bytes


class QuotaService:
    """Knows the limits and keeps uploads within them.

    Args:
        statistics: Adds up what is stored.
        own: Limits of single users.
        site: Has the limit of everybody else.
        audit: Where changes are recorded.
    """

    def __init__(
        self,
        statistics: StatisticsStore,
        own: QuotaStore,
        site: SiteSettingsService,
        audit: AuditService,
    ) -> None:
        self._statistics = statistics
        self._own = own
        self._site = site
        self._audit = audit

    def of(self, user_id: UUID) -> Quota:
        """Return the room of a user."""
        stored = self._statistics.storage_of(user_id)
        limit_mib, is_own = self._limit_of(user_id)
        return Quota(
            analyses=stored.analyses,
            used_bytes=stored.size_bytes,
            limit_mib=limit_mib,
            is_own=is_own,
        )

    def check(self, user_id: UUID) -> None:
        """Check that what a user has stored is within their limit.

        Raises:
            QuotaExceededError: It is not.
        """
        limit_mib, _ = self._limit_of(user_id)
        if limit_mib and self.of(user_id).is_exceeded:
            raise QuotaExceededError(limit_mib)

    def set(self, user_id: UUID, mib: int | None, *, actor: UUID | None) -> None:
        """Give a user a limit of their own, 0 being none at all; None gives them the site's.

        Raises:
            SiteSettingError: It is out of range.
        """
        if mib is not None and not 0 <= mib <= MAX_QUOTA_MIB:
            raise SiteSettingError("quota", f"give a whole number from 0 to {MAX_QUOTA_MIB}")
        self._own.set(user_id, mib)
        self._audit.record(
            "account.quota_set",
            actor=actor,
            subject=str(user_id),
            mib="the site's" if mib is None else mib,
        )

    def forget(self, user_id: UUID) -> None:
        """Remove the limit of a user who is being deleted."""
        self._own.set(user_id, None)

    def _limit_of(self, user_id: UUID) -> tuple[int, bool]:
        own = self._own.find(user_id)
        return (self._site.get().quota_mib, False) if own is None else (own, True)
