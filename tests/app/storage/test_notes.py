from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from app.errors import NotFoundError
from app.records import Analysis, Note
from app.storage.analyses import AnalysisStore
from app.storage.database import Database
from app.storage.notes import NOTES, TAGS, WORDS, NoteStore
from tests.app.storage.conftest import AnalysisFactory

ALICE = UUID(int=1)


@pytest.fixture
def notes(database: Database) -> NoteStore:
    return NoteStore(database)


@pytest.fixture
def analysis(database: Database, make_analysis: AnalysisFactory) -> Analysis:
    analysis = make_analysis(user_id=ALICE)
    AnalysisStore(database).add(analysis)
    return analysis


def rows_of(database: Database) -> list[int]:
    """Return how many rows the notes, the tags and the words have."""
    with database.reading() as connection:
        return [
            connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (NOTES, TAGS, WORDS)
        ]


def test_a_note_comes_back_as_it_went_in(notes: NoteStore, analysis: Analysis) -> None:
    note = Note(analysis_id=analysis.id, text="“Über”\nzwei Zeilen", tags=("ct-gan", "ward 3"))

    notes.put(analysis, note, ["uber", "zwei"])

    assert notes.of_analyses([analysis.id, uuid4()]) == {analysis.id: note}
    assert notes.of_analyses([]) == {}


def test_a_new_note_takes_the_place_of_the_old_one(
    notes: NoteStore, analysis: Analysis, database: Database
) -> None:
    notes.put(analysis, Note(analysis_id=analysis.id, text="old", tags=("a", "b")), ["old"])

    notes.put(analysis, Note(analysis_id=analysis.id, tags=("b",)), ["b"])

    assert notes.of_analyses([analysis.id])[analysis.id].tags == ("b",)
    assert rows_of(database) == [0, 1, 1]


def test_an_empty_note_leaves_nothing(
    notes: NoteStore, analysis: Analysis, database: Database
) -> None:
    notes.put(analysis, Note(analysis_id=analysis.id, text="old", tags=("a",)), ["old"])

    notes.put(analysis, Note(analysis_id=analysis.id), [])

    assert notes.of_analyses([analysis.id]) == {}
    assert rows_of(database) == [0, 0, 0]


def test_what_hangs_on_an_analysis_goes_with_it(
    notes: NoteStore, analysis: Analysis, database: Database
) -> None:
    notes.put(analysis, Note(analysis_id=analysis.id, text="x", tags=("a",)), ["x"])

    AnalysisStore(database).delete(analysis.id)

    assert rows_of(database) == [0, 0, 0]


def test_nothing_is_written_to_an_analysis_that_is_gone(
    notes: NoteStore, make_analysis: AnalysisFactory, database: Database
) -> None:
    gone = make_analysis()

    with pytest.raises(NotFoundError):
        notes.put(gone, Note(analysis_id=gone.id, text="x"), ["x"])
    assert rows_of(database) == [0, 0, 0]


def test_a_users_tags_are_listed_once_and_in_order(
    notes: NoteStore, database: Database, make_analysis: AnalysisFactory
) -> None:
    for user_id, tags in ((ALICE, ("b", "a")), (ALICE, ("a", "ü")), (uuid4(), ("c",))):
        analysis = make_analysis(user_id=user_id)
        AnalysisStore(database).add(analysis)
        notes.put(analysis, Note(analysis_id=analysis.id, tags=tags), [])

    assert notes.tags_of_user(ALICE) == ["a", "b", "ü"]
    assert notes.tags_of_user(uuid4()) == []
