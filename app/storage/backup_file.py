"""A backup as a file: a tar archive with a list of what is in it and the hash of each."""

import io
import json
import os
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from app.errors import BackupError
from app.storage.audit_anchor import FILE_NAME as ANCHOR
from app.storage.database import FILE_NAME as DATABASE
from app.storage.files import (
    PRIVATE_FILE_MODE,
    make_private_folder,
    sync_folder,
)
from app.storage.images import FOLDER_NAME as IMAGES
from app.storage.secret_key import FILE_NAME as SECRET_KEY
from app.storage.signing_key import FILE_NAME as SIGNING_KEY
from app.storage.tinydb_users import FILE_NAME as USERS

MANIFEST = "manifest.json"
FORMAT = 1
CHUNK_BYTES = 2**20
MAX_MANIFEST_BYTES = 2**30
KEYS = (SECRET_KEY, SIGNING_KEY)
RECORDS = (USERS, f"{USERS}.journal", ANCHOR)
SINGLE_FILES = (DATABASE, *RECORDS, *KEYS)
PICTURE = re.compile(rf"{IMAGES}/[0-9a-f]{{2}}/[0-9a-f]{{32}}\.[a-z]{{1,16}}\.png")
DAMAGED = "This is not a backup of Veriscan, or it is damaged."


class BackupWriter:
    """Puts files into a backup that is being made, and notes their hashes."""

    def __init__(self, archive: tarfile.TarFile) -> None:
        self._archive = archive
        self._hashes: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        """Put in a file that is in memory."""
        self._put(name, io.BytesIO(data), len(data))
        self._hashes[name] = sha256(data).hexdigest()

    def add_file(self, name: str, path: Path) -> None:
        """Put in a large file that nobody changes meanwhile."""
        digest = sha256()
        with path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                digest.update(chunk)
            file.seek(0)
            self._put(name, file, path.stat().st_size)
        self._hashes[name] = digest.hexdigest()

    def finish(self, about: dict[str, Any]) -> None:
        """Put in the list of all files, at the end."""
        text = json.dumps({"format": FORMAT, **about, "sha256": self._hashes}, indent=1).encode()
        self._put(MANIFEST, io.BytesIO(text), len(text))

    def _put(self, name: str, file: Any, size_bytes: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = size_bytes, PRIVATE_FILE_MODE
        self._archive.addfile(member, file)


@contextmanager
def new_backup(path: Path) -> Iterator[BackupWriter]:
    """Make a backup under a path that is free; it is there as a whole or not at all.

    Raises:
        BackupError: It cannot be written, or there is a file already.
    """
    partial = path.with_name(f"{path.name}.partial")
    with _reported():
        if path.exists():
            raise BackupError("There is a file of this name already; a backup replaces none.")
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        try:
            descriptor = os.open(partial, flags, PRIVATE_FILE_MODE)
        except FileExistsError as error:
            raise BackupError(
                f"A backup to {path.name} is being made, or one was broken off: then remove "
                f"{partial.name}."
            ) from error
        try:
            with os.fdopen(descriptor, "wb") as file:
                with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
                    yield BackupWriter(archive)
                file.flush()
                os.fsync(file.fileno())
            os.link(partial, path)  # unlike a rename, it replaces nothing
        finally:
            partial.unlink(missing_ok=True)
        sync_folder(path.parent)


def restore_backup(path: Path, folder: Path) -> int:
    """Unpack a backup as a new data folder; return how many files there are.

    Nothing of it appears under the folder's name before every hash was found right.

    Args:
        path: Of the backup.
        folder: Empty, or not there.

    Raises:
        BackupError: The folder is not empty, or the backup is damaged or cannot be read.
    """
    partial = folder.with_name(f"{folder.name}.partial")
    with _reported():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise BackupError("The folder is not empty. Name one that is, or that does not exist.")
        if partial.exists():
            raise BackupError(f"An earlier restore was broken off: remove {partial.name} first.")
        make_private_folder(partial)
        try:
            hashes = _unpacked(path, partial)
            partial.rename(folder)
        except BaseException:
            _remove(partial)
            raise
        sync_folder(folder.parent)
    return len(hashes)


def _unpacked(path: Path, folder: Path) -> dict[str, str]:
    """Unpack all members, of which only names of ours are taken, and compare their hashes."""
    found: dict[str, str] = {}
    listed: dict[str, str] | None = None
    try:
        with tarfile.open(path, mode="r:") as archive:
            for member in archive:
                # A sparse file of a few bytes may unpack to more than any disk holds.
                is_file = member.isreg() and not member.issparse()
                file = archive.extractfile(member) if is_file else None
                if file is None or listed is not None or member.name in found:
                    raise BackupError(DAMAGED)
                if member.name == MANIFEST:
                    listed = _listed(file.read(MAX_MANIFEST_BYTES))
                else:
                    found[member.name] = _written(folder, member.name, file.read)
    except (tarfile.TarError, EOFError) as error:
        raise BackupError(DAMAGED) from error
    if found != listed or DATABASE not in found:
        raise BackupError(DAMAGED)
    return found


def _listed(text: bytes) -> dict[str, str]:
    try:
        manifest = json.loads(text)
        version, hashes = int(manifest["format"]), dict(manifest["sha256"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise BackupError(DAMAGED) from error
    if version > FORMAT:
        raise BackupError("A newer Veriscan made this backup. Restore it with that one.")
    return hashes


def _written(folder: Path, name: str, read: Callable[[int], bytes]) -> str:
    """Write a file of the backup into the folder; return its SHA-256."""
    if name not in SINGLE_FILES and not PICTURE.fullmatch(name):
        raise BackupError(DAMAGED)
    path = folder / name
    for parent in (path.parent.parent, path.parent):  # each made private, not only the last
        make_private_folder(parent)
    digest = sha256()
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(path, flags, PRIVATE_FILE_MODE), "wb") as file:
        while chunk := read(CHUNK_BYTES):
            digest.update(chunk)
            file.write(chunk)
        file.flush()
        os.fsync(file.fileno())
    return digest.hexdigest()


def _remove(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()


@contextmanager
def _reported() -> Iterator[None]:
    """Turn an error of the file system into one of ours."""
    try:
        yield
    except OSError as error:
        raise BackupError(f"A file cannot be read or written ({error.strerror}).") from error
