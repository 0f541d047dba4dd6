"""Encrypts scans at rest with keys that lie outside of the data folder, where that is wanted.

AES-256-GCM. An encrypted file begins with a mark and the number of its key; what does not begin so
is plain, as every file is where no key is configured. The name of a file is authenticated with it,
so that one scan cannot be put in the place of another.
"""

import base64
import binascii
import logging
import os
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.errors import SettingError, StorageError

SETTING = "VERISCAN_STORAGE_KEY_FILE"
MARK = b"\x00veriscan encrypted 1\x00"
KEY_BYTES = 32
KEY_ID_BYTES = 8
NONCE_BYTES = 12
HEADER_BYTES = len(MARK) + KEY_ID_BYTES

log = logging.getLogger(__name__)


class ScanCipher:
    """Encrypts with the first key of a file, and decrypts with any of them.

    A key file that changes is read again, so that a running server follows a rotation. One that
    can no longer be read leaves the keys as they were: the server goes on.

    Args:
        key_file: One key a line, each 32 bytes in Base64, the newest first; None encrypts nothing.

    Raises:
        SettingError: The file cannot be read, or holds no key or something else than keys.
    """

    def __init__(self, key_file: Path | None) -> None:
        self._key_file = key_file
        self._identity: tuple[int, ...] = ()
        self._keys: Mapping[bytes, AESGCM] = {}
        if key_file is not None:
            self._identity = _identity(key_file)
            self._keys = _read(key_file)

    @property
    def is_on(self) -> bool:
        """Whether what is written is encrypted."""
        return self._key_file is not None

    def sealed(self, name: str, data: bytes) -> bytes:
        """Return what is to be written to the file of this name."""
        keys = self._current_keys()
        if not keys:
            return data
        key_id, key = next(iter(keys.items()))
        nonce = os.urandom(NONCE_BYTES)
        header = MARK + key_id
        return header + nonce + key.encrypt(nonce, data, header + name.encode())

    def opened(self, name: str, stored: bytes) -> bytes:
        """Return what was sealed, or what is plain as it is.

        Raises:
            StorageError: Its key is not in the key file, or it was changed.
        """
        if not stored.startswith(MARK):
            return stored
        header, nonce = stored[:HEADER_BYTES], stored[HEADER_BYTES : HEADER_BYTES + NONCE_BYTES]
        key = self._current_keys().get(header[len(MARK) :])
        if key is None:
            raise StorageError(
                "The picture is encrypted with a key that this server does not have. Tell the "
                "administrator."
            )
        try:
            return key.decrypt(nonce, stored[HEADER_BYTES + NONCE_BYTES :], header + name.encode())
        except (InvalidTag, ValueError) as error:
            log.error("An encrypted picture was changed or is damaged.")
            raise StorageError("The picture is damaged. Tell the administrator.") from error

    def is_current(self, head: bytes) -> bool:
        """Return whether a file that begins so is as it would be written now."""
        keys = self._current_keys()
        if not keys:
            return not head.startswith(MARK)
        return head.startswith(MARK + next(iter(keys)))

    def _current_keys(self) -> Mapping[bytes, AESGCM]:
        if self._key_file is not None:
            try:
                identity = _identity(self._key_file)
                if identity != self._identity:
                    self._keys, self._identity = _read(self._key_file), identity
            except SettingError as error:
                log.error("The keys stay as they were. %s", error)
        return self._keys


def check_key_file(key_file: Path, data_dir: Path) -> None:
    """Check that a key file lies elsewhere than what it protects.

    Raises:
        SettingError: It lies in the data folder.
    """
    if key_file.resolve().is_relative_to(data_dir.resolve()):
        raise SettingError(
            SETTING, "put the key elsewhere: whoever has the data folder must not have it as well."
        )


def _identity(key_file: Path) -> tuple[int, ...]:
    try:
        status = key_file.stat()
    except OSError as error:
        raise _unreadable() from error
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


def _read(key_file: Path) -> dict[bytes, AESGCM]:
    try:
        lines = key_file.read_text(encoding="ascii").split()
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable() from error
    keys = {}
    for line in lines:
        try:
            key = base64.b64decode(line, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingError(
                SETTING,
                f"a line is no Base64 of {KEY_BYTES} bytes (openssl rand -base64 32).",
            )
        keys[sha256(key).digest()[:KEY_ID_BYTES]] = AESGCM(key)
    if not keys:
        raise SettingError(SETTING, "the file holds no key; make one with: openssl rand -base64 32")
    return keys


def _unreadable() -> SettingError:
    return SettingError(SETTING, "the file cannot be read by this server.")
