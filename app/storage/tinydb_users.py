"""The accounts in TinyDB, for a server on one machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from tinydb import TinyDB
from tinydb.table import Document, Table

from app.errors import EmailTakenError, NotFoundError, StorageError, UsernameTakenError
from app.records import Role, User
from app.storage.journal import Change
from app.storage.json_file import AtomicJSONStorage
from app.storage.user_index import UserIndex

FILE_NAME = "users.json"
TABLE_NAME = "users"
# Version 2 added ``awaits_approval``, version 3 the journal; what the former wrote is read as well.
VERSION = 3


class UserTable(Table):
    """A table whose key is the user's UUID, and of which only what changes is written.

    TinyDB would number the documents and give a deleted number out again, it would answer queries
    from a cache that knows nothing of other processes, and it would copy and write all documents
    with each change.
    """

    document_id_class = str  # type: ignore[assignment]  # TinyDB says int, takes any
    default_query_cache_capacity = 0

    def __init__(self, storage: AtomicJSONStorage, name: str) -> None:
        super().__init__(storage, name)
        self._journaled = storage

    def _update_table(self, updater: Callable[[Any], None]) -> None:
        """Do what TinyDB's method of this name does; all its changes go through it."""
        draft = _Draft(self._read_table())
        updater(draft)
        if draft.changed:
            self._journaled.append(
                [Change(self.name, key, fields) for key, fields in draft.changed.items()]
            )


class _Draft(MutableMapping[str, dict[str, Any]]):
    """Looks like a table and takes changes without making them.

    Attributes:
        changed: The documents that are to be changed, by id; None is one to be removed.
    """

    def __init__(self, table: Mapping[str, Mapping[str, Any]]) -> None:
        self._table = table
        self.changed: dict[str, dict[str, Any] | None] = {}

    def __contains__(self, key: object) -> bool:
        if key in self.changed:
            return self.changed[str(key)] is not None
        return key in self._table

    def __getitem__(self, key: str) -> dict[str, Any]:
        """Return a copy that may be changed, so it counts as changed from now on."""
        if key not in self:
            raise KeyError(key)
        fields = self.changed.get(key)
        if fields is None:
            fields = self.changed[key] = dict(self._table[key])
        return fields

    def __setitem__(self, key: str, fields: dict[str, Any]) -> None:
        self.changed[key] = fields

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.changed[key] = None

    def __iter__(self) -> Iterator[str]:
        return (key for key in {**self._table, **self.changed} if key in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)


class TinyDBUserStore:
    """Keeps the accounts of all processes that share a data folder; a ``UserStore``.

    Args:
        data_dir: Folder that exists.
    """

    def __init__(self, data_dir: Path) -> None:
        self._storage = AtomicJSONStorage(data_dir / FILE_NAME, content="accounts", version=VERSION)
        self._database = TinyDB(storage=lambda: self._storage)
        self._users = UserTable(self._storage, TABLE_NAME)
        self._index = UserIndex(lambda mark: self._storage.follow(mark, TABLE_NAME), _broken_record)
        self._listed: tuple[object, tuple[User, ...]] = (None, ())

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a lock over all accounts; see ``UserStore``."""
        return self._storage.exclusive()

    def add(self, user: User) -> None:
        """Keep a new user; see ``UserStore``."""
        with self.transaction():
            self._check_unique(user)
            self._users.insert(_document_of(user))

    def replace(self, user: User) -> None:
        """Keep a changed user; see ``UserStore``."""
        with self.transaction():
            self.get(user.id)
            self._check_unique(user)
            self._users.upsert(_document_of(user))

    def delete(self, user_id: UUID) -> None:
        """Remove a user; see ``UserStore``."""
        with self.transaction():
            self.get(user_id)
            self._users.remove(doc_ids=[str(user_id)])  # type: ignore[list-item]  # see UserTable

    def get(self, user_id: UUID) -> User:
        """Return a user; see ``UserStore``."""
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
        return _user_or_none(self._index.find_by_username(username))

    def find_by_email(self, email: str) -> User | None:
        """Return the user of this address, whatever the case of its letters."""
        return _user_or_none(self._index.find_by_email(email))

    def list(self) -> list[User]:
        """Return all users by username."""
        mark, documents = self._index.snapshot(unless=self._listed[0])
        if documents is None:
            return list(self._listed[1])
        users = [_user_of(_with_id(key, fields)) for key, fields in documents.items()]
        users.sort(key=lambda user: user.username.casefold())
        self._listed = mark, tuple(users)
        return users

    def set_fields(self, user_ids: Iterable[UUID], fields: Mapping[str, Any]) -> None:
        """Give many users the same role or state at once; see ``UserStore``."""
        ids = [str(user_id) for user_id in user_ids]
        with self.transaction():
            if not all(self._users.contains(doc_id=key) for key in ids):  # type: ignore[arg-type]  # see UserTable
                raise NotFoundError("user")
            self._users.update(fields, doc_ids=ids)  # type: ignore[arg-type]  # see UserTable

    def count_active_admins(self) -> int:
        """Return how many people can administer the system."""
        return self._index.count_active_admins()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _check_unique(self, user: User) -> None:
        holder = self.find_by_username(user.username)
        if holder is not None and holder.id != user.id:
            raise UsernameTakenError
        holder = self.find_by_email(user.email)
        if holder is not None and holder.id != user.id:
            raise EmailTakenError


def _with_id(key: str, fields: Mapping[str, Any]) -> Document:
    return Document(fields, doc_id=key)  # type: ignore[arg-type]  # see UserTable


def _user_or_none(found: tuple[str, Mapping[str, Any]] | None) -> User | None:
    return None if found is None else _user_of(_with_id(*found))


def _document_of(user: User) -> Document:
    fields = {
        "username": user.username,
        "email": user.email,
        "mobile": user.mobile,
        "password_hash": user.password_hash,
        "role": user.role.value,
        "is_active": user.is_active,
        "created": user.created.isoformat(),
        "awaits_approval": user.awaits_approval,
    }
    return _with_id(str(user.id), fields)


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
            awaits_approval=document.get("awaits_approval", False),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _broken_record() from error


def _check_types(document: Document) -> None:
    """Check what an edit by hand may get wrong: a "no" in place of false would let a user in.

    Raises:
        TypeError: A field holds something else than what belongs there.
    """
    for switch in (document["is_active"], document.get("awaits_approval", False)):
        if not isinstance(switch, bool):
            raise TypeError("is_active or awaits_approval is neither true nor false")
    for name in ("username", "email", "mobile", "password_hash"):
        if not isinstance(document[name], str):
            raise TypeError(f"{name} is no text")


def _broken_record() -> StorageError:
    return StorageError(
        f"The accounts file {FILE_NAME} in the data folder holds an incomplete account. It was "
        "left as it is: restore it from a backup, then try again."
    )
