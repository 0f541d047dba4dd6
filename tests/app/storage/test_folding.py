"""Studies in a history: one slice stands for all, whatever comes, goes or is deleted."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from app.records import (
    Analysis,
    FileState,
    HistoryFilter,
    HistoryOrder,
    Upload,
    UploadedFile,
)
from app.storage.analyses import AnalysisStore
from app.storage.database import Database
from app.storage.history import HistoryStore
from app.storage.studies import StudyStore
from app.storage.uploads import UploadStore
from tests.app.storage.conftest import NOON, AnalysisFactory

ALICE = UUID(int=1)
SERIES = "1.2.3"
BY_STUDY = HistoryFilter(is_by_study=True)


class Series:
    """A series of Alice's that comes slice by slice, each a minute after the one before."""

    def __init__(self, database: Database, make_analysis: AnalysisFactory) -> None:
        self.analyses = AnalysisStore(database)
        self.studies = StudyStore(database)
        self._uploads = UploadStore(database)
        self._history = HistoryStore(database)
        self._make = make_analysis
        self._upload = Upload(id=uuid4(), user_id=ALICE, modality="lung_ct", created=NOON)
        self._uploads.add(self._upload)
        self.ids: list[UUID] = []

    def come(self, count: int = 1) -> None:
        """Let slices come."""
        for _ in range(count):
            number = len(self.ids) + 1
            analysis = self.add(created=NOON + timedelta(minutes=number))
            file = UploadedFile(
                id=uuid4(),
                upload_id=self._upload.id,
                number=number,
                name=f"{number}",
                state=FileState.TAKEN,
            )
            file = replace(file, analysis_id=analysis.id, series=SERIES, position=-float(number))
            self._uploads.add_file(file)
            self.studies.gather(file)
            self.ids.append(analysis.id)

    def add(self, **changes: object) -> Analysis:
        """Keep an analysis that stands alone."""
        analysis = self._make(user_id=ALICE, **changes)
        self.analyses.add(analysis)
        return analysis

    @property
    def study_id(self) -> UUID:
        found = self.studies.of_analysis(self.ids[-1])
        assert found is not None
        return found

    def listed(self, wanted: HistoryFilter = BY_STUDY) -> list[UUID]:
        """Return what the history lists, newest first."""
        found = self._history.after(ALICE, wanted, HistoryOrder.NEWEST, None, 99)
        assert self._history.count(ALICE, wanted, 99) == len(found)
        return [analysis.id for analysis in found]


@pytest.fixture
def series(database: Database, make_analysis: AnalysisFactory) -> Series:
    return Series(database, make_analysis)


def test_the_first_slice_stands_for_all_that_come_and_others_for_themselves(
    series: Series,
) -> None:
    single = series.add(modality="knee_xray").id
    series.come()
    assert series.listed() == [series.ids[0], single]

    series.come(4)

    assert series.listed() == [series.ids[0], single]
    assert series.listed(HistoryFilter()) == [*series.ids[::-1], single]
    assert series.listed(replace(BY_STUDY, modality="lung_ct")) == [series.ids[0]]


def test_when_it_is_deleted_the_next_one_stands_for_the_rest(series: Series) -> None:
    series.come(5)

    series.analyses.delete(series.ids[0])
    assert series.listed() == [series.ids[1]]
    series.analyses.delete(series.ids[3])
    assert series.listed() == [series.ids[1]]
    series.analyses.delete_many([series.ids[1], series.ids[2]])
    assert series.listed() == [series.ids[4]]
    series.analyses.delete(series.ids[4])
    assert series.listed() == []


def test_slices_that_come_after_all_others_are_deleted_are_not_lost(series: Series) -> None:
    series.come(2)
    series.analyses.delete_many(series.ids)

    series.come(2)

    assert series.listed(HistoryFilter()) == series.ids[:1:-1]
    assert series.listed() == [series.ids[2]]


def test_a_change_of_a_slice_does_not_bring_it_back(series: Series) -> None:
    series.come(3)

    series.analyses.update(series.analyses.get(series.ids[1]))

    assert series.listed() == [series.ids[0]]


def test_slices_of_a_study_that_is_forgotten_stand_for_themselves(series: Series) -> None:
    series.come(3)

    series.studies.delete(series.study_id)

    assert series.listed() == series.ids[::-1]


def test_a_study_that_is_named_is_all_its_slices(series: Series) -> None:
    single, _ = series.add().id, series.add()
    series.come(3)
    studies = frozenset({series.study_id})

    assert series.listed(HistoryFilter(studies=studies)) == series.ids[::-1]
    named = HistoryFilter(studies=studies, ids=frozenset({single}))
    assert series.listed(named) == [*series.ids[::-1], single]
    assert series.listed(HistoryFilter(studies=frozenset(), ids=frozenset())) == []
