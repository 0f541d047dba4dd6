"""How far an upload is: a line for everything that its files became."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from app.records import Analysis, FileState, Upload, UploadedFile
from app.services.analyses.studies import StudySummary


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadLine:
    """What became of one thing in an upload; one of the attributes after ``name`` is set, or none.

    Attributes:
        key: Tells it from the other lines of the upload, now and later.
        name: What its sender calls it.
        problem: Why it was refused, or why not all of it was read.
        analysis: What became of a single image.
        study: What became of several images of one series.
        read: How many images were read of a file that holds several, so far.
        holds: How many it holds; None while that is not known.
    """

    key: UUID
    name: str
    problem: str | None = None
    analysis: Analysis | None = None
    study: StudySummary | None = None
    read: int = 0
    holds: int | None = None

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        if self.analysis is not None:
            return self.analysis.status.is_final
        return self.problem is not None or (self.study is not None and self.study.is_final)

    @property
    def is_being_read(self) -> bool:
        """Whether it is not known yet what it will become."""
        return self.problem is None and self.analysis is None and self.study is None


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadProgress:
    """How far an upload is.

    Attributes:
        lines: What was refused first, then studies, then single images as they came.
    """

    upload: Upload
    lines: tuple[UploadLine, ...]

    @property
    def is_final(self) -> bool:
        """Whether none of it will change any more."""
        return all(line.is_final for line in self.lines)

    @property
    def only_line(self) -> UploadLine | None:
        """The one analysis or study that all of it became; None where there is more to tell."""
        line = self.lines[0] if len(self.lines) == 1 else None
        return line if line and (line.analysis or line.study) else None


def lines_of(
    files: Sequence[UploadedFile],
    studies: Sequence[StudySummary],
    analyses: Mapping[UUID, Analysis],
) -> tuple[UploadLine, ...]:
    """Return what became of the files of an upload.

    Args:
        files: All of them, in the order in which they came.
        studies: What became of those that belong together.
        analyses: What became of the others, by id.
    """
    return (
        *_lines_of_problems(files),
        *_lines_of_reading(files),
        *_lines_of_studies(files, studies),
        *(
            UploadLine(key=file.id, name=file.name, analysis=analyses[file.analysis_id])
            for file in files
            if file.analysis_id is not None and file.analysis_id in analyses
        ),
    )


def _lines_of_problems(files: Sequence[UploadedFile]) -> list[UploadLine]:
    return [UploadLine(key=f.id, name=f.name, problem=f.problem) for f in files if f.problem]


def _lines_of_reading(files: Sequence[UploadedFile]) -> list[UploadLine]:
    """Return a line for each file that is being read and is not itself part of another."""
    return [
        UploadLine(
            key=file.id,
            name=file.name,
            holds=file.holds,
            read=sum(part.parent_id == file.id for part in files),
        )
        for file in files
        if file.state is FileState.READING and file.parent_id is None
    ]


def _lines_of_studies(
    files: Sequence[UploadedFile], summaries: Sequence[StudySummary]
) -> list[UploadLine]:
    return [
        UploadLine(
            key=summary.study.id, name=_name_of_series(files, summary.study.series), study=summary
        )
        for summary in summaries
    ]


def _name_of_series(files: Sequence[UploadedFile], series: str) -> str:
    """Return the name of the file that a series came in, or that of its first slice."""
    names = {file.id: file.name for file in files}
    first = next((file for file in files if file.series == series), None)
    if first is None:
        return "Series"
    return names.get(first.parent_id, first.name) if first.parent_id else first.name
