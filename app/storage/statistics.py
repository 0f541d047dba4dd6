"""What the analyses add up to: counts, scores and sizes, computed inside the database."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from app.detection.labels import Verdict
from app.records import AnalysisStatus
from app.storage.database import ANALYSES, Database

COLUMNS = ANALYSES.c
IS_DONE = COLUMNS.status == AnalysisStatus.DONE.value


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of one analysis.

    Attributes:
        probability: Calibrated probability of FAKE, in [0, 1]; None if the gate stopped the scan.
    """

    verdict: Verdict
    probability: float | None


@dataclass(frozen=True, slots=True)
class UserStorage:
    """What the scans of one user take.

    Attributes:
        analyses: How many there are.
        size_bytes: What their pictures take together.
    """

    user_id: UUID
    analyses: int
    size_bytes: int


class StatisticsStore:
    """Counts analyses; none of its answers names a user except by id."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def verdicts(self, since: datetime, until: datetime) -> dict[tuple[str, Verdict], int]:
        """Return how many scans taken in between two moments got which verdict, by modality."""
        statement = (
            sa.select(COLUMNS.modality, COLUMNS.verdict, sa.func.count())
            .where(IS_DONE, COLUMNS.created >= since, COLUMNS.created < until)
            .group_by(COLUMNS.modality, COLUMNS.verdict)
        )
        with self._database.reading() as connection:
            return {
                (modality, Verdict(verdict)): count
                for modality, verdict, count in connection.execute(statement)
            }

    def judged(
        self, modality: str, weights_sha256: str, *, limit: int, newest: bool
    ) -> list[Judged]:
        """Return what came of the newest or oldest scans that these weights judged."""
        order = COLUMNS.created.desc() if newest else COLUMNS.created.asc()
        statement = (
            sa.select(COLUMNS.verdict, COLUMNS.probability_fake)
            .where(IS_DONE, COLUMNS.modality == modality, COLUMNS.weights_sha256 == weights_sha256)
            .order_by(order)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                Judged(Verdict(verdict), probability)
                for verdict, probability in connection.execute(statement)
            ]

    def count_judged(self, modality: str, weights_sha256: str) -> int:
        """Return how many scans these weights have judged."""
        statement = sa.select(sa.func.count()).where(
            IS_DONE, COLUMNS.modality == modality, COLUMNS.weights_sha256 == weights_sha256
        )
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()

    def by_status(self) -> dict[AnalysisStatus, int]:
        """Return how many analyses there are in each state."""
        statement = sa.select(COLUMNS.status, sa.func.count()).group_by(COLUMNS.status)
        with self._database.reading() as connection:
            return {AnalysisStatus(status): n for status, n in connection.execute(statement)}

    def storage_of(self, user_id: UUID) -> UserStorage:
        """Return what the scans of a user take."""
        statement = sa.select(
            sa.func.count(), sa.func.coalesce(sa.func.sum(COLUMNS.stored_bytes), 0)
        ).where(COLUMNS.user_id == user_id)
        with self._database.reading() as connection:
            count, size_bytes = connection.execute(statement).one()
        return UserStorage(user_id, count, int(size_bytes))

    def largest_users(self, limit: int) -> list[UserStorage]:
        """Return the users whose scans take most, the largest first."""
        size = sa.func.coalesce(sa.func.sum(COLUMNS.stored_bytes), 0)
        statement = (
            sa.select(COLUMNS.user_id, sa.func.count(), size)
            .group_by(COLUMNS.user_id)
            .order_by(size.desc(), COLUMNS.user_id)
            .limit(limit)
        )
        with self._database.reading() as connection:
            return [
                UserStorage(user_id, count, int(size_bytes))
                for user_id, count, size_bytes in connection.execute(statement)
            ]

    def total_bytes(self) -> int:
        """Return what the pictures of all analyses take."""
        statement = sa.select(sa.func.coalesce(sa.func.sum(COLUMNS.stored_bytes), 0))
        with self._database.reading() as connection:
            return int(connection.execute(statement).scalar_one())

    def count_before(self, moment: datetime) -> int:
        """Return how many analyses were taken in before a moment."""
        statement = sa.select(sa.func.count()).where(COLUMNS.created < moment)
        with self._database.reading() as connection:
            return connection.execute(statement).scalar_one()
