"""Zip archives: what is read of them, and what is refused in which words."""

import io
import stat
import zipfile
from collections.abc import Callable

import pytest

from app.errors import (
    ArchiveBombError,
    ArchiveDamagedError,
    ArchiveEmptyError,
    ArchiveTooLargeError,
    FileTooLargeError,
    MemberCompressionError,
    MemberDamagedError,
    MemberEncryptedError,
    MemberIsLinkError,
    MemberNameError,
    NestedArchiveError,
    TooManyMembersError,
)
from app.services.decoding.archives import (
    MAX_DIRECTORY_BYTES,
    Archive,
    ArchiveLimits,
    Member,
    is_archive,
)
from tests.factories import png_bytes, zip_bytes

LIMITS = ArchiveLimits(
    max_bytes=2**20, max_members=5, max_member_bytes=2**16, max_unpacked_bytes=2**18
)


def members(data: bytes, limits: ArchiveLimits = LIMITS) -> list[Member]:
    return list(Archive(io.BytesIO(data), limits).members())


def errors(data: bytes) -> list[type[Exception] | None]:
    return [type(member.error) if member.error else None for member in members(data)]


def with_info(name: str, change: Callable[[zipfile.ZipInfo], None]) -> bytes:
    info = zipfile.ZipInfo(name)
    change(info)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, b"secret")
    return buffer.getvalue()


def test_each_file_is_read_in_turn() -> None:
    found = members(zip_bytes({"a/1.png": b"one", "2.png": b"two"}))

    assert [(member.name, member.data) for member in found] == [
        ("a/1.png", b"one"),
        ("2.png", b"two"),
    ]


def test_folders_and_what_systems_leave_behind_are_passed_over() -> None:
    litter = ("CT/", "__MACOSX/._1.dcm", "CT/.DS_Store", "DICOMDIR", "Thumbs.db")
    data = zip_bytes(dict.fromkeys(litter, b"") | {"CT/1.dcm": b"x"})

    assert len(Archive(io.BytesIO(data), LIMITS)) == 1


@pytest.mark.parametrize(
    "name",
    ["../up.png", "a/../../up.png", "/etc/passwd", "..\\up.png", "\\\\host\\x", "C:\\x.png", ".."],
)
def test_a_name_that_leads_out_of_the_archive_is_refused_and_the_others_are_read(name: str) -> None:
    assert errors(zip_bytes({name: b"x", "good.png": b"y"})) == [MemberNameError, None]


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO, stat.S_IFSOCK])
def test_links_and_devices_are_refused(kind: int) -> None:
    def change(info: zipfile.ZipInfo) -> None:
        info.external_attr = (kind | 0o777) << 16

    assert errors(with_info("link.png", change)) == [MemberIsLinkError]


def test_an_encrypted_member_is_refused() -> None:
    data = bytearray(zip_bytes({"a.png": b"x"}))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag, in the list of members

    assert errors(bytes(data)) == [MemberEncryptedError]


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_compression_without_a_bound_on_memory_is_refused(method: int) -> None:
    assert errors(zip_bytes({"a.png": b"x" * 100}, method)) == [MemberCompressionError]


@pytest.mark.parametrize("inner", [zip_bytes({"a.png": b"x"}), zip_bytes({})])
def test_an_archive_in_the_archive_is_refused_whatever_its_name(inner: bytes) -> None:
    assert errors(zip_bytes({"a.png": inner})) == [NestedArchiveError]


def test_a_damaged_member_is_refused_and_the_others_are_read() -> None:
    data = zip_bytes({"bad.png": b"A" * 50, "good.png": b"B"}, zipfile.ZIP_STORED)

    assert errors(data.replace(b"A" * 50, b"A" * 49 + b"X")) == [MemberDamagedError, None]


def test_a_member_that_inflates_too_far_is_refused_whatever_its_header_says() -> None:
    data = bytearray(zip_bytes({"bomb.png": bytes(2**17), "good.png": b"x"}))
    for signature, offset in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        at = data.index(signature) + offset
        data[at : at + 4] = (2**16).to_bytes(4, "little")  # less than there is

    # Only what the header promises is read, so that the checksum fails.
    assert errors(bytes(data)) == [MemberDamagedError, None]
    assert errors(zip_bytes({"bomb.png": bytes(2**17)})) == [FileTooLargeError]


def test_reading_ends_where_the_archive_has_unpacked_too_much() -> None:
    bomb = Archive(io.BytesIO(zip_bytes({f"{n}.png": bytes(2**16) for n in range(5)})), LIMITS)
    found = bomb.members()

    assert [next(found).error for _ in range(4)] == [None] * 4
    with pytest.raises(ArchiveBombError):
        next(found)


def test_too_many_members_are_refused() -> None:
    with pytest.raises(TooManyMembersError, match="more than 5 files"):
        members(zip_bytes({f"{n}.png": b"x" for n in range(6)}))


def test_a_huge_list_of_members_is_not_even_read() -> None:
    data = zip_bytes({f"{n:0200}": b"" for n in range(9000)})
    assert len(data) > MAX_DIRECTORY_BYTES

    with pytest.raises(TooManyMembersError):
        members(data, ArchiveLimits())


@pytest.mark.parametrize(
    "data",
    [b"PK\x03\x04", b"PK\x03\x04" + bytes(100), zip_bytes({"a.png": b"x" * 500})[:-30]],
    ids=["head", "zeros", "cut"],
)
def test_what_only_begins_like_an_archive_is_damaged(data: bytes) -> None:
    with pytest.raises(ArchiveDamagedError):
        members(data)


def test_an_empty_archive_says_so() -> None:
    with pytest.raises(ArchiveEmptyError):
        members(zip_bytes({}))


def test_an_archive_over_the_limit_is_not_opened() -> None:
    with pytest.raises(ArchiveTooLargeError):
        members(zip_bytes({"a.png": bytes(2**21)}, zipfile.ZIP_STORED))


def test_an_archive_is_known_by_its_first_bytes() -> None:
    assert is_archive(zip_bytes({}))
    assert is_archive(zip_bytes({"a": b""}))
    assert not is_archive(png_bytes())
    assert not is_archive(b"")
