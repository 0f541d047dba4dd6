"""The API tokens, in the SQL database."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import ApiToken, Scope
from app.storage.database import API_TOKENS, Database


class TokenStore:
    """Keeps the digests of API tokens; the tokens themselves are never stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, token: ApiToken, *, at_most: int) -> bool:
        """Keep a new token; returns False where the user has ``at_most`` that still hold.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        row = {
            "id": token.id,
            "user_id": token.user_id,
            "name": token.name,
            "digest": token.digest,
            "created": token.created,
            "last_used": token.last_used,
            "scopes": " ".join(sorted(token.scopes)),
            "expires": token.expires,
        }
        expires = API_TOKENS.c.expires
        holding = (
            sa.select(sa.func.count())
            .select_from(API_TOKENS)
            .where(API_TOKENS.c.user_id == token.user_id)
            .where(expires.is_(None) | (expires > token.created))
        )
        with self._database.writing() as connection:
            if connection.execute(holding).scalar_one() >= at_most:
                return False
            connection.execute(API_TOKENS.insert().values(row))
        return True

    def find_by_digest(self, digest: str) -> ApiToken | None:
        """Return the token with this SHA-256, or None."""
        statement = sa.select(API_TOKENS).where(API_TOKENS.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _token_of(row)

    def list_of_user(self, user_id: UUID) -> list[ApiToken]:
        """Return a user's tokens, newest first."""
        statement = (
            sa.select(API_TOKENS)
            .where(API_TOKENS.c.user_id == user_id)
            .order_by(API_TOKENS.c.created.desc(), API_TOKENS.c.id)
        )
        with self._database.reading() as connection:
            return [_token_of(row) for row in connection.execute(statement).mappings()]

    def touch(self, token_id: UUID, used: datetime) -> None:
        """Remember when a token was last used; does nothing if it was removed meanwhile."""
        statement = API_TOKENS.update().where(API_TOKENS.c.id == token_id).values(last_used=used)
        with self._database.writing() as connection:
            connection.execute(statement)

    def delete(self, user_id: UUID, token_id: UUID) -> None:
        """Remove a user's token.

        Raises:
            NotFoundError: The user has no such token.
            StorageError: The database failed; nothing is changed.
        """
        statement = API_TOKENS.delete().where(
            API_TOKENS.c.id == token_id, API_TOKENS.c.user_id == user_id
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("API token")

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove all tokens of a user."""
        with self._database.writing() as connection:
            connection.execute(API_TOKENS.delete().where(API_TOKENS.c.user_id == user_id))


def _token_of(row: Mapping[Any, Any]) -> ApiToken:
    """Return a token; where no scopes are stored, it is from before there were any."""
    stored = row["scopes"]
    scopes = frozenset(Scope) if stored is None else frozenset(map(Scope, stored.split()))
    return ApiToken(**{**row, "scopes": scopes})
