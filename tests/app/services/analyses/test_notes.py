from time import process_time

import pytest

from app.errors import NoteTooLongError, NotFoundError, TagTooLongError, TooManyTagsError
from app.records import Note, Role, User
from app.services.analyses.notes import checked_tags, checked_text
from app.services.container import Services
from tests.app.services.conftest import OWNER
from tests.factories import png_bytes
from tests.people import person


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("", ()),
        (" , ,", ()),
        ("Ward 3", ("ward 3",)),
        ("#CT-GAN, ct-gan ,b\u0000, a", ("a", "b", "ct-gan")),
        ("two  \t words\nthree", ("three", "two words")),
        ("U\u0308ber, Über", ("über",)),
        ("x" * 40, ("x" * 40,)),
    ],
)
def test_tags_are_kept_in_one_spelling(typed: str, kept: tuple[str, ...]) -> None:
    assert checked_tags(typed) == kept


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" one\r\ntwo\rthree ", "one\ntwo\nthree"),
        ("nul\x00 bell\x07 lone\ud800", "nul bell lone"),
        ("a\tb", "a\tb"),
        ("ä" * 2000, "ä" * 2000),
        ("a\u0308" * 2000, "ä" * 2000),
    ],
)
def test_a_note_is_kept_without_what_cannot_be_read(typed: str, kept: str) -> None:
    assert checked_text(typed) == kept


def test_what_is_too_long_or_too_much_is_refused() -> None:
    with pytest.raises(NoteTooLongError, match="at most 2000 characters"):
        checked_text("x" * 2001)
    with pytest.raises(TagTooLongError, match="at most 40 characters"):
        checked_tags("x" * 41)
    with pytest.raises(TooManyTagsError, match="at most 10 tags"):
        checked_tags(",".join("abcdefghijk"))


def test_an_endless_run_of_accents_is_refused_at_once() -> None:
    endless = "a" + "\u0301\u0316" * 30_000
    before_s = process_time()

    with pytest.raises(NoteTooLongError):
        checked_text(endless)
    with pytest.raises(TagTooLongError):
        checked_tags(endless)

    assert process_time() - before_s < 1


def test_a_note_is_for_the_owner_of_the_analysis_alone(services: Services) -> None:
    analysis = services.analyses.submit(OWNER, "lung_ct", png_bytes())
    services.analyses.wait(analysis.id, 30)
    note = services.notes.save(OWNER, analysis.id, text="mine", tags="a")

    assert services.notes.get(OWNER, analysis.id) == note
    others: list[User] = [person(), person(Role.ADMIN)]
    for other in others:
        with pytest.raises(NotFoundError):
            services.notes.get(other, analysis.id)
        with pytest.raises(NotFoundError):
            services.notes.save(other, analysis.id, text="theirs", tags="")
    assert services.notes.get(OWNER, analysis.id) == note


def test_an_analysis_without_a_note_has_an_empty_one(services: Services) -> None:
    analysis = services.analyses.submit(OWNER, "lung_ct", png_bytes())

    assert services.notes.get(OWNER, analysis.id) == Note(analysis_id=analysis.id)
