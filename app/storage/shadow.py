"""Shadow runs: which candidate judges beside which detector, and what it said of each scan."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.storage.database import ANALYSES, METADATA, Database, UtcDateTime
from app.storage.upsert import upsert

SHADOW_RUNS = sa.Table(
    "shadow_runs",
    METADATA,
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("modality", sa.String(64), nullable=False),
    sa.Column("candidate_name", sa.String(128), nullable=False),
    sa.Column("candidate_sha256", sa.String(64), nullable=False),
    sa.Column("active_name", sa.String(128), nullable=False),
    sa.Column("active_sha256", sa.String(64), nullable=False),
    sa.Column("started", UtcDateTime, nullable=False),
    sa.Column("ended", UtcDateTime),
)

SHADOW_FINDINGS = sa.Table(
    "shadow_findings",
    METADATA,
    sa.Column("run_id", sa.Uuid, primary_key=True),
    sa.Column("analysis_id", sa.Uuid, primary_key=True),
    sa.Column("verdict", sa.String(16), nullable=False),
    sa.Column("probability_fake", sa.Double),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowRun:
    """A candidate that judges, or judged, beside the active checkpoint.

    Attributes:
        ended: None while it goes on.
    """

    id: UUID
    modality: str
    candidate_name: str
    candidate_sha256: str
    active_name: str
    active_sha256: str
    started: datetime
    ended: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What both said of one scan."""

    analysis_id: UUID
    active: Verdict
    active_probability: float | None
    candidate: Verdict
    candidate_probability: float | None


class ShadowStore:
    """Keeps the runs and what the candidates said; users never get to see that."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def start(self, run: ShadowRun) -> None:
        """Keep a new run; the one that its modality may have ends."""
        row = {column.name: getattr(run, column.name) for column in SHADOW_RUNS.columns}
        with self._database.writing() as connection:
            connection.execute(_ending(run.modality, run.started))
            connection.execute(SHADOW_RUNS.insert().values(row))

    def end(self, modality: str, moment: datetime) -> None:
        """End the run of a modality, if there is one."""
        with self._database.writing() as connection:
            connection.execute(_ending(modality, moment))

    def running(self) -> list[ShadowRun]:
        """Return the runs that go on."""
        return self._runs(sa.select(SHADOW_RUNS).where(SHADOW_RUNS.c.ended.is_(None)))

    def latest(self, modality: str) -> ShadowRun | None:
        """Return the newest run of a modality, ended or not."""
        statement = sa.select(SHADOW_RUNS).where(SHADOW_RUNS.c.modality == modality)
        found = self._runs(statement.order_by(SHADOW_RUNS.c.started.desc()).limit(1))
        return found[0] if found else None

    def add(
        self, run_id: UUID, analysis_id: UUID, verdict: Verdict, probability: float | None
    ) -> None:
        """Keep what the candidate said of a scan."""
        row = {
            "run_id": run_id,
            "analysis_id": analysis_id,
            "verdict": verdict.value,
            "probability_fake": probability,
        }
        with self._database.writing() as connection:
            upsert(connection, SHADOW_FINDINGS, row)

    def comparisons(self, run: ShadowRun) -> list[Comparison]:
        """Return what both said of each scan that still exists, newest first."""
        found, kept = SHADOW_FINDINGS.c, ANALYSES.c
        statement = (
            sa.select(
                kept.id, kept.verdict, kept.probability_fake, found.verdict, found.probability_fake
            )
            .join_from(SHADOW_FINDINGS, ANALYSES, found.analysis_id == kept.id)
            .where(
                found.run_id == run.id,
                kept.verdict.is_not(None),
                kept.weights_sha256 == run.active_sha256,
            )
            .order_by(kept.created.desc())
        )
        with self._database.reading() as connection:
            return [
                Comparison(
                    analysis_id=analysis_id,
                    active=Verdict(active),
                    active_probability=active_probability,
                    candidate=Verdict(candidate),
                    candidate_probability=candidate_probability,
                )
                for analysis_id, active, active_probability, candidate, candidate_probability in (
                    connection.execute(statement)
                )
            ]

    def _runs(self, statement: sa.Select[tuple[object, ...]]) -> list[ShadowRun]:
        with self._database.reading() as connection:
            return [ShadowRun(**row) for row in connection.execute(statement).mappings()]


def _ending(modality: str, moment: datetime) -> sa.Update:
    return (
        SHADOW_RUNS.update()
        .where(SHADOW_RUNS.c.modality == modality, SHADOW_RUNS.c.ended.is_(None))
        .values(ended=moment)
    )
