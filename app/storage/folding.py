"""Which analyses are slices of a study, and which slice stands for all of it in a history.

A history lists a study once: of its slices one is not ``folded``. That is kept with the analyses
themselves, since asking for each of them whether it is the first of its study would make a page
cost more the longer the history is.
"""

from collections.abc import Collection
from uuid import UUID

import sqlalchemy as sa

from app.storage.database import ANALYSES, METADATA, UtcDateTime

STUDIES = sa.Table(
    "studies",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("user_id", sa.Uuid, nullable=False, index=True),
    sa.Column("modality", sa.String(64), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    # Not a foreign key: a study stays when its upload is forgotten.
    sa.Column("upload_id", sa.Uuid, nullable=False),
    sa.Column("series", sa.String(64), nullable=False),
    sa.UniqueConstraint("upload_id", "series", name="studies_of_upload"),
)

STUDY_SLICES = sa.Table(
    "study_slices",
    METADATA,
    sa.Column(
        "analysis_id",
        sa.Uuid,
        sa.ForeignKey(ANALYSES.c.id, ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column(
        "study_id",
        sa.Uuid,
        sa.ForeignKey(STUDIES.c.id, ondelete="CASCADE"),
        nullable=False,
        index=True,
    ),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("position", sa.Double),
)


def fold(connection: sa.Connection, study_id: UUID, analysis_ids: Collection[UUID]) -> None:
    """Fold slices that a study has just got, so that one stands for all that it has now."""
    connection.execute(ANALYSES.update().where(ANALYSES.c.id.in_(analysis_ids)).values(folded=True))
    unfold_one(connection, [study_id])


def studies_of(connection: sa.Connection, analysis_ids: Collection[UUID]) -> list[UUID]:
    """Return the studies that some analyses are slices of, each once; locks them."""
    study_ids = sa.select(STUDY_SLICES.c.study_id).where(
        STUDY_SLICES.c.analysis_id.in_(analysis_ids)
    )
    # One at a time, where writers do not take turns anyway.
    locked = sa.select(STUDIES.c.id).where(STUDIES.c.id.in_(study_ids)).order_by(STUDIES.c.id)
    return list(connection.scalars(locked.with_for_update()))


def unfold_one(connection: sa.Connection, study_ids: Collection[UUID]) -> None:
    """Let the oldest slice stand for each study that no slice stands for (any more)."""
    for study_id in study_ids:
        slices = (
            sa.select(ANALYSES.c.id, ANALYSES.c.folded)
            .join(STUDY_SLICES, STUDY_SLICES.c.analysis_id == ANALYSES.c.id)
            .where(STUDY_SLICES.c.study_id == study_id)
            .order_by(ANALYSES.c.folded, ANALYSES.c.created, ANALYSES.c.id)
        )
        first = connection.execute(slices.limit(1)).first()
        if first is not None and first.folded:
            unfold(connection, [first.id])


def unfold(
    connection: sa.Connection, analysis_ids: Collection[UUID] | sa.Select[tuple[UUID]]
) -> None:
    """Let analyses stand for themselves in the history."""
    connection.execute(
        ANALYSES.update().where(ANALYSES.c.id.in_(analysis_ids)).values(folded=False)
    )
