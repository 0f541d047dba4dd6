"""Words by which analyses are found: in small letters, without accents, each once."""

import re
import unicodedata
from collections.abc import Iterable

import sqlalchemy as sa

MAX_WORD_CHARACTERS = 64
AFTER_EVERY_LETTER = "\U0010ffff"
RUN = re.compile(r"[^\W_]+")

# In the order of the code points everywhere, as prefixes are looked up by it.
WORD = sa.String(MAX_WORD_CHARACTERS).with_variant(
    sa.String(MAX_WORD_CHARACTERS, collation="C"), "postgresql"
)


def words_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Return the words of some texts, in the order in which they first come.

    A word is a run of letters and digits, so ``IM_0042.dcm`` has three. One is cut off after 64
    characters.
    """
    words = (word for text in texts for word in RUN.findall(_plain(text)))
    return tuple(dict.fromkeys(word[:MAX_WORD_CHARACTERS] for word in words))


def begins_with(column: sa.Column[str], prefix: str) -> sa.ColumnElement[bool]:
    """Return the condition that a word begins so, in a form that every database's index knows."""
    return sa.and_(column >= prefix, column < prefix + AFTER_EVERY_LETTER)


def _plain(text: str) -> str:
    """Write a text without accents: people type ``Muller`` to find ``Müller``."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign))
