from datetime import datetime

import pytest

from app.errors import NotFoundError, TokenNameInvalidError, TooManyTokensError
from app.records import User
from app.services.accounts.accounts import AccountService
from app.services.accounts.api_tokens import MAX_TOKENS, ApiTokenService
from app.services.accounts.identity import Identity
from tests.movable_clock import MovableClock


def speaks_for(tokens: ApiTokenService, secret: str) -> User | None:
    bearer = tokens.bearer_of(secret)
    return bearer.user if bearer else None


@pytest.fixture
def tokens(identity: Identity) -> ApiTokenService:
    return identity.tokens


def test_a_token_speaks_for_its_user(tokens: ApiTokenService, alice: User) -> None:
    token, secret = tokens.create(alice.id, " night script ")

    assert token.name == "night script"
    assert secret.startswith("veriscan_")
    assert secret not in repr(token)
    assert speaks_for(tokens, secret) == alice
    assert [t.id for t in tokens.list_of_user(alice.id)] == [token.id]


@pytest.mark.parametrize("name", ["", "   ", "x" * 61, "two\nlines"])
def test_a_token_needs_a_name(tokens: ApiTokenService, alice: User, name: str) -> None:
    with pytest.raises(TokenNameInvalidError):
        tokens.create(alice.id, name)


@pytest.mark.parametrize("secret", ["", "veriscan_", "veriscan_guess", "\ud800", "x" * 10_000])
def test_a_guess_speaks_for_nobody(tokens: ApiTokenService, alice: User, secret: str) -> None:
    tokens.create(alice.id, "script")

    assert tokens.bearer_of(secret) is None


def test_a_revoked_token_speaks_for_nobody(tokens: ApiTokenService, alice: User) -> None:
    token, secret = tokens.create(alice.id, "script")

    tokens.revoke(alice.id, token.id)

    assert tokens.bearer_of(secret) is None
    with pytest.raises(NotFoundError):
        tokens.revoke(alice.id, token.id)


def test_nobody_can_revoke_anothers_token(
    tokens: ApiTokenService, alice: User, charlie: User
) -> None:
    token, secret = tokens.create(alice.id, "script")

    with pytest.raises(NotFoundError):
        tokens.revoke(charlie.id, token.id)
    assert speaks_for(tokens, secret) == alice


def test_the_token_of_a_deactivated_user_speaks_for_nobody(
    accounts: AccountService, tokens: ApiTokenService, alice: User
) -> None:
    _, secret = tokens.create(alice.id, "script")

    accounts.set_active(alice.id, active=False)

    assert tokens.bearer_of(secret) is None


def test_the_last_use_of_a_token_is_written_once_a_minute_at_most(
    tokens: ApiTokenService, alice: User, clock: MovableClock
) -> None:
    _, secret = tokens.create(alice.id, "script")

    def last_use() -> datetime:
        tokens.bearer_of(secret)
        used = tokens.list_of_user(alice.id)[0].last_used
        assert used is not None
        return used

    first = last_use()
    clock.move(seconds=59)
    assert last_use() == first

    clock.move(minutes=1)
    assert last_use() > first


def test_only_tokens_that_hold_are_counted_and_each_user_has_their_own(
    tokens: ApiTokenService, alice: User, charlie: User, clock: MovableClock
) -> None:
    for _ in range(MAX_TOKENS):
        tokens.create(alice.id, "script", days=1)
    with pytest.raises(TooManyTokensError, match="You have 20 tokens"):
        tokens.create(alice.id, "one more")
    tokens.create(charlie.id, "script")

    clock.move(days=1)

    tokens.create(alice.id, "one more")
