from dataclasses import replace
from datetime import datetime, timedelta, timezone
from uuid import uuid4

import pytest

from app.detection.labels import Verdict
from app.detection.verdict import Finding, GateFinding, StabilityFinding
from app.errors import NotFoundError, StorageError
from app.records import AnalysisStatus
from app.storage.analyses import AnalysisStore
from app.storage.database import Database
from tests.app.storage.conftest import NOON, AnalysisFactory

FINDING = Finding(
    verdict=Verdict.FAKE,
    probability_fake=0.1 + 0.2,
    threshold=0.5,
    inconclusive_band=(0.2, 0.8),
    reasons=("The upper left lobe looks drawn.", "“Über” × 2"),
    weights_name="efficientnet_b4",
    weights_sha256="b" * 64,
    device="cpu",
    inference_ms=41.25,
)


@pytest.fixture
def analyses(database: Database) -> AnalysisStore:
    return AnalysisStore(database)


def test_an_analysis_comes_back_as_it_went_in(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    queued = make_analysis(
        declared_synthetic=True, burned_in_text=True, hounsfield=(-1350.0, 150.0)
    )
    analyses.add(queued)
    assert analyses.get(queued.id) == queued
    assert analyses.find(queued.id) == queued

    finished = replace(
        queued, status=AnalysisStatus.DONE, finding=FINDING, finished=NOON + timedelta(seconds=1.5)
    )
    analyses.update(finished)
    assert analyses.get(queued.id) == finished


def test_what_gate_and_variants_said_comes_back_as_it_went_in(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    gate = GateFinding(likeness=0.1 + 0.2, threshold=0.9, is_overridden=True, sha256="c" * 64)
    stability = StabilityFinding(
        probabilities={"re_encoded": 0.7, "mirrored": 1e-9}, is_stable=False
    )
    analysis = make_analysis(
        status=AnalysisStatus.DONE,
        override_gate=True,
        finding=replace(FINDING, gate=gate, stability=stability),
    )

    analyses.add(analysis)

    assert analyses.get(analysis.id) == analysis


def test_only_what_was_not_judged_is_reopened_and_only_once(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    stopped = replace(FINDING, verdict=Verdict.NOT_JUDGED, probability_fake=None)
    judged = make_analysis(status=AnalysisStatus.DONE, finding=FINDING)
    not_judged = make_analysis(status=AnalysisStatus.DONE, finding=stopped)
    for analysis in (judged, not_judged):
        analyses.add(analysis)

    queued = replace(not_judged, status=AnalysisStatus.QUEUED, finding=None, override_gate=True)
    analyses.reopen(queued)

    assert analyses.get(not_judged.id) == queued
    for analysis in (queued, judged, make_analysis()):
        with pytest.raises(NotFoundError):
            analyses.reopen(analysis)
    assert analyses.get(judged.id) == judged


def test_a_failed_analysis_keeps_its_reason(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    failed = make_analysis(status=AnalysisStatus.FAILED, error="The scan is no longer stored.")

    analyses.add(failed)

    assert analyses.get(failed.id) == failed


def test_a_time_of_another_zone_is_kept_in_utc(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    eastern = timezone(timedelta(hours=-5))
    analysis = make_analysis(created=datetime(2026, 11, 20, 7, tzinfo=eastern))

    analyses.add(analysis)

    assert analyses.get(analysis.id).created.isoformat() == NOON.isoformat()


def test_what_is_not_there_is_none_or_an_error(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    missing = make_analysis()

    assert analyses.find(missing.id) is None
    with pytest.raises(NotFoundError):
        analyses.get(missing.id)
    with pytest.raises(NotFoundError):
        analyses.update(missing)
    with pytest.raises(NotFoundError):
        analyses.delete(missing.id)


def test_an_id_is_used_once(analyses: AnalysisStore, make_analysis: AnalysisFactory) -> None:
    analysis = make_analysis()
    analyses.add(analysis)

    with pytest.raises(StorageError):
        analyses.add(replace(analysis, modality="knee_xray"))
    assert analyses.get(analysis.id) == analysis


def test_a_deleted_analysis_is_gone(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    analysis = make_analysis()
    analyses.add(analysis)

    analyses.delete(analysis.id)

    assert analyses.find(analysis.id) is None


def test_a_users_analyses_are_paged_newest_first(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    alice, bob = uuid4(), uuid4()
    hers = [make_analysis(user_id=alice, created=NOON + timedelta(hours=i)) for i in range(5)]
    for analysis in [*hers[3:], *hers[:3], make_analysis(user_id=bob)]:
        analyses.add(analysis)

    assert analyses.count_of_user(alice) == 5
    assert analyses.page_of_user(alice, offset=0, limit=2) == [hers[4], hers[3]]
    assert analyses.page_of_user(alice, offset=4, limit=2) == [hers[0]]
    assert analyses.page_of_user(alice, offset=6, limit=2) == []
    assert set(analyses.ids_of_user(alice)) == {analysis.id for analysis in hers}
    assert analyses.count_of_user(uuid4()) == 0


def test_pages_do_not_overlap_when_times_are_equal(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    alice = uuid4()
    for _ in range(9):
        analyses.add(make_analysis(user_id=alice))

    pages = [analyses.page_of_user(alice, offset=offset, limit=3) for offset in (0, 3, 6)]

    assert len({analysis.id for page in pages for analysis in page}) == 9


def test_the_line_begins_with_the_oldest_of_each_user(
    analyses: AnalysisStore, make_analysis: AnalysisFactory
) -> None:
    alice, bob = uuid4(), uuid4()
    first = make_analysis(user_id=alice, status=AnalysisStatus.RUNNING)
    second = make_analysis(user_id=alice, created=NOON + timedelta(minutes=1))
    his = make_analysis(user_id=bob, created=NOON + timedelta(hours=1))
    for analysis in (
        second,
        his,
        first,
        make_analysis(status=AnalysisStatus.DONE, finding=FINDING),
        make_analysis(status=AnalysisStatus.FAILED, error="broken"),
    ):
        analyses.add(analysis)

    assert analyses.line() == [first.id, his.id, second.id]
    assert analyses.first_in_line(2) == [first, his]
    assert analyses.count_unfinished(alice) == 2
