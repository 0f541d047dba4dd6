import pytest

from app.storage.words import MAX_WORD_CHARACTERS, words_of


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        ([], ()),
        (["", " -- "], ()),
        (["IM_0042.dcm"], ("im", "0042", "dcm")),
        (["Left lung, left lobe"], ("left", "lung", "lobe")),
        (["Müller", "MULLER"], ("muller",)),
        (["Straße"], ("strasse",)),
        (["ＣＴ１２"], ("ct12",)),
        (["胸部CT"], ("胸部ct",)),
        (["x" * 100], ("x" * MAX_WORD_CHARACTERS,)),
    ],
)
def test_a_text_has_the_words_that_people_look_for(
    texts: list[str], words: tuple[str, ...]
) -> None:
    assert words_of(texts) == words
