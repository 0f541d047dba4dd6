"""The anchor of the audit trail: number and hash of its newest event, sealed, in a file."""

import hmac
import json
from hashlib import sha256
from pathlib import Path

from app.errors import AnchorInvalidError, StorageError
from app.storage.files import replace_atomically, write_atomically

FILE_NAME = "audit_anchor.json"
PURPOSE = b"veriscan audit anchor"


class AnchorFile:
    """Keeps the anchor, so that only a holder of the server's key can make one.

    Args:
        data_dir: Folder that exists.
        secret_key: Of the server; a key of its own is derived from it.
    """

    def __init__(self, data_dir: Path, secret_key: str) -> None:
        self._path = data_dir / FILE_NAME
        self._key = hmac.digest(secret_key.encode(), PURPOSE, "sha256")

    def read(self) -> tuple[int, str] | None:
        """Return number and hash of the event that was anchored last, or None if none was.

        Raises:
            AnchorInvalidError: The file is damaged, or its seal is not of this key.
            StorageError: It cannot be read.
        """
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StorageError(
                f"The file {FILE_NAME} in the data folder cannot be read ({error.strerror}). "
                "Check its permissions."
            ) from error
        try:
            found = json.loads(text)
            anchor = int(found["sequence"]), str(found["hash"])
            seal = str(found["seal"])
        except (ValueError, TypeError, KeyError) as error:
            raise AnchorInvalidError from error
        if not hmac.compare_digest(seal.encode(), self._seal(anchor).encode()):
            raise AnchorInvalidError
        return anchor

    def write(self, anchor: tuple[int, str]) -> None:
        """Put an anchor in place of the last one.

        Raises:
            StorageError: It cannot be written; the last one is still there.
        """
        sequence, event_hash = anchor
        content = {"sequence": sequence, "hash": event_hash, "seal": self._seal(anchor)}
        # A power cut may bring the anchor before back, which is right as well: but not none.
        write = replace_atomically if self._path.exists() else write_atomically
        try:
            write(self._path, json.dumps(content).encode())
        except OSError as error:
            raise StorageError(
                f"The file {FILE_NAME} in the data folder cannot be written ({error.strerror}). "
                "Check its permissions and the free space."
            ) from error

    def settlement(self, last: tuple[int, str]) -> str:
        """Return what says, under this key, that the trail is right up to its present last event.

        It is no seal of an anchor, so that none of those can be put in its place.
        """
        return self._seal(last, "settled:")

    def _seal(self, anchor: tuple[int, str], purpose: str = "") -> str:
        sequence, event_hash = anchor
        text = f"{purpose}{sequence}:{event_hash}"
        return hmac.new(self._key, text.encode(), sha256).hexdigest()
