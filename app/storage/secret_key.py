"""The key that signs sessions, made on the first start."""

import secrets
from pathlib import Path

from app.errors import StorageError
from app.storage.files import ProcessLock, write_atomically

FILE_NAME = "secret_key"
KEY_BYTES = 32


def load_or_make_secret_key(data_dir: Path) -> str:
    """Return the key kept in the data folder; the first of several processes makes it.

    Raises:
        StorageError: It cannot be read or written, or the file is empty.
    """
    path = data_dir / FILE_NAME
    with ProcessLock(data_dir / f"{FILE_NAME}.lock"):
        try:
            if not path.exists():
                write_atomically(path, secrets.token_urlsafe(KEY_BYTES).encode())
            key = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise StorageError(
                "The file secret_key in the data folder cannot be read or written. "
                "Check its permissions."
            ) from error
    if not key:
        # An empty key would let anybody sign a session.
        raise StorageError(
            "The file secret_key in the data folder is empty. Delete it and a new one is made; "
            "everybody then has to sign in again."
        )
    return key
