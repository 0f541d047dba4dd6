"""Notes and tags that users write to their own analyses."""

import unicodedata
from uuid import UUID

from app.errors import NoteTooLongError, NotFoundError, TagTooLongError, TooManyTagsError
from app.records import Analysis, Note, User
from app.services.analyses.analyses import AnalysisService
from app.services.audit import AuditService
from app.storage.notes import NoteStore
from app.storage.words import words_of

MAX_NOTE_CHARACTERS = 2000
MAX_TAGS = 10
MAX_TAG_CHARACTERS = 40
# To compose a long run of accents takes time in the square of its length: 60,000 of them would keep
# every thread of the server waiting for ten seconds. So typed text is measured first.
MAX_TYPED_FOR_ONE = 4
LINE_BREAKS = frozenset("\n\t")


class NoteService:
    """Keeps notes and tags: for their author alone, administrators included.

    Args:
        store: Where they are.
        analyses: What they are about.
        audit: Where it is recorded that a note was changed, not what it says.
    """

    def __init__(self, store: NoteStore, analyses: AnalysisService, audit: AuditService) -> None:
        self._store = store
        self._analyses = analyses
        self._audit = audit

    def get(self, viewer: User, analysis_id: UUID) -> Note:
        """Return the viewer's note, an empty one where there is none.

        Raises:
            NotFoundError: The analysis does not exist or is not the viewer's own.
        """
        self._own(viewer, analysis_id)
        found = self._store.of_analyses([analysis_id])
        return found.get(analysis_id, Note(analysis_id=analysis_id))

    def save(self, viewer: User, analysis_id: UUID, *, text: str, tags: str) -> Note:
        """Keep a note in place of the one that there may be.

        Args:
            viewer: Who writes it.
            analysis_id: What it is about.
            text: May be empty and may have several lines.
            tags: Separated by commas; may be empty.

        Raises:
            NoteError: The text or the tags are refused; nothing is changed.
            NotFoundError: The analysis does not exist or is not the viewer's own.
        """
        analysis = self._own(viewer, analysis_id)
        note = Note(analysis_id=analysis_id, text=checked_text(text), tags=checked_tags(tags))
        self._store.put(analysis, note, words_of([note.text, *note.tags]))
        self._audit.record("analysis.noted", actor=viewer.id, subject=str(analysis_id))
        return note

    def _own(self, viewer: User, analysis_id: UUID) -> Analysis:
        analysis = self._analyses.get(viewer, analysis_id)
        if analysis.user_id != viewer.id:  # an administrator sees others' analyses, not their notes
            raise NotFoundError("analysis")
        return analysis


def checked_text(text: str) -> str:
    """Return a note as it is kept.

    Raises:
        NoteTooLongError: It has more than 2,000 characters.
    """
    if len(text) > MAX_NOTE_CHARACTERS * MAX_TYPED_FOR_ONE:
        raise NoteTooLongError(MAX_NOTE_CHARACTERS)
    kept = _printable("\n".join(text.splitlines())).strip()
    if len(kept) > MAX_NOTE_CHARACTERS:
        raise NoteTooLongError(MAX_NOTE_CHARACTERS)
    return kept


def checked_tags(text: str) -> tuple[str, ...]:
    """Return the tags in a text: in small letters, sorted, each once.

    Raises:
        TagTooLongError: One has more than 40 characters.
        TooManyTagsError: There are more than 10.
    """
    named = (checked_tag(part) for part in text.replace("\n", ",").split(","))
    tags = sorted({tag for tag in named if tag})
    if any(len(tag) > MAX_TAG_CHARACTERS for tag in tags):
        raise TagTooLongError(MAX_TAG_CHARACTERS)
    if len(tags) > MAX_TAGS:
        raise TooManyTagsError(MAX_TAGS)
    return tuple(tags)


def checked_tag(text: str) -> str:
    """Return a tag as it is kept: ``#CT-GAN `` is ``ct-gan``.

    Raises:
        TagTooLongError: It is far longer than any tag.
    """
    if len(text) > MAX_TAG_CHARACTERS * MAX_TYPED_FOR_ONE:
        raise TagTooLongError(MAX_TAG_CHARACTERS)
    return " ".join(_printable(text).lower().strip().removeprefix("#").split())


def _printable(text: str) -> str:
    """Return a text in composed form (NFC) without control characters, but with its lines."""
    composed = unicodedata.normalize("NFC", text)
    return "".join(
        sign
        for sign in composed
        if sign in LINE_BREAKS or unicodedata.category(sign) not in ("Cc", "Cs")
    )
