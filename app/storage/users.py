"""What a store of the accounts can do, wherever it keeps them."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol
from uuid import UUID

from app.records import User


class UserStore(Protocol):
    """Keeps the accounts of all processes that work with them."""

    def transaction(self) -> AbstractContextManager[Any]:
        """Return a lock over all accounts, in all processes, for a check and the change after it.

        Each change takes it by itself as well; it may be nested.
        """

    def add(self, user: User) -> None:
        """Keep a new user.

        Raises:
            UsernameTakenError: Somebody has the name, upper and lower case being the same.
            EmailTakenError: Somebody has the address.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """

    def replace(self, user: User) -> None:
        """Keep a changed user in place of the one with the same id.

        Raises:
            NotFoundError: There is none.
            UsernameTakenError: Somebody else has the name.
            EmailTakenError: Somebody else has the address.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """

    def delete(self, user_id: UUID) -> None:
        """Remove a user.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """

    def get(self, user_id: UUID) -> User:
        """Return a user.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The accounts cannot be read.
        """

    def find(self, user_id: UUID) -> User | None:
        """Return a user, or None where there is none with this id."""

    def find_by_username(self, username: str) -> User | None:
        """Return the user of this name, whatever the case of its letters."""

    def find_by_email(self, email: str) -> User | None:
        """Return the user of this address, whatever the case of its letters."""

    def list(self) -> list[User]:
        """Return all users by username."""

    def set_fields(self, user_ids: Iterable[UUID], fields: Mapping[str, Any]) -> None:
        """Give many users the same role or state at once, with a single write.

        Raises:
            NotFoundError: One of them is not there; nothing is changed.
            StorageError: The accounts cannot be read or written; nothing is changed.
        """

    def count_active_admins(self) -> int:
        """Return how many people can administer the system."""

    def close(self) -> None:
        """Let go of files and connections of its own."""
