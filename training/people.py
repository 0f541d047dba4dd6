"""Whom something learned from, so that it is never judged on them.

A data set that is prepared anew, with another seed, other shares or more patients, has its sides
drawn anew; what was trained before stays where it is and would now meet its own training scans.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from training.data.manifest import Scan
from training.data.splits import COMPANION
from training.errors import LearnedFromError
from training.runs import write_whole

TEACHING = ("train", COMPANION)
PEOPLE_FILE = "people.txt"
HASH_LENGTH = 16


def remember_people(folder: Path, scans: Sequence[Scan]) -> None:
    """Add the people of the training side to those that are on file; only hashes are kept."""
    people = _known(folder) | {_hashed(s) for s in scans if s.side in TEACHING}
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / PEOPLE_FILE, "".join(f"{p}\n" for p in sorted(people)).encode())


def require_strangers(folder: Path, scans: Sequence[Scan]) -> None:
    """Make sure that nobody who taught what lies in a folder stands on another side by now.

    Nothing is known of what was trained before there was such a file.

    Raises:
        LearnedFromError: Somebody does.
    """
    known = _known(folder)
    for scan in scans:
        if scan.side not in TEACHING and _hashed(scan) in known:
            raise LearnedFromError(folder, scan.person, scan.side)


def _known(folder: Path) -> set[str]:
    path = folder / PEOPLE_FILE
    return set(path.read_text(encoding="utf-8").split()) if path.exists() else set()


def _hashed(scan: Scan) -> str:
    return sha256(scan.person.encode()).hexdigest()[:HASH_LENGTH]
