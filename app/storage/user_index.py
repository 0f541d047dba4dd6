"""Finds accounts by name and by address, and follows each change of them.

Going through all accounts would take longer the more there are, and longest for a name that nobody
has, which would tell a stranger so.
"""

from collections.abc import Callable, Mapping
from threading import Lock
from typing import Any

from app.errors import StorageError
from app.records import Role
from app.storage.journal import Change
from app.storage.json_reader import Mark

Documents = dict[str, Mapping[str, Any]]
Follow = Callable[[Mark], tuple[Mark, dict[str, Any] | list[Change]]]


class UserIndex:
    """All accounts of the file, by name and by address; several threads may ask it.

    Args:
        follow: Tells what is new since a mark: changes, or everything.
        broken: Makes the error for an account that is incomplete.
    """

    def __init__(self, follow: Follow, broken: Callable[[], StorageError]) -> None:
        self._follow = follow
        self._broken = broken
        self._lock = Lock()
        self._clear()

    def find_by_username(self, username: str) -> tuple[str, Mapping[str, Any]] | None:
        """Return id and fields of the account of this name, or None."""
        with self._lock:
            self._update()
            return self._found(self._by_username.get(username.casefold()))

    def find_by_email(self, email: str) -> tuple[str, Mapping[str, Any]] | None:
        """Return id and fields of the account of this address, or None."""
        with self._lock:
            self._update()
            return self._found(self._by_email.get(email.casefold()))

    def count_active_admins(self) -> int:
        """Return how many accounts can administer the system."""
        with self._lock:
            self._update()
            return len(self._active_admins)

    def snapshot(self, *, unless: object) -> tuple[Mark, Documents | None]:
        """Return all accounts as of now with a mark; None for them if that is ``unless``."""
        with self._lock:
            self._update()
            return self._mark, None if self._mark == unless else dict(self._documents)

    def _clear(self) -> None:
        self._mark = Mark()
        self._documents: Documents = {}
        self._by_username: dict[str, str] = {}
        self._by_email: dict[str, str] = {}
        self._active_admins: set[str] = set()

    def _found(self, key: str | None) -> tuple[str, Mapping[str, Any]] | None:
        return None if key is None else (key, self._documents[key])

    def _update(self) -> None:
        mark, news = self._follow(self._mark)
        try:
            if isinstance(news, dict):
                self._clear()
                for key, fields in news.items():
                    self._put(key, fields)
            else:
                for change in news:
                    self._remove(change.key)
                    if change.fields is not None:
                        self._put(change.key, change.fields)
        except (KeyError, AttributeError) as error:
            self._clear()
            raise self._broken() from error
        self._mark = mark

    def _put(self, key: str, fields: Mapping[str, Any]) -> None:
        self._by_username[fields["username"].casefold()] = key
        self._by_email[fields["email"].casefold()] = key
        self._documents[key] = fields
        if fields.get("is_active") is True and fields.get("role") == Role.ADMIN.value:
            self._active_admins.add(key)

    def _remove(self, key: str) -> None:
        fields = self._documents.pop(key, None)
        if fields is not None:
            self._by_username.pop(fields["username"].casefold(), None)
            self._by_email.pop(fields["email"].casefold(), None)
            self._active_admins.discard(key)
