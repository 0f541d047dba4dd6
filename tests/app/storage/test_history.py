"""Histories: every filter and order on the same twelve analyses, and turning their pages."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import product
from uuid import UUID, uuid4

import pytest

from app.detection.labels import Verdict
from app.detection.verdict import Finding
from app.records import (
    Analysis,
    AnalysisStatus,
    FileState,
    HistoryFilter,
    HistoryOrder,
    HistoryPlace,
    Note,
    Outcome,
    Upload,
    UploadedFile,
)
from app.storage import history as module
from app.storage.analyses import AnalysisStore
from app.storage.database import Database
from app.storage.history import HistoryStore
from app.storage.notes import NoteStore
from app.storage.uploads import UploadStore
from tests.app.storage.conftest import DATABASES, NOON, AnalysisFactory, opened

ALICE, BOB, CAROL, DAVE = (UUID(int=number) for number in range(1, 5))
HOUR = timedelta(hours=1)
MOST = 10**6

FINDING = Finding(
    verdict=Verdict.FAKE,
    probability_fake=0.9,
    threshold=0.5,
    inconclusive_band=(0.2, 0.8),
    reasons=(),
    weights_name="tiny",
    weights_sha256="b" * 64,
    device="cpu",
    inference_ms=40.0,
)

Kept = list[Analysis]


def finding(verdict: Verdict, score: float | None) -> dict[str, object]:
    found = replace(FINDING, verdict=verdict, probability_fake=score)
    return {"status": AnalysisStatus.DONE, "finding": found}


@pytest.fixture(scope="module", params=DATABASES)
def database(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Database]:
    """One for all of these tests, which only add what is of nobody else."""
    with opened(request.param, tmp_path_factory.mktemp("history")) as database:
        yield database


@pytest.fixture(scope="module")
def kept(database: Database, make_analysis: AnalysisFactory) -> Kept:
    """Alice's twelve analyses, oldest first, and one of Bob with all that hers have.

    Carol has what Alice has, but all of it was uploaded at one moment.
    """
    states: list[dict[str, object]] = [
        finding(Verdict.FAKE, 0.9),
        finding(Verdict.REAL, 0.1),
        finding(Verdict.INCONCLUSIVE, 0.5),
        finding(Verdict.NOT_JUDGED, None),
        {"status": AnalysisStatus.QUEUED},
        {"status": AnalysisStatus.FAILED, "error": "It failed."},
    ]
    analyses = [
        make_analysis(
            user_id=ALICE,
            modality=modality,
            created=NOON + number * HOUR,
            image_sha256=f"{number:x}abc" + "0" * 60,
            **state,
        )
        for number, (modality, state) in enumerate(product(("lung_ct", "knee_xray"), states))
    ]
    his = replace(analyses[0], id=UUID(int=99), user_id=BOB)
    hers = [
        replace(a, id=UUID(int=50 + n), user_id=CAROL, created=NOON) for n, a in enumerate(analyses)
    ]
    for analysis in (*reversed(analyses), *hers, his):
        AnalysisStore(database).add(analysis)
    notes = NoteStore(database)
    notes.put(analyses[0], Note(analysis_id=analyses[0].id, tags=("ward 3",)), ["nodule", "left"])
    notes.put(analyses[6], Note(analysis_id=analyses[6].id, tags=("ward",)), ["nodules"])
    name_file(UploadStore(database), analyses[7], "Left_Knee 0042.dcm")
    notes.put(his, Note(analysis_id=his.id, tags=("ward 3",)), ["nodule", "left"])
    return analyses


def name_file(uploads: UploadStore, analysis: Analysis, name: str) -> Upload:
    """Keep what the sender of an analysis calls its file."""
    upload = Upload(
        id=uuid4(), user_id=analysis.user_id, modality=analysis.modality, created=analysis.created
    )
    file = UploadedFile(
        id=uuid4(), upload_id=upload.id, number=1, name=name, state=FileState.READING
    )
    uploads.add(upload)
    uploads.add_file(file)
    uploads.update_file(replace(file, state=FileState.TAKEN, analysis_id=analysis.id))
    return upload


@pytest.fixture(scope="module")
def history(database: Database) -> HistoryStore:
    return HistoryStore(database)


@pytest.fixture(params=["few hits", "many hits"])
def hits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words and tags are looked for in either way, whatever is few here."""
    if request.param == "many hits":
        monkeypatch.setattr(module, "MANY_HITS", 0)


@pytest.mark.usefixtures("hits")
@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (HistoryFilter(), list(range(12))),
        (HistoryFilter(modality="knee_xray"), list(range(6, 12))),
        (HistoryFilter(outcome=Outcome.FAKE), [0, 6]),
        (HistoryFilter(outcome=Outcome.REAL), [1, 7]),
        (HistoryFilter(outcome=Outcome.INCONCLUSIVE), [2, 8]),
        (HistoryFilter(outcome=Outcome.NOT_JUDGED), [3, 9]),
        (HistoryFilter(outcome=Outcome.WAITING), [4, 10]),
        (HistoryFilter(outcome=Outcome.FAILED), [5, 11]),
        (HistoryFilter(outcome=Outcome.FAKE, modality="lung_ct"), [0]),
        (HistoryFilter(outcome=Outcome.WAITING, modality="lung_ct"), [4]),
        (HistoryFilter(since=NOON + 9 * HOUR), [9, 10, 11]),
        (HistoryFilter(until=NOON + 2 * HOUR), [0, 1]),
        (HistoryFilter(since=NOON + HOUR, until=NOON + 2 * HOUR), [1]),
        (HistoryFilter(words=("nodule",)), [0, 6]),
        (HistoryFilter(words=("nodule", "left")), [0]),
        (HistoryFilter(words=("left",)), [0, 7]),
        (HistoryFilter(words=("left",), modality="knee_xray"), [7]),
        (HistoryFilter(words=("left", "004")), [7]),
        (HistoryFilter(is_scored=True), [0, 1, 2, 6, 7, 8]),
        (HistoryFilter(words=("nowhere",)), []),
        (HistoryFilter(words=("nodul%",)), []),
        (HistoryFilter(words=("aabc",)), [10]),
        (HistoryFilter(words=("0abc0000", "nodule")), [0]),
        (HistoryFilter(tag="ward 3"), [0]),
        (HistoryFilter(tag="ward"), [6]),
        (HistoryFilter(tag="war"), []),
        (HistoryFilter(tag="ward 3", words=("left",), outcome=Outcome.FAKE), [0]),
    ],
)
def test_a_filter_leaves_what_fits_and_is_the_users(
    history: HistoryStore, kept: Kept, wanted: HistoryFilter, numbers: list[int]
) -> None:
    fitting = [kept[number] for number in numbers]

    assert history.after(ALICE, wanted, HistoryOrder.OLDEST, None, 100) == fitting
    assert history.after(ALICE, wanted, HistoryOrder.NEWEST, None, 100) == fitting[::-1]
    assert history.ids(ALICE, wanted, 100) == [analysis.id for analysis in fitting]
    assert history.count(ALICE, wanted, MOST) == len(numbers)


def test_a_name_that_is_forgotten_is_not_found_any_more(
    history: HistoryStore, database: Database, make_analysis: AnalysisFactory
) -> None:
    analysis = make_analysis(user_id=DAVE)
    AnalysisStore(database).add(analysis)
    upload = name_file(UploadStore(database), analysis, "Sentinel.dcm")
    wanted = HistoryFilter(words=("sentinel",))
    assert history.ids(DAVE, wanted, 9) == [analysis.id]

    UploadStore(database).delete(upload.id)

    assert history.ids(DAVE, wanted, 9) == []
    AnalysisStore(database).delete(analysis.id)


def test_chosen_ones_are_the_users_own_or_nobodys(history: HistoryStore, kept: Kept) -> None:
    wanted = HistoryFilter(ids=frozenset({kept[3].id, UUID(int=99), UUID(int=98)}))

    assert history.after(ALICE, wanted, HistoryOrder.NEWEST, None, 100) == [kept[3]]
    assert history.ids(BOB, wanted, 100) == [UUID(int=99)]
    assert history.count(ALICE, HistoryFilter(ids=frozenset()), MOST) == 0


@pytest.mark.usefixtures("kept")
def test_by_score_only_those_that_have_one_are_listed(history: HistoryStore) -> None:
    def scores(order: HistoryOrder) -> list[float]:
        found = history.after(ALICE, HistoryFilter(), order, None, 100)
        return [a.finding.probability_fake or 0 for a in found if a.finding]

    assert scores(HistoryOrder.HIGHEST) == [0.9, 0.9, 0.5, 0.5, 0.1, 0.1]
    assert scores(HistoryOrder.LOWEST) == [0.1, 0.1, 0.5, 0.5, 0.9, 0.9]


def place_of(analysis: Analysis, order: HistoryOrder) -> HistoryPlace:
    if not order.is_by_score:
        return HistoryPlace(analysis.created, analysis.id)
    assert analysis.finding
    assert analysis.finding.probability_fake is not None
    return HistoryPlace(analysis.finding.probability_fake, analysis.id)


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize("order", HistoryOrder)
@pytest.mark.parametrize("user_id", [ALICE, CAROL], ids=["times differ", "times are equal"])
def test_pages_that_are_turned_miss_nothing_and_repeat_nothing(
    history: HistoryStore, order: HistoryOrder, user_id: UUID
) -> None:
    whole = history.after(user_id, HistoryFilter(), order, None, 100)

    forth: list[Analysis] = []
    while found := history.after(
        user_id, HistoryFilter(), order, place_of(forth[-1], order) if forth else None, 5
    ):
        forth += found
    back = [whole[-1]]
    while found := history.before(user_id, HistoryFilter(), order, place_of(back[0], order), 5):
        back = found + back

    assert forth == back == whole
    assert len(whole) == (6 if order.is_by_score else 12)


def test_a_page_begins_at_its_place_whatever_came_or_went(
    history: HistoryStore, database: Database, make_analysis: AnalysisFactory
) -> None:
    his = [make_analysis(user_id=DAVE, created=NOON + hour * HOUR) for hour in range(4)]
    for analysis in his:
        AnalysisStore(database).add(analysis)
    place = place_of(his[2], HistoryOrder.NEWEST)
    AnalysisStore(database).delete(his[2].id)
    AnalysisStore(database).add(make_analysis(user_id=DAVE, created=NOON + 99 * HOUR))

    found = history.after(DAVE, HistoryFilter(), HistoryOrder.NEWEST, place, 2)

    assert found == [his[1], his[0]]


@pytest.mark.usefixtures("kept")
def test_counting_stops_where_it_is_told_to(history: HistoryStore) -> None:
    assert history.count(ALICE, HistoryFilter(), at_most=7) == 7


@pytest.mark.usefixtures("kept")
@pytest.mark.parametrize(
    ("wanted", "is_quick"),
    [
        (HistoryFilter(), True),
        (HistoryFilter(outcome=Outcome.FAKE), True),
        (HistoryFilter(words=("nodule",)), False),
        (HistoryFilter(tag="ward 3"), True),
    ],
)
def test_many_hits_are_not_counted_for_every_page(
    history: HistoryStore,
    wanted: HistoryFilter,
    is_quick: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "MANY_HITS", 1)

    assert history.is_quick_to_count(ALICE, wanted) is is_quick
