"""The accounts in the SQL database, where several machines share them."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from threading import local
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.errors import EmailTakenError, NotFoundError, StorageError, UsernameTakenError
from app.records import Role, User
from app.storage.database import METADATA, Database, UtcDateTime

POSTGRESQL_LOCK = 0x56455255534552  # any number, the same in every process

USERS = sa.Table(
    "users",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("username", sa.Text, nullable=False),
    sa.Column("email", sa.Text, nullable=False),
    # Without regard to case in Python's sense: databases differ in theirs.
    sa.Column("username_key", sa.Text, nullable=False, unique=True),
    sa.Column("email_key", sa.Text, nullable=False, unique=True),
    sa.Column("mobile", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("is_active", sa.Boolean, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("awaits_approval", sa.Boolean, nullable=False),
)


class SQLUserStore:
    """Keeps the accounts in the database of the analyses; a ``UserStore``.

    In SQLite nothing else may be written to the database while a ``transaction`` is held.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._held = local()

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Hold a lock over all accounts; see ``UserStore``."""
        connection: sa.Connection | None = getattr(self._held, "connection", None)
        if connection is not None:
            yield connection
            return
        with self._database.writing() as connection:
            if connection.dialect.name == "postgresql":
                # SQLite has but one writer anyway.
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(POSTGRESQL_LOCK)))
            self._held.connection = connection
            try:
                yield connection
            finally:
                self._held.connection = None

    def add(self, user: User) -> None:
        """Keep a new user; see ``UserStore``."""
        with self.transaction() as connection:
            self._check_unique(user)
            connection.execute(USERS.insert().values(_row_of(user)))

    def replace(self, user: User) -> None:
        """Keep a changed user; see ``UserStore``."""
        with self.transaction() as connection:
            self.get(user.id)
            self._check_unique(user)
            connection.execute(USERS.update().where(USERS.c.id == user.id).values(_row_of(user)))

    def delete(self, user_id: UUID) -> None:
        """Remove a user; see ``UserStore``."""
        with self.transaction() as connection:
            if not connection.execute(USERS.delete().where(USERS.c.id == user_id)).rowcount:
                raise NotFoundError("user")

    def get(self, user_id: UUID) -> User:
        """Return a user; see ``UserStore``."""
        user = self.find(user_id)
        if user is None:
            raise NotFoundError("user")
        return user

    def find(self, user_id: UUID) -> User | None:
        """Return a user, or None where there is none with this id."""
        return self._find(USERS.c.id == user_id)

    def find_by_username(self, username: str) -> User | None:
        """Return the user of this name, whatever the case of its letters."""
        return self._find(USERS.c.username_key == username.casefold())

    def find_by_email(self, email: str) -> User | None:
        """Return the user of this address, whatever the case of its letters."""
        return self._find(USERS.c.email_key == email.casefold())

    def list(self) -> list[User]:
        """Return all users by username."""
        with self._reading() as connection:
            users = [_user_of(row) for row in connection.execute(sa.select(USERS)).mappings()]
        return sorted(users, key=lambda user: user.username.casefold())

    def set_fields(self, user_ids: Iterable[UUID], fields: Mapping[str, Any]) -> None:
        """Give many users the same role or state at once; see ``UserStore``."""
        ids = set(user_ids)
        with self.transaction() as connection:
            statement = USERS.update().where(USERS.c.id.in_(ids)).values(**fields)
            if connection.execute(statement).rowcount != len(ids):
                raise NotFoundError("user")

    def count_active_admins(self) -> int:
        """Return how many people can administer the system."""
        statement = (
            sa.select(sa.func.count())
            .select_from(USERS)
            .where(USERS.c.is_active, USERS.c.role == Role.ADMIN.value)
        )
        with self._reading() as connection:
            return connection.scalar(statement) or 0

    def adopt(self, users: Iterable[User]) -> int:
        """Take over accounts that were kept elsewhere, if there are none here yet.

        Returns:
            How many were taken over.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self.transaction() as connection:
            if connection.scalar(sa.select(USERS.c.id).limit(1)) is not None:
                return 0
            rows = [_row_of(user) for user in users]
            if rows:
                connection.execute(USERS.insert(), rows)
        return len(rows)

    def close(self) -> None:
        """Do nothing: the database is closed by whoever opened it."""

    def _reading(self) -> AbstractContextManager[sa.Connection]:
        """Give the connection of the transaction that this thread holds, or one for reading."""
        is_held = getattr(self._held, "connection", None) is not None
        return self.transaction() if is_held else self._database.reading()

    def _find(self, condition: sa.ColumnElement[bool]) -> User | None:
        with self._reading() as connection:
            row = connection.execute(sa.select(USERS).where(condition)).mappings().one_or_none()
        return None if row is None else _user_of(row)

    def _check_unique(self, user: User) -> None:
        holder = self.find_by_username(user.username)
        if holder is not None and holder.id != user.id:
            raise UsernameTakenError
        holder = self.find_by_email(user.email)
        if holder is not None and holder.id != user.id:
            raise EmailTakenError


def _row_of(user: User) -> dict[str, Any]:
    return {
        "id": user.id,
        "username": user.username,
        "email": user.email,
        "username_key": user.username.casefold(),
        "email_key": user.email.casefold(),
        "mobile": user.mobile,
        "password_hash": user.password_hash,
        "role": user.role.value,
        "is_active": user.is_active,
        "created": user.created,
        "awaits_approval": user.awaits_approval,
    }


def _user_of(row: sa.RowMapping) -> User:
    try:
        role = Role(row["role"])
    except ValueError as error:
        raise StorageError(
            "An account in the database has a role that this Veriscan does not know. Start the "
            "Veriscan that wrote it."
        ) from error
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        mobile=row["mobile"],
        password_hash=row["password_hash"],
        role=role,
        is_active=row["is_active"],
        created=row["created"],
        awaits_approval=row["awaits_approval"],
    )
