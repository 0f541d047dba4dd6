"""Finding users among thousands: searched, filtered, sorted and paged."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any
from uuid import UUID

from app.records import Role, User
from app.services.accounts.accounts import AccountService

PER_PAGE = 50


class UserOrder(StrEnum):
    """By what users are sorted."""

    NAME = "name"
    EMAIL = "email"
    ROLE = "role"
    NEWEST = "newest"
    OLDEST = "oldest"


class UserState(StrEnum):
    """Whether a user can sign in."""

    ACTIVE = "active"
    WAITING = "waiting"
    DEACTIVATED = "deactivated"


@dataclass(frozen=True, slots=True, kw_only=True)
class UserQuery:
    """Which users are wanted; None and the empty text stand for all.

    Attributes:
        words: Each is part of the username, the address or the mobile number.
        page: From 1.
    """

    words: tuple[str, ...] = ()
    role: Role | None = None
    state: UserState | None = None
    order: UserOrder = UserOrder.NAME
    page: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class UserPage:
    """One page of the users that were wanted.

    Attributes:
        total: How many were found, on all pages.
        everybody: How many accounts there are.
    """

    users: tuple[User, ...]
    page: int
    total: int
    everybody: int

    @property
    def pages(self) -> int:
        """How many pages there are, at least 1."""
        return max(1, -(-self.total // PER_PAGE))


class UserDirectory:
    """Searches the accounts.

    They are read as a whole and looked through: ten thousand take about a tenth of a second.

    Args:
        accounts: Knows them.
    """

    def __init__(self, accounts: AccountService) -> None:
        self._accounts = accounts

    def find(self, query: UserQuery) -> UserPage:
        """Return a page of the users that are wanted; the last one if ``page`` is too far."""
        everybody = self._accounts.list_users()
        words = [word.casefold() for word in query.words]
        found = [user for user in everybody if _fits(user, query, words)]
        order, is_reversed = ORDERS[query.order]
        found.sort(key=order, reverse=is_reversed)
        last = max(1, -(-len(found) // PER_PAGE))
        page = min(max(1, query.page), last)
        return UserPage(
            users=tuple(found[(page - 1) * PER_PAGE : page * PER_PAGE]),
            page=page,
            total=len(found),
            everybody=len(everybody),
        )

    def named(self, name: str) -> User | None:
        """Return the user of exactly this username or address, or None."""
        folded = name.strip().casefold()
        return next(
            (
                user
                for user in self._accounts.list_users()
                if folded in (user.username.casefold(), user.email.casefold())
            ),
            None,
        )

    def count(self, state: UserState) -> int:
        """Return how many users are in a state."""
        return sum(state_of(user) is state for user in self._accounts.list_users())

    def names(self, user_ids: set[UUID]) -> dict[UUID, str]:
        """Return the usernames of those of these users who still exist."""
        users = [self._accounts.find(user_id) for user_id in user_ids]
        return {user.id: user.username for user in users if user}


ORDERS: Mapping[UserOrder, tuple[Callable[[User], Any], bool]] = {
    UserOrder.NAME: (lambda user: user.username.casefold(), False),
    UserOrder.EMAIL: (lambda user: user.email.casefold(), False),
    UserOrder.ROLE: (lambda user: (user.role.value, user.username.casefold()), False),
    UserOrder.NEWEST: (lambda user: user.created, True),
    UserOrder.OLDEST: (lambda user: user.created, False),
}
"""By what each order sorts, and whether backwards."""


def state_of(user: User) -> UserState:
    """Return whether a user can sign in."""
    if user.is_active:
        return UserState.ACTIVE
    return UserState.WAITING if user.awaits_approval else UserState.DEACTIVATED


def _fits(user: User, query: UserQuery, folded_words: list[str]) -> bool:
    if query.role is not None and user.role is not query.role:
        return False
    if query.state is not None and state_of(user) is not query.state:
        return False
    if not folded_words:
        return True
    text = f"{user.username} {user.email} {user.mobile}".casefold()
    return all(word in text for word in folded_words)
