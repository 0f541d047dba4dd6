"""The analyses, in the SQL database."""

from collections.abc import Collection
from dataclasses import asdict
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.errors import NotFoundError
from app.records import Analysis, AnalysisStatus
from app.storage.database import ANALYSES, Database
from app.storage.folding import studies_of, unfold_one
from app.storage.removals import RemovalStore

UNFINISHED = (AnalysisStatus.QUEUED.value, AnalysisStatus.RUNNING.value)
BY_ID = sa.select(ANALYSES).where(ANALYSES.c.id == sa.bindparam("wanted"))
"""Put together once, since hardly a request does without it."""


class AnalysisStore:
    """Keeps what was analysed and what was found.

    Attributes:
        removals: Which analyses are being removed.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.removals = RemovalStore(database)

    def add(self, analysis: Analysis) -> None:
        """Keep a new analysis.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            connection.execute(ANALYSES.insert(), _row_of(analysis))

    def update(self, analysis: Analysis) -> None:
        """Keep a changed analysis in place of the one with the same id.

        Raises:
            NotFoundError: There is none; it may have been deleted.
            StorageError: The database failed; nothing is changed.
        """
        statement = ANALYSES.update().where(ANALYSES.c.id == analysis.id)
        with self._database.writing() as connection:
            if connection.execute(statement, _row_of(analysis)).rowcount == 0:
                raise NotFoundError("analysis")

    def reopen(self, analysis: Analysis) -> None:
        """Keep a queued analysis in place of the one with the same id that was not judged.

        Raises:
            NotFoundError: There is none that was not judged; it may have been reopened already.
            StorageError: The database failed; nothing is changed.
        """
        statement = (
            ANALYSES.update()
            .where(ANALYSES.c.id == analysis.id, ANALYSES.c.verdict == Verdict.NOT_JUDGED.value)
            .values(_row_of(analysis))
        )
        with self._database.writing() as connection:
            if connection.execute(statement).rowcount == 0:
                raise NotFoundError("analysis that was not judged")

    def delete(self, analysis_id: UUID) -> None:
        """Remove an analysis.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            if _delete(connection, [analysis_id]) == 0:
                raise NotFoundError("analysis")

    def delete_many(self, analysis_ids: Collection[UUID]) -> None:
        """Remove analyses; those that are not there do not matter.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            _delete(connection, analysis_ids)

    def own_of(self, user_id: UUID, analysis_ids: Collection[UUID]) -> list[UUID]:
        """Return which of some analyses exist and belong to a user."""
        statement = sa.select(ANALYSES.c.id).where(
            ANALYSES.c.user_id == user_id, ANALYSES.c.id.in_(analysis_ids)
        )
        with self._database.reading() as connection:
            return list(connection.scalars(statement))

    def get(self, analysis_id: UUID) -> Analysis:
        """Return an analysis.

        Raises:
            NotFoundError: There is none with this id.
            StorageError: The database failed.
        """
        analysis = self.find(analysis_id)
        if analysis is None:
            raise NotFoundError("analysis")
        return analysis

    def find(self, analysis_id: UUID) -> Analysis | None:
        """Return an analysis, or None where there is none with this id."""
        with self._database.reading() as connection:
            row = connection.execute(BY_ID, {"wanted": analysis_id}).mappings().one_or_none()
        return None if row is None else analysis_of(row)

    def page_of_user(self, user_id: UUID, *, offset: int, limit: int) -> list[Analysis]:
        """Return a user's analyses, newest first, ``limit`` of them from the ``offset``-th on."""
        return self._select(
            sa.select(ANALYSES)
            .where(ANALYSES.c.user_id == user_id)
            .order_by(ANALYSES.c.created.desc(), ANALYSES.c.id.desc())
            .offset(offset)
            .limit(limit)
        )

    def count_of_user(self, user_id: UUID) -> int:
        """Return how many analyses a user has."""
        statement = (
            sa.select(sa.func.count()).select_from(ANALYSES).where(ANALYSES.c.user_id == user_id)
        )
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def ids_of_user(self, user_id: UUID) -> list[UUID]:
        """Return the ids of all analyses of a user."""
        statement = sa.select(ANALYSES.c.id).where(ANALYSES.c.user_id == user_id)
        with self._database.reading() as connection:
            return list(connection.scalars(statement))

    def first_in_line(self, limit: int) -> list[Analysis]:
        """Return unfinished analyses in the order of their turns, ``limit`` of them at most.

        The oldest of each user comes before the second oldest of anybody, so that somebody with
        one scan does not wait for somebody with three hundred.
        """
        turns = _turns()
        return self._select(
            sa.select(ANALYSES)
            .join(turns, turns.c.id == ANALYSES.c.id)
            .order_by(turns.c.turn, ANALYSES.c.created, ANALYSES.c.id)
            .limit(limit)
        )

    def line(self) -> list[UUID]:
        """Return the ids of all unfinished analyses in the order of their turns."""
        turns = _turns()
        statement = sa.select(turns.c.id).order_by(turns.c.turn, turns.c.created, turns.c.id)
        with self._database.reading() as connection:
            return list(connection.scalars(statement))

    def count_unfinished(self, user_id: UUID) -> int:
        """Return how many analyses of a user are neither done nor failed."""
        statement = (
            sa.select(sa.func.count())
            .select_from(ANALYSES)
            .where(ANALYSES.c.user_id == user_id, ANALYSES.c.status.in_(UNFINISHED))
        )
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def of_ids(self, ids: Collection[UUID]) -> dict[UUID, Analysis]:
        """Return those of these analyses that exist, by id."""
        found = self._select(sa.select(ANALYSES).where(ANALYSES.c.id.in_(ids))) if ids else []
        return {analysis.id: analysis for analysis in found}

    def _select(self, statement: sa.Select[Any]) -> list[Analysis]:
        with self._database.reading() as connection:
            return [analysis_of(row) for row in connection.execute(statement).mappings()]


def _delete(connection: sa.Connection, analysis_ids: Collection[UUID]) -> int:
    """Remove analyses, let others stand for their studies, and return how many there were."""
    studies = studies_of(connection, analysis_ids)
    deleted = connection.execute(ANALYSES.delete().where(ANALYSES.c.id.in_(analysis_ids))).rowcount
    unfold_one(connection, studies)
    return deleted


def _turns() -> sa.Subquery:
    """Return the unfinished analyses, each with the number of its turn among those of its user."""
    turn = sa.func.row_number().over(
        partition_by=ANALYSES.c.user_id, order_by=(ANALYSES.c.created, ANALYSES.c.id)
    )
    return (
        sa.select(ANALYSES.c.id, ANALYSES.c.created, turn.label("turn"))
        .where(ANALYSES.c.status.in_(UNFINISHED))
        .subquery()
    )


def _row_of(analysis: Analysis) -> dict[str, Any]:
    finding = analysis.finding
    band = finding.inconclusive_band if finding else (None, None)
    hounsfield = analysis.hounsfield or (None, None)
    return {
        "id": analysis.id,
        "user_id": analysis.user_id,
        "modality": analysis.modality,
        "status": analysis.status.value,
        "created": analysis.created,
        "finished": analysis.finished,
        "image_sha256": analysis.image_sha256,
        "image_format": analysis.image_format,
        "width": analysis.width,
        "height": analysis.height,
        "declared_synthetic": analysis.declared_synthetic,
        "burned_in_text": analysis.burned_in_text,
        "hu_of_black": hounsfield[0],
        "hu_of_white": hounsfield[1],
        "stored_bytes": analysis.stored_bytes,
        "error": analysis.error,
        "verdict": finding.verdict.value if finding else None,
        "probability_fake": finding.probability_fake if finding else None,
        "threshold": finding.threshold if finding else None,
        "band_low": band[0],
        "band_high": band[1],
        "reasons": list(finding.reasons) if finding else None,
        "weights_name": finding.weights_name if finding else None,
        "weights_sha256": finding.weights_sha256 if finding else None,
        "device": finding.device if finding else None,
        "inference_ms": finding.inference_ms if finding else None,
        "override_gate": analysis.override_gate,
        "gate": asdict(finding.gate) if finding and finding.gate else None,
        "stability": asdict(finding.stability) if finding and finding.stability else None,
    }


def analysis_of(row: sa.RowMapping) -> Analysis:
    """Return the analysis in a row of the table."""
    return Analysis(
        id=row["id"],
        user_id=row["user_id"],
        modality=row["modality"],
        status=AnalysisStatus(row["status"]),
        created=row["created"],
        finished=row["finished"],
        image_sha256=row["image_sha256"],
        image_format=row["image_format"],
        width=row["width"],
        height=row["height"],
        declared_synthetic=row["declared_synthetic"],
        burned_in_text=row["burned_in_text"],
        stored_bytes=row["stored_bytes"],
        hounsfield=None if row["hu_of_black"] is None else (row["hu_of_black"], row["hu_of_white"]),
        error=row["error"],
        finding=_finding_of(row) if row["verdict"] is not None else None,
        override_gate=row["override_gate"],
    )


def _finding_of(row: sa.RowMapping) -> Finding:
    return Finding(
        verdict=Verdict(row["verdict"]),
        probability_fake=row["probability_fake"],
        threshold=row["threshold"],
        inconclusive_band=(row["band_low"], row["band_high"]),
        reasons=tuple(row["reasons"]),
        weights_name=row["weights_name"],
        weights_sha256=row["weights_sha256"],
        device=row["device"],
        inference_ms=row["inference_ms"],
        gate=GateFinding(**row["gate"]) if row["gate"] else None,
        stability=StabilityFinding(**row["stability"]) if row["stability"] else None,
    )
