"""Histories: a user's analyses filtered, sorted and turned page by page, in the SQL database.

A page is found from the place where the one before it ended (keyset pagination), by an index that
holds the analyses in the order asked for: what it costs does not grow with their number.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.records import (
    Analysis,
    AnalysisStatus,
    HistoryFilter,
    HistoryOrder,
    HistoryPlace,
    Outcome,
)
from app.storage.analyses import UNFINISHED, analysis_of
from app.storage.database import ANALYSES, Database, UtcDateTime
from app.storage.folding import STUDY_SLICES
from app.storage.notes import TAGS, WORDS
from app.storage.uploads import FILE_WORDS
from app.storage.words import begins_with

MANY_HITS = 1000
HASH_PREFIX_CHARACTERS = range(4, 65)
HEX_DIGITS = frozenset("0123456789abcdef")
AFTER_EVERY_DIGIT = "g"


class HistoryStore:
    """Finds a user's analyses in the same database in which ``AnalysisStore`` keeps them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def after(
        self,
        user_id: UUID,
        wanted: HistoryFilter,
        order: HistoryOrder,
        place: HistoryPlace | None,
        limit: int,
    ) -> list[Analysis]:
        """Return the analyses that follow a place, or the first ones where that is None."""
        return self._side(user_id, wanted, order, place, limit, is_after=True)

    def before(
        self,
        user_id: UUID,
        wanted: HistoryFilter,
        order: HistoryOrder,
        place: HistoryPlace,
        limit: int,
    ) -> list[Analysis]:
        """Return the analyses right before a place, in the order asked for."""
        found = self._side(user_id, wanted, order, place, limit, is_after=False)
        return found[::-1]

    def is_quick_to_count(self, user_id: UUID, wanted: HistoryFilter) -> bool:
        """Whether an index counts what fits, so that no analysis needs to be looked at."""
        with self._database.reading() as connection:
            return all(hits.are_few(connection) for hits in _hits(user_id, wanted))

    def count(self, user_id: UUID, wanted: HistoryFilter, at_most: int) -> int:
        """Return how many analyses fit, counting no further than ``at_most``."""
        with self._database.reading() as connection:
            fitting = sa.select(ANALYSES.c.id).where(*_conditions(connection, user_id, wanted))
            few = fitting.limit(at_most).subquery()
            return connection.execute(sa.select(sa.func.count()).select_from(few)).scalar_one()

    def ids(self, user_id: UUID, wanted: HistoryFilter, limit: int) -> list[UUID]:
        """Return the ids of analyses that fit, at most ``limit`` of them, oldest first."""
        with self._database.reading() as connection:
            statement = (
                sa.select(ANALYSES.c.id)
                .where(*_conditions(connection, user_id, wanted))
                .order_by(ANALYSES.c.created, ANALYSES.c.id)
                .limit(limit)
            )
            return list(connection.scalars(statement))

    def studies_of(self, analysis_ids: Collection[UUID]) -> dict[UUID, UUID]:
        """Return the study of each of some analyses; those that stand alone are left out."""
        statement = sa.select(STUDY_SLICES.c.analysis_id, STUDY_SLICES.c.study_id).where(
            STUDY_SLICES.c.analysis_id.in_(analysis_ids)
        )
        with self._database.reading() as connection:
            return {row.analysis_id: row.study_id for row in connection.execute(statement)}

    def _side(
        self,
        user_id: UUID,
        wanted: HistoryFilter,
        order: HistoryOrder,
        place: HistoryPlace | None,
        limit: int,
        *,
        is_after: bool,
    ) -> list[Analysis]:
        key = ANALYSES.c.probability_fake if order.is_by_score else ANALYSES.c.created
        is_descending = order.is_descending is is_after
        direction = sa.desc if is_descending else sa.asc
        with self._database.reading() as connection:
            conditions = _conditions(connection, user_id, wanted)
            if order.is_by_score:
                conditions.append(key.is_not(None))
            if place is not None:
                conditions.append(_beyond(key, place, is_descending=is_descending))
            statement = (
                sa.select(ANALYSES)
                .where(*conditions)
                .order_by(direction(key), direction(ANALYSES.c.id))
                .limit(limit)
            )
            return [analysis_of(row) for row in connection.execute(statement).mappings()]


def _beyond(
    key: sa.Column[Any], place: HistoryPlace, *, is_descending: bool
) -> sa.ColumnElement[bool]:
    here = sa.tuple_(key, ANALYSES.c.id)
    kind = sa.Double() if isinstance(place.key, float) else UtcDateTime()
    there = sa.tuple_(sa.literal(place.key, kind), sa.literal(place.analysis_id, sa.Uuid()))
    return here < there if is_descending else here > there


def _conditions(
    connection: sa.Connection, user_id: UUID, wanted: HistoryFilter
) -> list[sa.ColumnElement[bool]]:
    hits = _hits(user_id, wanted)
    rare = [each for each in hits if each.are_few(connection)]
    owner: sa.ColumnElement[Any] = ANALYSES.c.user_id
    if rare:  # or SQLite would go through all of the user's history to meet the few
        owner = sa.func.coalesce(owner, owner)
    found: list[sa.ColumnElement[bool]] = [owner == user_id]
    if wanted.is_by_study:
        found.append(~ANALYSES.c.folded)
    if wanted.ids is not None or wanted.studies is not None:
        found.append(_is_named(wanted.ids or (), wanted.studies or ()))
    if wanted.is_scored:
        found.append(ANALYSES.c.probability_fake.is_not(None))
    if wanted.modality is not None:
        found.append(ANALYSES.c.modality == wanted.modality)
    if wanted.outcome is not None:
        found.extend(_came_of_it(wanted.outcome))
    if wanted.since is not None:
        found.append(ANALYSES.c.created >= wanted.since)
    if wanted.until is not None:
        found.append(ANALYSES.c.created < wanted.until)
    found.extend(ANALYSES.c.id.in_(each.ids) if each in rare else each.is_one for each in hits)
    return found


def _is_named(ids: Collection[UUID], studies: Collection[UUID]) -> sa.ColumnElement[bool]:
    slices = sa.select(STUDY_SLICES.c.analysis_id).where(STUDY_SLICES.c.study_id.in_(studies))
    named = sa.select(ANALYSES.c.id).where(ANALYSES.c.id.in_(ids))
    return ANALYSES.c.id.in_(sa.union_all(named, slices))


def _hits(user_id: UUID, wanted: HistoryFilter) -> list["_Hits"]:
    hits = [_of_word(user_id, word) for word in wanted.words]
    if wanted.tag:
        hits.append(_of_tag(user_id, wanted.tag))
    if wanted.outcome is Outcome.WAITING:
        hits.append(_waiting(user_id))
    return hits


def _came_of_it(outcome: Outcome) -> tuple[sa.ColumnElement[bool], ...]:
    status, verdict = ANALYSES.c.status, ANALYSES.c.verdict
    if outcome is Outcome.WAITING:
        return ()
    if outcome is Outcome.FAILED:
        return (status == AnalysisStatus.FAILED.value, verdict.is_(None))
    return (status == AnalysisStatus.DONE.value, verdict == outcome.value)


@dataclass(frozen=True, slots=True, eq=False)
class _Hits:
    """The analyses that a word or a tag leads to, to be found in two ways.

    Few are looked up one by one. Where there are many, a page of them is met soon when the
    history is gone through from its place on.

    Attributes:
        ids: Selects all of them, by an index.
        is_one: Whether the analysis at hand is one of them.
    """

    ids: sa.Select[Any] | sa.CompoundSelect[Any]
    is_one: sa.ColumnElement[bool]

    def are_few(self, connection: sa.Connection) -> bool:
        """Whether there are few of them."""
        some = self.ids.limit(MANY_HITS + 1).subquery()
        counted = connection.execute(sa.select(sa.func.count()).select_from(some)).scalar_one()
        return counted <= MANY_HITS


def _of_tag(user_id: UUID, tag: str) -> _Hits:
    ids = sa.select(TAGS.c.analysis_id).where(TAGS.c.user_id == user_id, TAGS.c.tag == tag)
    own = sa.select(TAGS.c.tag).where(TAGS.c.analysis_id == ANALYSES.c.id, TAGS.c.tag == tag)
    return _Hits(ids, own.exists())


def _waiting(user_id: UUID) -> _Hits:
    is_one = sa.and_(ANALYSES.c.user_id == user_id, ANALYSES.c.status.in_(UNFINISHED))
    return _Hits(sa.select(ANALYSES.c.id).where(is_one), is_one)


def _of_word(user_id: UUID, word: str) -> _Hits:
    ids: list[sa.Select[Any]] = []
    is_one: list[sa.ColumnElement[bool]] = []
    for table in (WORDS, FILE_WORDS):
        begins = begins_with(table.c.word, word)
        ids.append(sa.select(table.c.analysis_id).where(table.c.user_id == user_id, begins))
        own = sa.select(table.c.word).where(table.c.analysis_id == ANALYSES.c.id, begins)
        is_one.append(own.exists())
    if len(word) in HASH_PREFIX_CHARACTERS and HEX_DIGITS.issuperset(word):
        hashed = sa.and_(
            ANALYSES.c.image_sha256 >= word, ANALYSES.c.image_sha256 < word + AFTER_EVERY_DIGIT
        )
        ids.append(sa.select(ANALYSES.c.id).where(ANALYSES.c.user_id == user_id, hashed))
        is_one.append(hashed)
    return _Hits(sa.union_all(*ids), sa.or_(*is_one))
