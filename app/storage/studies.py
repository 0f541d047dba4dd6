"""Studies: the analyses that are slices of one series or frames of one file."""

from collections.abc import Collection
from typing import Any
from uuid import UUID, uuid4

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.errors import NotFoundError
from app.records import AnalysisStatus, SliceOutcome, Study, StudySlice, UploadedFile
from app.storage.analyses import analysis_of
from app.storage.database import ANALYSES, Database
from app.storage.folding import STUDIES, STUDY_SLICES, fold, unfold
from app.storage.uploads import UPLOADED_FILES, UPLOADS

MIN_SLICES = 2


class StudyStore:
    """Keeps which analyses belong together."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def gather(self, file: UploadedFile) -> None:
        """Put a file's slice to the others of its series that came with the same upload.

        The second slice makes the study; the first alone is none.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        with self._database.writing() as connection:
            # One at a time, where writers do not take turns anyway.
            upload = connection.execute(
                sa.select(UPLOADS).where(UPLOADS.c.id == file.upload_id).with_for_update()
            ).first()
            fellows = connection.execute(_slices_of_series(file)).all()
            if upload is None or len(fellows) < MIN_SLICES:
                return
            study_id = _study_of_series(connection, file)
            if study_id is None:
                study_id = uuid4()
                study = {"id": study_id, "upload_id": file.upload_id, "series": file.series}
                study |= {"user_id": upload.user_id, "modality": upload.modality}
                connection.execute(STUDIES.insert().values(created=upload.created, **study))
            rows = [
                {
                    "analysis_id": fellow.analysis_id,
                    "study_id": study_id,
                    "number": fellow.number,
                    "position": fellow.position,
                }
                for fellow in fellows
                if fellow.is_new
            ]
            if rows:
                connection.execute(STUDY_SLICES.insert(), rows)
                fold(connection, study_id, [row["analysis_id"] for row in rows])

    def get(self, study_id: UUID) -> Study:
        """Return a study.

        Raises:
            NotFoundError: There is none with this id, or none of its slices is left.
        """
        statement = sa.select(STUDIES).where(
            STUDIES.c.id == study_id, sa.exists().where(STUDY_SLICES.c.study_id == STUDIES.c.id)
        )
        found = self._select(statement)
        if not found:
            raise NotFoundError("study")
        return found[0]

    def of_ids(self, study_ids: Collection[UUID]) -> list[Study]:
        """Return those of these studies that exist, in no order."""
        return self._select(sa.select(STUDIES).where(STUDIES.c.id.in_(study_ids)))

    def of_upload(self, upload_id: UUID) -> list[Study]:
        """Return the studies that came with an upload and have slices left."""
        return self._select(
            sa.select(STUDIES)
            .where(
                STUDIES.c.upload_id == upload_id,
                sa.exists().where(STUDY_SLICES.c.study_id == STUDIES.c.id),
            )
            .order_by(STUDIES.c.id)
        )

    def analyses_of_upload(self, upload_id: UUID) -> set[UUID]:
        """Return the ids of the analyses that came with an upload and are slices of a study."""
        statement = (
            sa.select(STUDY_SLICES.c.analysis_id)
            .join(STUDIES, STUDIES.c.id == STUDY_SLICES.c.study_id)
            .where(STUDIES.c.upload_id == upload_id)
        )
        with self._database.reading() as connection:
            return set(connection.scalars(statement))

    def of_analysis(self, analysis_id: UUID) -> UUID | None:
        """Return the id of the study that an analysis belongs to, None where it is on its own."""
        statement = sa.select(STUDY_SLICES.c.study_id).where(
            STUDY_SLICES.c.analysis_id == analysis_id
        )
        with self._database.reading() as connection:
            return connection.scalar(statement)

    def slices(self, study_id: UUID) -> list[StudySlice]:
        """Return the slices of a study, in the order of their position."""
        statement = (
            sa.select(ANALYSES, STUDY_SLICES.c.number, STUDY_SLICES.c.position)
            .join(STUDY_SLICES, STUDY_SLICES.c.analysis_id == ANALYSES.c.id)
            .where(STUDY_SLICES.c.study_id == study_id)
            .order_by(*_in_space())
        )
        with self._database.reading() as connection:
            return [
                StudySlice(
                    number=row["number"], position=row["position"], analysis=analysis_of(row)
                )
                for row in connection.execute(statement).mappings()
            ]

    def outcomes(self, study_ids: Collection[UUID]) -> dict[UUID, list[SliceOutcome]]:
        """Return what came of the slices of studies, each in the order of position."""
        statement = (
            sa.select(
                STUDY_SLICES.c.study_id,
                ANALYSES.c.id,
                ANALYSES.c.status,
                ANALYSES.c.verdict,
                ANALYSES.c.probability_fake,
                ANALYSES.c.weights_sha256,
            )
            .join(STUDY_SLICES, STUDY_SLICES.c.analysis_id == ANALYSES.c.id)
            .where(STUDY_SLICES.c.study_id.in_(study_ids))
            .order_by(*_in_space())
        )
        found: dict[UUID, list[SliceOutcome]] = {study_id: [] for study_id in study_ids}
        with self._database.reading() as connection:
            for row in connection.execute(statement).mappings():
                found[row["study_id"]].append(_outcome_of(row))
        return found

    def delete(self, study_id: UUID) -> None:
        """Remove a study; those of its analyses that are still there stand alone then."""
        left = sa.select(STUDY_SLICES.c.analysis_id).where(STUDY_SLICES.c.study_id == study_id)
        with self._database.writing() as connection:
            unfold(connection, left)
            connection.execute(STUDIES.delete().where(STUDIES.c.id == study_id))

    def delete_of_user(self, user_id: UUID) -> None:
        """Remove all studies of a user."""
        with self._database.writing() as connection:
            connection.execute(STUDIES.delete().where(STUDIES.c.user_id == user_id))

    def _select(self, statement: sa.Select[Any]) -> list[Study]:
        with self._database.reading() as connection:
            return [Study(**row) for row in connection.execute(statement).mappings()]


def _study_of_series(connection: sa.Connection, file: UploadedFile) -> UUID | None:
    return connection.scalar(
        sa.select(STUDIES.c.id).where(
            STUDIES.c.upload_id == file.upload_id, STUDIES.c.series == file.series
        )
    )


def _slices_of_series(file: UploadedFile) -> sa.Select[Any]:
    """Select the slices of a file's series, each with whether no study has it yet."""
    is_new = ~sa.exists().where(STUDY_SLICES.c.analysis_id == UPLOADED_FILES.c.analysis_id)
    return sa.select(
        UPLOADED_FILES.c.analysis_id,
        UPLOADED_FILES.c.number,
        UPLOADED_FILES.c.position,
        is_new.label("is_new"),
    ).where(
        UPLOADED_FILES.c.upload_id == file.upload_id,
        UPLOADED_FILES.c.series == file.series,
        UPLOADED_FILES.c.analysis_id.is_not(None),
    )


def _in_space() -> tuple[sa.ColumnElement[Any], ...]:
    """Return the order of slices: by position, those without one last, then as they came."""
    position = STUDY_SLICES.c.position
    return (position.is_(None), position, STUDY_SLICES.c.number, STUDY_SLICES.c.analysis_id)


def _outcome_of(row: sa.RowMapping) -> SliceOutcome:
    return SliceOutcome(
        analysis_id=row["id"],
        status=AnalysisStatus(row["status"]),
        verdict=Verdict(row["verdict"]) if row["verdict"] else None,
        probability_fake=row["probability_fake"],
        weights_sha256=row["weights_sha256"],
    )
