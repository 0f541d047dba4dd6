"""Notes, tags and the words by which analyses are found, in the SQL database.

All of it goes with the analysis: the database itself removes what hangs on a deleted one.
"""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import Analysis, Note
from app.storage.database import ANALYSES, METADATA, Database
from app.storage.words import WORD

MAX_LISTED_TAGS = 200


def _of_analysis() -> sa.ForeignKey:
    return sa.ForeignKey(ANALYSES.c.id, ondelete="CASCADE")


NOTES = sa.Table(
    "analysis_notes",
    METADATA,
    sa.Column("analysis_id", sa.Uuid, _of_analysis(), primary_key=True),
    sa.Column("text", sa.Text, nullable=False),
)

TAGS = sa.Table(
    "analysis_tags",
    METADATA,
    sa.Column("analysis_id", sa.Uuid, _of_analysis(), primary_key=True),
    sa.Column("tag", WORD, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Index("analysis_tags_of_user", "user_id", "tag", "analysis_id"),
)

WORDS = sa.Table(
    "analysis_words",
    METADATA,
    sa.Column("analysis_id", sa.Uuid, _of_analysis(), primary_key=True),
    sa.Column("word", WORD, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False),
    sa.Index("analysis_words_of_user", "user_id", "word", "analysis_id"),
)


class NoteStore:
    """Keeps what users wrote to their analyses, and the words by which these are found."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, analysis: Analysis, note: Note, words: Iterable[str]) -> None:
        """Keep a note in place of the one that there may be.

        Args:
            analysis: That it is about.
            note: An empty text or no tags remove what was there.
            words: By which the note is found, as ``words_of`` makes them.

        Raises:
            NotFoundError: The analysis does not exist; it may have been deleted.
            StorageError: The database failed; nothing is changed.
        """
        tags = [
            {"analysis_id": analysis.id, "tag": tag, "user_id": analysis.user_id}
            for tag in note.tags
        ]
        with self._database.writing() as connection:
            _must_exist(connection, analysis)
            for table in (NOTES, TAGS):
                connection.execute(table.delete().where(table.c.analysis_id == analysis.id))
            if note.text:
                row = {"analysis_id": analysis.id, "text": note.text}
                connection.execute(NOTES.insert().values(row))
            if tags:
                connection.execute(TAGS.insert(), tags)
            _put_words(connection, analysis, words)

    def of_analyses(self, analysis_ids: Collection[UUID]) -> Mapping[UUID, Note]:
        """Return the note to each of some analyses; those without one are left out."""
        wanted = list(analysis_ids)
        if not wanted:
            return {}
        with self._database.reading() as connection:
            texts = {
                row.analysis_id: row.text
                for row in connection.execute(sa.select(NOTES).where(_are(NOTES, wanted)))
            }
            tags: dict[UUID, list[str]] = {}
            for row in connection.execute(
                sa.select(TAGS.c.analysis_id, TAGS.c.tag)
                .where(_are(TAGS, wanted))
                .order_by(TAGS.c.tag)
            ):
                tags.setdefault(row.analysis_id, []).append(row.tag)
        return {
            analysis_id: Note(
                analysis_id=analysis_id,
                text=texts.get(analysis_id, ""),
                tags=tuple(tags.get(analysis_id, ())),
            )
            for analysis_id in {*texts, *tags}
        }

    def tags_of_user(self, user_id: UUID) -> list[str]:
        """Return a user's tags from a to z, at most 200.

        It jumps from each tag to the next, so that what it costs does not grow with the number
        of analyses, as that of ``SELECT DISTINCT`` would.
        """
        hers = TAGS.c.user_id == user_id
        first = sa.select(sa.func.min(TAGS.c.tag).label("tag")).where(hers)
        found = first.cte("found", recursive=True)
        following = (
            sa.select(sa.func.min(TAGS.c.tag)).where(hers, TAGS.c.tag > found.c.tag)
        ).scalar_subquery()
        found = found.union_all(sa.select(following).where(found.c.tag.is_not(None)))
        statement = sa.select(found.c.tag).limit(MAX_LISTED_TAGS)
        with self._database.reading() as connection:
            return sorted(tag for tag in connection.scalars(statement) if tag is not None)


def _are(table: sa.Table, analysis_ids: list[UUID]) -> sa.ColumnElement[bool]:
    return table.c.analysis_id.in_(analysis_ids)


def _must_exist(connection: sa.Connection, analysis: Analysis) -> None:
    statement = sa.select(ANALYSES.c.id).where(ANALYSES.c.id == analysis.id)
    if connection.scalar(statement) is None:
        raise NotFoundError("analysis")


def _put_words(connection: sa.Connection, analysis: Analysis, words: Iterable[str]) -> None:
    connection.execute(WORDS.delete().where(WORDS.c.analysis_id == analysis.id))
    rows = [
        {"analysis_id": analysis.id, "word": word, "user_id": analysis.user_id} for word in words
    ]
    if rows:
        connection.execute(WORDS.insert(), rows)
