from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.errors import NotFoundError, StorageError
from app.records import ApiToken
from app.storage.database import Database
from app.storage.tokens import TokenStore
from tests.app.storage.conftest import NOON

ALICE, BOB = uuid4(), uuid4()


@pytest.fixture
def tokens(database: Database) -> TokenStore:
    return TokenStore(database)


def make_token(user_id: UUID = ALICE, digest: str = "a" * 64, hours: int = 0) -> ApiToken:
    return ApiToken(
        id=uuid4(),
        user_id=user_id,
        name="night script",
        digest=digest,
        created=NOON + timedelta(hours=hours),
    )


def test_a_token_is_found_by_its_digest(tokens: TokenStore) -> None:
    token = make_token()

    tokens.add(token, at_most=20)

    assert tokens.find_by_digest(token.digest) == token
    assert tokens.find_by_digest("b" * 64) is None


def test_a_users_tokens_are_listed_newest_first(tokens: TokenStore) -> None:
    old, new = make_token(digest="a" * 64), make_token(digest="b" * 64, hours=1)
    for token in (old, new, make_token(BOB, digest="c" * 64)):
        tokens.add(token, at_most=20)

    assert tokens.list_of_user(ALICE) == [new, old]


def test_a_digest_is_kept_once(tokens: TokenStore) -> None:
    tokens.add(make_token(), at_most=20)

    with pytest.raises(StorageError):
        tokens.add(make_token(), at_most=20)


def test_the_last_use_is_remembered(tokens: TokenStore) -> None:
    token = make_token()
    tokens.add(token, at_most=20)

    tokens.touch(token.id, NOON + timedelta(minutes=3))

    found = tokens.find_by_digest(token.digest)
    assert found is not None
    assert found.last_used == NOON + timedelta(minutes=3)


def test_only_its_owner_can_remove_a_token(tokens: TokenStore) -> None:
    token = make_token()
    tokens.add(token, at_most=20)

    with pytest.raises(NotFoundError):
        tokens.delete(BOB, token.id)
    tokens.delete(ALICE, token.id)

    assert tokens.find_by_digest(token.digest) is None


def test_all_tokens_of_a_user_are_removed_and_nobody_elses(tokens: TokenStore) -> None:
    his = make_token(BOB, digest="c" * 64)
    for token in (make_token(digest="a" * 64), make_token(digest="b" * 64), his):
        tokens.add(token, at_most=20)

    tokens.delete_of_user(ALICE)

    assert tokens.list_of_user(ALICE) == []
    assert tokens.list_of_user(BOB) == [his]
