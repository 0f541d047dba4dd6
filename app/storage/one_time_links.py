"""The links that work once, invitations and new passwords, in the SQL database."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import LinkPurpose, OneTimeLink, Role
from app.storage.database import METADATA, Database, UtcDateTime

ONE_TIME_LINKS = sa.Table(
    "one_time_links",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("purpose", sa.String(16), nullable=False),
    sa.Column("digest", sa.String(64), nullable=False, unique=True),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("expires", UtcDateTime, nullable=False),
    sa.Column("made_by", sa.Uuid),
    sa.Column("user_id", sa.Uuid, index=True),
    sa.Column("email", sa.String(254), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("used", UtcDateTime),
)


class OneTimeLinkStore:
    """Keeps the digests of one-time links; the links themselves are never stored."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, link: OneTimeLink) -> None:
        """Keep a new link.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            connection.execute(ONE_TIME_LINKS.insert().values(asdict(link)))

    def find_by_digest(self, digest: str) -> OneTimeLink | None:
        """Return the link with this SHA-256, used or not, or None."""
        statement = sa.select(ONE_TIME_LINKS).where(ONE_TIME_LINKS.c.digest == digest)
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else _link_of(row)

    def list_of_purpose(self, purpose: LinkPurpose) -> list[OneTimeLink]:
        """Return all links for a purpose, newest first."""
        statement = (
            sa.select(ONE_TIME_LINKS)
            .where(ONE_TIME_LINKS.c.purpose == purpose)
            .order_by(ONE_TIME_LINKS.c.created.desc(), ONE_TIME_LINKS.c.id)
        )
        with self._database.reading() as connection:
            return [_link_of(row) for row in connection.execute(statement).mappings()]

    def use(self, link_id: UUID, at: datetime) -> bool:
        """Mark a link as used; False if somebody was quicker or it is gone."""
        statement = (
            ONE_TIME_LINKS.update()
            .where(ONE_TIME_LINKS.c.id == link_id, ONE_TIME_LINKS.c.used.is_(None))
            .values(used=at)
        )
        with self._database.writing() as connection:
            return connection.execute(statement).rowcount == 1

    def give_back(self, link_id: UUID) -> None:
        """Make a used link good again, where what it was used for has failed."""
        statement = ONE_TIME_LINKS.update().where(ONE_TIME_LINKS.c.id == link_id).values(used=None)
        with self._database.writing() as connection:
            connection.execute(statement)

    def delete(self, link_id: UUID, purpose: LinkPurpose) -> None:
        """Remove a link.

        Raises:
            NotFoundError: There is no such link for this purpose.
        """
        statement = ONE_TIME_LINKS.delete().where(
            ONE_TIME_LINKS.c.id == link_id, ONE_TIME_LINKS.c.purpose == purpose
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError(purpose.value)

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove the links with which a user's password may be set."""
        with self._database.writing() as connection:
            connection.execute(ONE_TIME_LINKS.delete().where(ONE_TIME_LINKS.c.user_id == user_id))

    def delete_expired_before(self, expires: datetime) -> None:
        """Remove links that were good until before a time."""
        with self._database.writing() as connection:
            connection.execute(ONE_TIME_LINKS.delete().where(ONE_TIME_LINKS.c.expires < expires))


def _link_of(row: Mapping[Any, Any]) -> OneTimeLink:
    fields = {str(name): value for name, value in row.items()}
    fields["purpose"] = LinkPurpose(fields["purpose"])
    fields["role"] = Role(fields["role"])
    return OneTimeLink(**fields)
