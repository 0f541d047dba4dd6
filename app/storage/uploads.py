"""What was uploaded together: the files of each form, what they are called and what became of them.

The names that their sender gave them may say who the patient is. They are kept here and nowhere
else, for the sender alone, and go with the analysis or with the upload.
"""

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import FileState, Upload, UploadedFile
from app.storage.database import ANALYSES, METADATA, Database, UtcDateTime
from app.storage.words import WORD, words_of

UPLOADS = sa.Table(
    "uploads",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column("modality", sa.String(64), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Index("uploads_of_user", "user_id", "created"),
)

UPLOADED_FILES = sa.Table(
    "uploaded_files",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "upload_id", sa.Uuid, sa.ForeignKey(UPLOADS.c.id, ondelete="CASCADE"), nullable=False
    ),
    sa.Column("parent_id", sa.Uuid),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("problem", sa.Text),
    sa.Column("holds", sa.Integer),
    sa.Column("analysis_id", sa.Uuid, sa.ForeignKey(ANALYSES.c.id, ondelete="CASCADE"), index=True),
    sa.Column("series", sa.String(64)),
    sa.Column("position", sa.Double),
    sa.Index("files_of_upload", "upload_id", "number"),
    sa.Index("files_of_series", "upload_id", "series"),
)

# Owned by the file, so that a name that is forgotten cannot be found by its words either.
FILE_WORDS = sa.Table(
    "uploaded_file_words",
    METADATA,
    sa.Column("analysis_id", sa.Uuid, primary_key=True),
    sa.Column("word", WORD, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Column(
        "file_id",
        sa.Uuid,
        sa.ForeignKey(UPLOADED_FILES.c.id, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Index("file_words_of_user", "user_id", "word", "analysis_id"),
)


class UploadStore:
    """Keeps which files came together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, upload: Upload) -> None:
        """Keep a new upload.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            connection.execute(
                UPLOADS.insert().values(
                    id=upload.id,
                    user_id=upload.user_id,
                    modality=upload.modality,
                    created=upload.created,
                )
            )

    def get(self, upload_id: UUID) -> Upload:
        """Return an upload.

        Raises:
            NotFoundError: There is none with this id.
        """
        with self._database.reading() as connection:
            statement = sa.select(UPLOADS).where(UPLOADS.c.id == upload_id)
            row = connection.execute(statement).mappings().first()
        if row is None:
            raise NotFoundError("upload")
        return Upload(**row)

    def latest_of_user(self, user_id: UUID, limit: int) -> list[Upload]:
        """Return a user's latest uploads that have files, newest first."""
        has_files = sa.exists().where(UPLOADED_FILES.c.upload_id == UPLOADS.c.id)
        statement = (
            sa.select(UPLOADS)
            .where(UPLOADS.c.user_id == user_id, has_files)
            .order_by(UPLOADS.c.created.desc(), UPLOADS.c.id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [Upload(**row) for row in connection.execute(statement).mappings()]

    def delete(self, upload_id: UUID) -> None:
        """Remove an upload with the names of its files; their analyses stay."""
        with self._database.writing() as connection:
            connection.execute(UPLOADS.delete().where(UPLOADS.c.id == upload_id))

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove all uploads of a user."""
        with self._database.writing() as connection:
            connection.execute(UPLOADS.delete().where(UPLOADS.c.user_id == user_id))

    # --- files ------------------------------------------------------------------------------

    def add_file(self, file: UploadedFile) -> None:
        """Keep a file that came with an upload.

        Raises:
            NotFoundError: The upload is gone.
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            found = connection.scalar(sa.select(UPLOADS.c.id).where(UPLOADS.c.id == file.upload_id))
            if found is None:
                raise NotFoundError("upload")
            connection.execute(UPLOADED_FILES.insert().values(_row_of(file)))

    def update_file(self, file: UploadedFile) -> None:
        """Keep a changed file in place of the one with the same id.

        Raises:
            NotFoundError: There is none; its upload may have been forgotten.
            StorageError: The database failed; nothing is changed.
        """
        statement = (
            UPLOADED_FILES.update().where(UPLOADED_FILES.c.id == file.id).values(_row_of(file))
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("file")
            _put_words(connection, file)

    def files(self, upload_id: UUID) -> list[UploadedFile]:
        """Return the files of an upload, in the order in which they came."""
        return self._select(UPLOADED_FILES.c.upload_id == upload_id)

    def count_files(self, upload_id: UUID) -> int:
        """Return how many files an upload has."""
        statement = (
            sa.select(sa.func.count())
            .select_from(UPLOADED_FILES)
            .where(UPLOADED_FILES.c.upload_id == upload_id)
        )
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def being_read(self) -> list[UploadedFile]:
        """Return the files of all uploads that have not been read to their end."""
        return self._select(UPLOADED_FILES.c.state == FileState.READING.value)

    def being_read_of(self, upload_ids: Collection[UUID]) -> set[UUID]:
        """Return which of these uploads have files that were not read to their end."""
        statement = (
            sa.select(UPLOADED_FILES.c.upload_id)
            .where(
                UPLOADED_FILES.c.upload_id.in_(upload_ids),
                UPLOADED_FILES.c.state == FileState.READING.value,
            )
            .distinct()
        )
        with self._database.reading() as connection:
            return set(connection.scalars(statement))

    def names_of(self, analysis_ids: Sequence[UUID]) -> dict[UUID, str]:
        """Return what their sender calls the files of these analyses, where that is kept."""
        statement = sa.select(UPLOADED_FILES.c.analysis_id, UPLOADED_FILES.c.name).where(
            UPLOADED_FILES.c.analysis_id.in_(analysis_ids)
        )
        with self._database.reading() as connection:
            return {row.analysis_id: row.name for row in connection.execute(statement)}

    def _select(self, condition: sa.ColumnElement[bool]) -> list[UploadedFile]:
        statement = (
            sa.select(UPLOADED_FILES)
            .where(condition)
            .order_by(UPLOADED_FILES.c.number, UPLOADED_FILES.c.id)
        )
        with self._database.reading() as connection:
            return [_file_of(row) for row in connection.execute(statement).mappings()]


def _put_words(connection: sa.Connection, file: UploadedFile) -> None:
    """Let the analysis of a file be found by the words of its name."""
    connection.execute(FILE_WORDS.delete().where(FILE_WORDS.c.file_id == file.id))
    if file.analysis_id is None:
        return
    owner = sa.select(UPLOADS.c.user_id).where(UPLOADS.c.id == file.upload_id)
    row = {
        "analysis_id": file.analysis_id,
        "user_id": connection.execute(owner).scalar_one(),
        "file_id": file.id,
    }
    rows = [row | {"word": word} for word in words_of([file.name])]
    if rows:
        connection.execute(FILE_WORDS.insert(), rows)


def _row_of(file: UploadedFile) -> dict[str, Any]:
    return {
        "id": file.id,
        "upload_id": file.upload_id,
        "parent_id": file.parent_id,
        "number": file.number,
        "name": file.name,
        "state": file.state.value,
        "problem": file.problem,
        "holds": file.holds,
        "analysis_id": file.analysis_id,
        "series": file.series,
        "position": file.position,
    }


def _file_of(row: sa.RowMapping) -> UploadedFile:
    return UploadedFile(**(dict(row) | {"state": FileState(row["state"])}))
