"""The services of one application, built and wired in one place."""

from dataclasses import dataclass, field
from typing import Protocol

from app.config import Settings
from app.detection.limits import DecodingLimits
from app.engine.protocol import Engine
from app.services.accounts import AccountService
from app.services.analyses import AnalysisService
from app.services.passwords import PasswordService
from app.storage.analyses import AnalysisStore
from app.storage.database import Database, sqlite_url
from app.storage.files import make_private_folder
from app.storage.images import ImageStore
from app.storage.secret_key import load_or_make_secret_key
from app.storage.tokens import TokenStore
from app.storage.users import UserStore


class Closable(Protocol):
    """A store that holds files or connections open."""

    def close(self) -> None:
        """Let go of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """What the web pages, the API and the command line work with.

    The factory keeps it as ``app.extensions["veriscan"]``.

    Attributes:
        secret_key: With which sessions are signed, from the settings or from the data folder.
        stores: What is to be closed at the end.
    """

    settings: Settings
    engine: Engine
    accounts: AccountService
    analyses: AnalysisService
    secret_key: str = field(repr=False)
    stores: tuple[Closable, ...] = field(repr=False)

    def start(self) -> None:
        """Load the weights and take up the analyses that a restart interrupted.

        For the one serving process, after a fork: building the services starts nothing, so that
        ``flask create-admin`` neither loads weights nor disturbs the server. A second call does
        nothing, but waits for the first.

        Raises:
            EngineError: The engine cannot start, or has been stopped.
            StorageError: The database cannot be read.
        """
        self.engine.start()
        self.analyses.resume()

    def stop(self) -> None:
        """Stop the engine and store what it has finished; the rest waits for the next start."""
        self.engine.stop()
        self.analyses.close()
        for store in self.stores:
            store.close()


def build_services(
    settings: Settings, engine: Engine, passwords: PasswordService | None = None
) -> Services:
    """Open the stores in the data folder (made where missing) and wire the services to them.

    Args:
        settings: Of this server.
        engine: Judges the scans; not started here.
        passwords: How passwords are hashed; only tests give a cheaper way than the default.

    Raises:
        StorageError: The data folder cannot be used, or its database is of another version.
    """
    make_private_folder(settings.data_dir)
    users = UserStore(settings.data_dir)
    database = Database(settings.database_url or sqlite_url(settings.data_dir))
    limits = DecodingLimits(max_bytes=settings.max_upload_bytes, max_pixels=settings.max_pixels)
    analyses = AnalysisService(
        engine, AnalysisStore(database), ImageStore(settings.data_dir), limits
    )
    accounts = AccountService(
        users,
        TokenStore(database),
        passwords or PasswordService(),
        forget=analyses.delete_of_user,
    )
    return Services(
        settings=settings,
        engine=engine,
        accounts=accounts,
        analyses=analyses,
        secret_key=settings.secret_key or load_or_make_secret_key(settings.data_dir),
        stores=(users, database),
    )
