"""Settings that an administrator changes on a page while the server runs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.errors import SiteSettingError
from app.services.audit import AuditService
from app.storage.site_settings import SiteSettingsStore

MAX_RETENTION_DAYS = 3650
MAX_QUOTA_MIB = 1_000_000


class RegistrationMode(StrEnum):
    """Who may make an account."""

    OPEN = "open"
    APPROVAL = "approval"
    INVITATION = "invitation"
    CLOSED = "closed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteSettings:
    """What an administrator has set; new fields need a default.

    Attributes:
        registration: Who may make an account.
        retention_days: After so many days a scan is deleted with its analysis; 0 keeps them until
            their owner deletes them.
        quota_mib: What the pictures of one user may take, in MiB; 0 is without limit. A user may
            have a limit of their own.
        admins_need_codes: Whether an administrator without a second factor is let in to nothing
            but their own account.
    """

    registration: RegistrationMode = RegistrationMode.OPEN
    retention_days: int = 0
    quota_mib: int = 0
    admins_need_codes: bool = False

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            SiteSettingError: A value is out of range.
        """
        _check_range("retention_days", self.retention_days, MAX_RETENTION_DAYS)
        _check_range("quota_mib", self.quota_mib, MAX_QUOTA_MIB)
        if not isinstance(self.admins_need_codes, bool):
            raise SiteSettingError("admins_need_codes", "say yes or no")


class SiteSettingsService:
    """Reads and changes the settings of this site; a change counts from the next request on.

    Args:
        store: Where they are.
        audit: Where changes are recorded.
        defaults: What holds for what nobody has set.
    """

    def __init__(
        self, store: SiteSettingsStore, audit: AuditService, defaults: SiteSettings
    ) -> None:
        self._store = store
        self._audit = audit
        self._defaults = defaults

    def get(self) -> SiteSettings:
        """Return the settings as they are now, in whichever process they were changed.

        Raises:
            StorageError: They cannot be read.
        """
        return _with(self._defaults, self._store.read())

    def change(self, values: Mapping[str, Any], *, actor: UUID | None) -> SiteSettings:
        """Change some of the settings.

        Args:
            values: By the name of the field of ``SiteSettings``.
            actor: Who does it.

        Raises:
            SiteSettingError: There is no such setting, or the value is out of range; nothing is
                changed.
            StorageError: It could not be kept.
        """
        before = asdict(self.get())
        known = {field.name for field in fields(SiteSettings)}
        for name in values:
            if name not in known:
                raise SiteSettingError(name, "there is no such setting")
        after = _with(self.get(), values)
        changed = {name: value for name, value in asdict(after).items() if value != before[name]}
        self._store.write(changed)
        for name, value in changed.items():
            self._audit.record(
                "settings.changed",
                actor=actor,
                subject=name,
                before=str(before[name]),
                after=str(value),
            )
        return after


def _with(settings: SiteSettings, values: Mapping[str, Any]) -> SiteSettings:
    """Return settings with some values, of which those unknown to this version are ignored."""
    known = {field.name for field in fields(SiteSettings)}
    given = {name: value for name, value in values.items() if name in known}
    if "registration" in given:
        try:
            given["registration"] = RegistrationMode(given["registration"])
        except ValueError as error:
            raise SiteSettingError("registration", "choose one of the ways offered") from error
    return replace(settings, **given)


def _check_range(name: str, value: object, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= high:
        raise SiteSettingError(name, f"give a whole number from 0 to {high}")
