"""The accounts, in TinyDB."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tinydb import TinyDB
from tinydb.table import Document, Table

from app.errors import EmailTakenError, NotFoundError, StorageError, UsernameTakenError
from app.records import Role, User
from app.storage.json_file import AtomicJSONStorage

FILE_NAME = "users.json"
TABLE_NAME = "users"


class UserTable(Table):
    """A table whose key is the user's UUID.

    TinyDB would number the documents and give a deleted number out again, and it would answer
    queries from a cache that knows nothing of other processes.
    """

    document_id_class = str  # type: ignore[assignment]  # TinyDB says int, takes any
    default_query_cache_capacity = 0


class UserStore:
    """Keeps the accounts of all processes that share a data folder.

    Args:
        data_dir: Folder that exists.
    """

    def __init__(self, data_dir: Path) -> None:
        self._storage = AtomicJSONStorage(data_dir / FILE_NAME, content="accounts")
        self._database = TinyDB(storage=lambda: self._storage)
        self._users = UserTable(self._database.storage, TABLE_NAME)

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a lock over all accounts, in all processes, for a check and the change after it.

        Each change takes it by itself as well; it may be nested.
        """
        return self._storage.exclusive()

    def add(self, user: User) -> None:
        """Keep a new user.

        Raises:
            UsernameTakenError: Somebody has the name, upper and lower case being the same.
            EmailTakenError: Somebody has the address.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """
        with self.transaction():
            self._check_unique(user)
            self._users.insert(_document_of(user))

    def replace(self, user: User) -> None:
        """Keep a changed user in place of the one with the same id.

        Raises:
            NotFoundError: There is none.
            UsernameTakenError: Somebody else has the name.
            EmailTakenError: Somebody else has the address.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """
        with self.transaction():
            self.get(user.id)
            self._check_unique(user)
            self._users.upsert(_document_of(user))

    def delete(self, user_id: UUID) -> None:
        """Remove a user.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """
        with self.transaction():
            self.get(user_id)
            self._users.remove(doc_ids=[str(user_id)])  # type: ignore[list-item]  # see UserTable

    def get(self, user_id: UUID) -> User:
        """Return a user.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The accounts cannot be read.
        """
        user = self.find(user_id)
        if user is None:
            raise NotFoundError("user")
        return user

    def find(self, user_id: UUID) -> User | None:
        """Return a user, or None where there is none with this id."""
        document = self._users.get(doc_id=str(user_id))  # type: ignore[call-overload]  # see UserTable
        return None if document is None else _user_of(document)

    def find_by_username(self, username: str) -> User | None:
        """Return the user of this name, whatever the case of its letters."""
        folded = username.casefold()
        return self._find(lambda user: user["username"].casefold() == folded)

    def find_by_email(self, email: str) -> User | None:
        """Return the user of this address, whatever the case of its letters."""
        folded = email.casefold()
        return self._find(lambda user: user["email"].casefold() == folded)

    def list(self) -> list[User]:
        """Return all users by username."""
        users = [_user_of(document) for document in self._users.all()]
        return sorted(users, key=lambda user: user.username.casefold())

    def count_active_admins(self) -> int:
        """Return how many people can administer the system."""
        return sum(user.is_active and user.role is Role.ADMIN for user in self.list())

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _find(self, matches: Callable[[Mapping[str, Any]], bool]) -> User | None:
        for document in self._users:
            try:
                if matches(document):
                    return _user_of(document)
            except (KeyError, AttributeError) as error:
                raise _broken_record() from error
        return None

    def _check_unique(self, user: User) -> None:
        holder = self.find_by_username(user.username)
        if holder is not None and holder.id != user.id:
            raise UsernameTakenError
        holder = self.find_by_email(user.email)
        if holder is not None and holder.id != user.id:
            raise EmailTakenError


def _document_of(user: User) -> Document:
    fields = {
        "username": user.username,
        "email": user.email,
        "mobile": user.mobile,
        "password_hash": user.password_hash,
        "role": user.role.value,
        "is_active": user.is_active,
        "created": user.created.isoformat(),
    }
    return Document(fields, doc_id=str(user.id))  # type: ignore[arg-type]  # see UserTable


def _user_of(document: Document) -> User:
    try:
        _check_types(document)
        return User(
            id=UUID(str(document.doc_id)),
            username=document["username"],
            email=document["email"],
            mobile=document["mobile"],
            password_hash=document["password_hash"],
            role=Role(document["role"]),
            is_active=document["is_active"],
            created=datetime.fromisoformat(document["created"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _broken_record() from error


def _check_types(document: Document) -> None:
    """Check what an edit by hand may get wrong: a "no" in place of false would let a user in.

    Raises:
        TypeError: A field holds something else than what belongs there.
    """
    if not isinstance(document["is_active"], bool):
        raise TypeError("is_active is neither true nor false")
    for name in ("username", "email", "mobile", "password_hash"):
        if not isinstance(document[name], str):
            raise TypeError(f"{name} is no text")


def _broken_record() -> StorageError:
    return StorageError(
        f"The accounts file {FILE_NAME} in the data folder holds an incomplete account. It was "
        "left as it is: restore it from a backup, then try again."
    )
