"""Which file each prepared scan was made from, so that another one is not taken for it."""

from hashlib import file_digest
from pathlib import Path

from training.data.raw import RawScan
from training.errors import OtherFileError
from training.json_lines import JsonLines


class Decoded:
    """The files that a data set was prepared from: a line of JSON each, image and SHA-256.

    Args:
        path: Of the list; its folder is the data set's.
    """

    def __init__(self, path: Path) -> None:
        self._folder = path.parent
        self._lines = JsonLines(path)
        self._known: dict[str, str] = dict(self._lines.read())
        self._hashes: dict[Path, str] = {}

    def remember(self, raw: RawScan, name: str, *, is_stored: bool) -> None:
        """Note the file of a scan; what was stored before there was a list is taken on trust.

        Args:
            raw: The scan as it was brought.
            name: Of the prepared image.
            is_stored: Whether that image is there already.

        Raises:
            OtherFileError: It is there, but was made from another file.
        """
        found = self._hash_of(raw.file)
        known = self._known.get(name)
        if is_stored and known not in (None, found):
            raise OtherFileError(raw.name, self._folder)
        if known != found:
            self._known[name] = found
            self._lines.add([name, found])

    def _hash_of(self, path: Path) -> str:
        """Return a file's SHA-256; a volume with many slices is read once."""
        if path not in self._hashes:
            with path.open("rb") as file:
                self._hashes[path] = file_digest(file, "sha256").hexdigest()
        return self._hashes[path]
