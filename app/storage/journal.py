"""The lines of a journal: what changed in a JSON file since it was last written as a whole.

Each line carries a checksum, and each is on the disk before the next is written. So a line that
a crash cut short can only be the last one, and it was never confirmed: it does not count. A bad
line with others after it is damage.
"""

import json
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

CHECKSUM_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a document.

    Attributes:
        table: The TinyDB table that it is in.
        key: Its id.
        fields: Its content; None where it was removed.
    """

    table: str
    key: str
    fields: Mapping[str, Any] | None


class DamagedLineError(ValueError):
    """A line in the middle of a journal is not what was written."""


def header_line(generation: int) -> bytes:
    """Return the first line of a journal that follows this generation of its JSON file."""
    return _line({"generation": generation})


def change_line(changes: Iterable[Change]) -> bytes:
    """Return the line of changes that are kept together or not at all."""
    return _line([[change.table, change.key, change.fields] for change in changes])


def read_header(data: bytes) -> tuple[int | None, int]:
    """Return the generation that a journal follows, and how many bytes say so.

    The generation is None where the journal does not reach that far.

    Raises:
        DamagedLineError: The first line is damaged.
    """
    entries, length = _entries(data, at_most=1)
    if not entries:
        return None, 0
    try:
        return int(entries[0]["generation"]), length
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedLineError from error


def read_changes(data: bytes) -> tuple[list[Change], int]:
    """Return the changes in the whole lines of a journal after its header, and their length.

    Raises:
        DamagedLineError: A line is damaged that is not the last.
    """
    entries, length = _entries(data)
    try:
        return [Change(*change) for entry in entries for change in entry], length
    except TypeError as error:
        raise DamagedLineError from error


def _line(entry: object) -> bytes:
    content = json.dumps(entry, separators=(",", ":")).encode()
    return _checksum(content) + b" " + content + b"\n"


def _checksum(content: bytes) -> bytes:
    return f"{zlib.crc32(content):0{CHECKSUM_DIGITS}x}".encode()


def _entries(data: bytes, at_most: int | None = None) -> tuple[list[Any], int]:
    """Return what whole lines hold, and their length in bytes."""
    entries: list[Any] = []
    begin = 0
    while at_most is None or len(entries) < at_most:
        end = data.find(b"\n", begin) + 1
        if end == 0:
            break
        checksum, _, content = data[begin : end - 1].partition(b" ")
        if checksum != _checksum(content):
            if b"\n" in data[end:]:
                raise DamagedLineError
            break
        entries.append(json.loads(content))
        begin = end
    return entries, begin
