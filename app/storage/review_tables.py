"""The tables of second opinions: cases, what their scans are known by, and what was answered."""

import sqlalchemy as sa

from app.storage.database import METADATA, UtcDateTime

REVIEW_CASES = sa.Table(
    "review_cases",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column(
        "analysis_id",
        sa.Uuid,
        sa.ForeignKey("analyses.id", ondelete="CASCADE"),
        nullable=False,
        unique=True,
    ),
    sa.Column("owner_id", sa.Uuid, nullable=False, index=True),
    sa.Column("modality", sa.String(64), nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("may_be_label", sa.Boolean, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("outcome", sa.String(16)),
    sa.Column("settled", UtcDateTime),
    sa.Index("review_cases_by_outcome", "outcome", "created"),
)

REVIEW_ANSWERS = sa.Table(
    "review_answers",
    METADATA,
    sa.Column(
        "case_id",
        sa.Uuid,
        sa.ForeignKey("review_cases.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("reviewer_id", sa.Uuid, primary_key=True, index=True),
    sa.Column("opinion", sa.String(16), nullable=False),
    sa.Column("comment", sa.Text, nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
)

REVIEW_SCANS = sa.Table(
    "review_scans",
    METADATA,
    sa.Column(
        "case_id",
        sa.Uuid,
        sa.ForeignKey("review_cases.id", ondelete="CASCADE"),
        primary_key=True,
    ),
    sa.Column("fingerprint", sa.String(64), nullable=False, index=True),
)
