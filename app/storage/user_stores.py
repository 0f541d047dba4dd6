"""Where this server keeps its accounts: in TinyDB, or in PostgreSQL where that is used."""

from contextlib import closing
from pathlib import Path

from app.storage.database import Database
from app.storage.sql_users import SQLUserStore
from app.storage.tinydb_users import TinyDBUserStore
from app.storage.users import UserStore


def open_users(data_dir: Path, database: Database) -> UserStore:
    """Open the accounts.

    A server that changes to PostgreSQL takes along the accounts that it has, once.

    Args:
        data_dir: Folder that exists.
        database: That of the analyses.

    Raises:
        StorageError: The accounts cannot be read or taken along.
    """
    in_folder = TinyDBUserStore(data_dir)
    if database.kind != "postgresql":
        return in_folder
    in_database = SQLUserStore(database)
    with closing(in_folder):
        in_database.adopt(in_folder.list())
    return in_database
