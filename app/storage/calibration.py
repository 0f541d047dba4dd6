"""Scores of a site's own authentic scans, and the limits that were set from them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.storage.database import METADATA, Database, UtcDateTime
from app.storage.upsert import upsert

CALIBRATION_SCORES = sa.Table(
    "calibration_scores",
    METADATA,
    sa.Column("modality", sa.String(64), primary_key=True),
    sa.Column("weights_sha256", sa.String(64), primary_key=True),
    # Of the file, so that the same scan counts once. The scan itself is not kept.
    sa.Column("image_sha256", sa.String(64), primary_key=True),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("probability_fake", sa.Double),
)

SITE_LIMITS = sa.Table(
    "site_limits",
    METADATA,
    sa.Column("modality", sa.String(64), primary_key=True),
    sa.Column("weights_sha256", sa.String(64), primary_key=True),
    sa.Column("fake_above", sa.Double, nullable=False),
    sa.Column("target", sa.Double, nullable=False),
    sa.Column("scans", sa.Integer, nullable=False),
    sa.Column("set_at", UtcDateTime, nullable=False),
    sa.Column("set_by", sa.Uuid, nullable=False),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationScore:
    """What a checkpoint said of one of the site's authentic scans, by the card's own limits.

    Attributes:
        image_sha256: Of the file, hex.
        probability_fake: None where the gate stopped the scan.
    """

    image_sha256: str
    verdict: Verdict
    probability_fake: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteLimit:
    """From which score on this site calls a scan fake, for one checkpoint.

    Attributes:
        fake_above: Scans with a greater score are called fake, in [0, 1].
        target: Share of authentic scans that may be called fake, in (0, 1).
        scans: From how many of the site's scans it was set.
    """

    modality: str
    weights_sha256: str
    fake_above: float
    target: float
    scans: int
    set_at: datetime
    set_by: UUID


class CalibrationStore:
    """Keeps scores and limits; each belongs to one checkpoint and says nothing of another."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_score(self, modality: str, weights_sha256: str, score: CalibrationScore) -> None:
        """Keep what a scan got; a scan that comes again replaces itself.

        Raises:
            StorageError: The database failed; nothing is changed.
        """
        row = {
            "modality": modality,
            "weights_sha256": weights_sha256,
            "image_sha256": score.image_sha256,
            "verdict": score.verdict.value,
            "probability_fake": score.probability_fake,
        }
        with self._database.writing() as connection:
            upsert(connection, CALIBRATION_SCORES, row)

    def scores(self, modality: str, weights_sha256: str) -> list[CalibrationScore]:
        """Return what the site's scans got from a checkpoint."""
        columns = CALIBRATION_SCORES.c
        statement = sa.select(columns.image_sha256, columns.verdict, columns.probability_fake)
        statement = statement.where(
            columns.modality == modality, columns.weights_sha256 == weights_sha256
        )
        with self._database.reading() as connection:
            return [
                CalibrationScore(
                    image_sha256=digest, verdict=Verdict(verdict), probability_fake=probability
                )
                for digest, verdict, probability in connection.execute(statement)
            ]

    def clear_scores(self, modality: str, weights_sha256: str) -> None:
        """Remove what the site's scans got from a checkpoint."""
        columns = CALIBRATION_SCORES.c
        statement = CALIBRATION_SCORES.delete().where(
            columns.modality == modality, columns.weights_sha256 == weights_sha256
        )
        with self._database.writing() as connection:
            connection.execute(statement)

    def limit(self, modality: str, weights_sha256: str) -> SiteLimit | None:
        """Return the site's limit for a checkpoint; None where the card's own holds."""
        columns = SITE_LIMITS.c
        statement = sa.select(SITE_LIMITS).where(
            columns.modality == modality, columns.weights_sha256 == weights_sha256
        )
        with self._database.reading() as connection:
            row = connection.execute(statement).mappings().one_or_none()
        return None if row is None else SiteLimit(**row)

    def set_limit(self, limit: SiteLimit) -> None:
        """Keep a limit in place of the one that the checkpoint may have had."""
        row = {column.name: getattr(limit, column.name) for column in SITE_LIMITS.columns}
        with self._database.writing() as connection:
            upsert(connection, SITE_LIMITS, row)

    def clear_limit(self, modality: str, weights_sha256: str) -> None:
        """Remove the site's limit for a checkpoint."""
        columns = SITE_LIMITS.c
        statement = SITE_LIMITS.delete().where(
            columns.modality == modality, columns.weights_sha256 == weights_sha256
        )
        with self._database.writing() as connection:
            connection.execute(statement)
