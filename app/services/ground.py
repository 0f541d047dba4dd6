"""What all services stand on: the settings, the open stores, the audit trail and the time."""

from dataclasses import dataclass, field

from app.config import Settings
from app.services.audit import AuditService
from app.services.clock import Clock
from app.services.site_settings import RegistrationMode, SiteSettings, SiteSettingsService
from app.storage.audit import AuditStore
from app.storage.database import Database, sqlite_url
from app.storage.encryption import ScanCipher, check_key_file
from app.storage.files import make_private_folder
from app.storage.images import ImageStore
from app.storage.secret_key import load_or_make_secret_key
from app.storage.site_settings import SiteSettingsStore
from app.storage.user_stores import open_users
from app.storage.users import UserStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What all services stand on.

    Attributes:
        secret_key: With which sessions are signed and keys are derived, from the settings or from
            the data folder.
    """

    settings: Settings
    clock: Clock
    database: Database
    users: UserStore
    images: ImageStore
    audit: AuditService
    site_settings: SiteSettingsService
    secret_key: str = field(repr=False)


def lay_ground(settings: Settings, clock: Clock) -> Ground:
    """Open the stores in the data folder, which is made where it is missing.

    Raises:
        StorageError: The data folder cannot be used, or its database is of another version.
    """
    make_private_folder(settings.data_dir)
    database = Database(settings.database_url or sqlite_url(settings.data_dir))
    users = open_users(settings.data_dir, database)
    secret_key = settings.secret_key or load_or_make_secret_key(settings.data_dir)
    audit = AuditService(AuditStore(database), settings.data_dir, secret_key)
    mode = RegistrationMode.OPEN if settings.registration_open else RegistrationMode.CLOSED
    defaults = SiteSettings(registration=mode)
    return Ground(
        settings=settings,
        clock=clock,
        database=database,
        users=users,
        images=ImageStore(settings.data_dir, _cipher(settings)),
        audit=audit,
        site_settings=SiteSettingsService(SiteSettingsStore(database), audit, defaults),
        secret_key=secret_key,
    )


def _cipher(settings: Settings) -> ScanCipher:
    if settings.storage_key_file is not None:
        check_key_file(settings.storage_key_file, settings.data_dir)
    return ScanCipher(settings.storage_key_file)
