"""Zip archives of scans, read member by member; nothing is ever unpacked to the disk.

What an archive says of itself (sizes, counts, names) is not believed: each bound is on what is in
fact read. The name of a member is only ever shown, never used.
"""

import io
import stat
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from app.errors import (
    ArchiveBombError,
    ArchiveDamagedError,
    ArchiveEmptyError,
    ArchiveError,
    ArchiveTooLargeError,
    FileTooLargeError,
    MemberCompressionError,
    MemberDamagedError,
    MemberEncryptedError,
    MemberIsLinkError,
    MemberNameError,
    NestedArchiveError,
    TooManyMembersError,
    UploadError,
)

SIGNATURES = (b"PK\x03\x04", b"PK\x05\x06")
"""How a zip archive begins; the second is that of an empty one."""

ENCRYPTED = 0x1
READ_AT_ONCE_BYTES = 2**16
MAX_DIRECTORY_BYTES = 2**21
"""The list of members is read at once; at some 100 bytes each, a client could list millions."""

# What systems put beside the files: no scans, and nobody wants to hear of them.
LITTER_FOLDERS = frozenset({"__MACOSX"})
LITTER = frozenset({"dicomdir", "thumbs.db", "desktop.ini"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """What an archive may cost.

    Attributes:
        max_bytes: Largest archive, in bytes.
        max_members: Most files in it.
        max_member_bytes: Largest file in it, in bytes.
        max_unpacked_bytes: Most bytes that are unpacked of it, in all.
    """

    max_bytes: int = 2**29
    max_members: int = 2000
    max_member_bytes: int = 2**25
    max_unpacked_bytes: int = 2**31


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A file in an archive.

    Attributes:
        name: As the archive calls it; for people only.
        data: All of it; empty if there is an error.
        error: Why it cannot be read.
    """

    name: str
    data: bytes = b""
    error: UploadError | None = None


class Archive:
    """A zip archive that is read member by member.

    Args:
        file: The archive; stays open, and has to.
        limits: What it may cost.

    Raises:
        ArchiveError: It is too large, damaged, empty or holds too many files.
    """

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        self._limits = limits
        self._left_bytes = limits.max_unpacked_bytes
        if file.seek(0, io.SEEK_END) > limits.max_bytes:
            raise ArchiveTooLargeError(limits.max_bytes)
        try:
            self._zip = ZipFile(_ShortReads(file, limits.max_members))
        except ArchiveError:
            raise
        except Exception as error:  # a hostile directory makes zipfile raise many kinds
            raise ArchiveDamagedError from error
        self._members = [info for info in self._zip.infolist() if not _is_litter(info)]
        if not self._members:
            raise ArchiveEmptyError
        if len(self._members) > limits.max_members:
            raise TooManyMembersError(limits.max_members)

    def __len__(self) -> int:
        """Return how many files it holds, without those that nobody wants to hear of."""
        return len(self._members)

    def members(self) -> Iterator[Member]:
        """Yield each file in turn.

        Raises:
            ArchiveBombError: More was unpacked than may be.
        """
        for info in self._members:
            try:
                yield Member(name=info.filename, data=self._read(info))
            except ArchiveBombError:
                raise
            except UploadError as error:
                yield Member(name=info.filename, error=error)

    def _read(self, info: ZipInfo) -> bytes:
        _check(info)
        data = bytearray()
        try:
            with self._zip.open(info) as file:
                while chunk := file.read(READ_AT_ONCE_BYTES):
                    data += chunk
                    self._count(len(chunk), len(data))
        except UploadError:
            raise
        except (
            BadZipFile,
            EOFError,
            NotImplementedError,
            OSError,
            ValueError,
            zlib.error,
        ) as error:
            raise MemberDamagedError from error
        if data.startswith(SIGNATURES):
            raise NestedArchiveError
        return bytes(data)

    def _count(self, more_bytes: int, member_bytes: int) -> None:
        self._left_bytes -= more_bytes
        if self._left_bytes < 0:
            raise ArchiveBombError(self._limits.max_unpacked_bytes)
        if member_bytes > self._limits.max_member_bytes:
            raise FileTooLargeError(self._limits.max_member_bytes)


class _ShortReads(io.RawIOBase):
    """A file of which nobody reads much at once, as ``zipfile`` would for a huge directory."""

    def __init__(self, file: BinaryIO, max_members: int) -> None:
        self._file = file
        self._max_members = max_members

    def read(self, size: int = -1) -> bytes:
        if size < 0:  # all that is left, as for the end of the archive
            here = self._file.tell()
            size = self._file.seek(0, io.SEEK_END) - here
            self._file.seek(here)
        if size > MAX_DIRECTORY_BYTES:
            raise TooManyMembersError(self._max_members)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def is_archive(head: bytes) -> bool:
    """Return whether a file that begins so is a zip archive."""
    return head.startswith(SIGNATURES)


def _is_litter(info: ZipInfo) -> bool:
    """Return whether a member is a folder or something that a system left behind."""
    parts = info.filename.replace("\\", "/").split("/")
    is_hidden = parts[-1].startswith(".") and parts[-1] not in (".", "..")
    return (
        info.is_dir()
        or is_hidden
        or parts[-1].lower() in LITTER
        or not LITTER_FOLDERS.isdisjoint(parts)
    )


def _check(info: ZipInfo) -> None:
    """Refuse what is no plain file, or says that it lies elsewhere."""
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or ".." in name.split("/") or name[1:2] == ":":
        raise MemberNameError
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind not in (0, stat.S_IFREG):
        raise MemberIsLinkError
    if info.flag_bits & ENCRYPTED:
        raise MemberEncryptedError
    if info.compress_type not in (ZIP_STORED, ZIP_DEFLATED):
        # Unpacking these takes as much memory as the member itself asks for.
        raise MemberCompressionError
