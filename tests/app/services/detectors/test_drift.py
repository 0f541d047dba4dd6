"""Drift: an alarm when scores or verdicts have moved, and none for nothing."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from app.detection.labels import Verdict
from app.records import AnalysisStatus
from app.services.detectors.drift import DriftService, compare, shift
from app.storage.database import ANALYSES, Database, sqlite_url
from app.storage.statistics import Judged, StatisticsStore

SHA = "a" * 64


def verdict_of(score: float) -> Verdict:
    return Verdict.REAL if score < 0.3 else Verdict.FAKE if score > 0.7 else Verdict.INCONCLUSIVE


def judged(scores: Sequence[float]) -> list[Judged]:
    return [Judged(verdict_of(score), float(score)) for score in scores]


def drawn(seed: int, count: int, *, a: float = 1.0, b: float = 4.0) -> list[Judged]:
    return judged(np.random.default_rng(seed).beta(a, b, count).tolist())


def test_groups_that_are_alike_do_not_lie_apart() -> None:
    same = np.array([50, 30, 20])

    assert shift(same, same).index == pytest.approx(0)
    assert shift(same, same).chance == pytest.approx(1)


def test_the_index_is_the_sum_over_the_bins() -> None:
    p, q = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    expected = float(((q - p) * np.log(q / p)).sum())

    found = shift(np.array([70_000, 30_000]), np.array([40_000, 60_000]))

    assert found.index == pytest.approx(expected, rel=1e-3)
    assert found.is_alarming


@pytest.mark.parametrize("seed", range(10))
def test_chance_alone_raises_no_alarm(seed: int) -> None:
    assert compare(drawn(seed, 500), drawn(seed + 100, 200)).alarms == ()


def test_scores_that_move_raise_an_alarm() -> None:
    report = compare(drawn(1, 500), drawn(2, 200, a=2.5, b=2.5))

    assert report.alarms == (
        "The scores are distributed otherwise than when this detector began.",
        "The shares of the verdicts differ from when this detector began.",
    )


def test_a_gate_that_stops_much_more_raises_an_alarm_of_the_verdicts_alone() -> None:
    stopped = [Judged(Verdict.NOT_JUDGED, None)] * 80

    report = compare(drawn(1, 500), drawn(2, 120) + stopped)

    assert report.alarms == ("The shares of the verdicts differ from when this detector began.",)


def test_scans_that_all_have_the_same_score_can_be_compared() -> None:
    assert compare(judged([0.5] * 300), judged([0.5] * 200)).alarms == ()
    assert compare(judged([0.1] * 300), judged([0.9] * 200)).alarms != ()


def test_nothing_but_stopped_scans_can_be_compared() -> None:
    stopped = [Judged(Verdict.NOT_JUDGED, None)] * 200

    report = compare(stopped, stopped)

    assert report.scores is None
    assert report.alarms == ()


def store_of(folder: Path, scores: Sequence[float]) -> StatisticsStore:
    """Return a database of analyses with these scores, the oldest first."""
    database, begin = Database(sqlite_url(folder)), datetime(2026, 1, 1, tzinfo=UTC)
    rows = [
        {
            "id": uuid4(),
            "user_id": uuid4(),
            "modality": "lung_ct",
            "status": AnalysisStatus.DONE.value,
            "created": begin + timedelta(minutes=number),
            "image_sha256": "0" * 64,
            "image_format": "PNG",
            "width": 64,
            "height": 64,
            "declared_synthetic": False,
            "verdict": verdict_of(score).value,
            "probability_fake": score,
            "weights_sha256": SHA,
        }
        for number, score in enumerate(scores)
    ]
    with database.writing() as connection:
        connection.execute(ANALYSES.insert(), rows)
    return StatisticsStore(database)


def test_the_oldest_scans_are_compared_with_the_newest_of_the_same_weights(tmp_path: Path) -> None:
    service = DriftService(store_of(tmp_path, [0.1] * 200 + [0.9] * 100))

    report = service.report("lung_ct", SHA)

    assert (report.reference, report.recent) == (200, 100)
    assert report.reference_shares[1] == report.recent_shares[9] == 1
    assert len(report.alarms) == 2
    assert not service.report("lung_ct", "b" * 64).is_ready
    assert not service.report("knee_xray", SHA).is_ready


def test_too_few_scans_are_not_compared(tmp_path: Path) -> None:
    report = DriftService(store_of(tmp_path, [0.1] * 40)).report("lung_ct", SHA)

    assert not report.is_ready
    assert report.alarms == ()
