"""Puts as many analyses into a store as years of use would, in seconds.

They are rows alone, or rows with a picture that all of them share; nothing is judged.
"""

import hashlib
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import sqlalchemy as sa

from app.storage.database import ANALYSES, Database
from app.storage.folding import STUDIES, STUDY_SLICES, fold
from app.storage.images import FAN_OUT_CHARACTERS, FOLDER_NAME, Picture
from app.storage.notes import NOTES, TAGS, WORDS

NEWEST = datetime(2025, 6, 20, 12, tzinfo=UTC)
APART = timedelta(minutes=7)
ROWS_AT_ONCE = 5000
SEEDS = UUID(int=7)

MODALITIES = ("lung_ct", "lung_ct", "knee_xray")
VERDICTS = (("fake", 0.97), ("real", 0.02), ("inconclusive", 0.5), ("real", 0.04), ("real", 0.1))


def analysis_rows(user_id: UUID, count: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of a user's analyses, newest first; the same each time."""
    for number, modality in zip(range(count), cycle(MODALITIES), strict=False):
        verdict, score = VERDICTS[number % len(VERDICTS)]
        created = NEWEST - number * APART
        yield {
            "id": uuid5(SEEDS, f"{user_id}{number}"),
            "user_id": user_id,
            "modality": modality,
            "status": "done",
            "created": created,
            "finished": created,
            "image_sha256": hashlib.sha256(f"{number}".encode()).hexdigest(),
            "image_format": "DICOM",
            "width": 512,
            "height": 512,
            "declared_synthetic": False,
            "verdict": verdict,
            "probability_fake": score + number * 1e-7,
            "threshold": 0.5,
            "band_low": 0.3,
            "band_high": 0.7,
            "reasons": ["Drawn for a test."],
            "weights_name": "tiny",
            "weights_sha256": "b" * 64,
            "device": "cpu",
            "inference_ms": 40.0,
        }


def fill(database: Database, user_id: UUID, count: int, *, noted: int = 0) -> list[UUID]:
    """Insert analyses of a user; the ``noted`` newest have a note and a tag.

    Each note says ``common``, every hundredth one ``seldom`` as well; the tags are ``ward 0`` to
    ``ward 9``.

    Returns:
        Their ids, newest first.
    """
    rows = analysis_rows(user_id, count)
    ids: list[UUID] = []
    with database.writing() as connection:
        while chunk := list(islice(rows, ROWS_AT_ONCE)):
            connection.execute(ANALYSES.insert(), chunk)
            ids += [row["id"] for row in chunk]
        if noted:
            _note(connection, user_id, ids[:noted])
    return ids


def gather(database: Database, *groups: list[UUID]) -> list[UUID]:
    """Make a study of each group of a user's analyses; its first slice is the last of them.

    Returns:
        The ids of the studies.
    """
    with database.writing() as connection:
        return [_gather(connection, ids) for ids in groups]


def _gather(connection: sa.Connection, ids: list[UUID]) -> UUID:
    some = connection.execute(sa.select(ANALYSES).where(ANALYSES.c.id == ids[0])).one()
    study_id = uuid5(SEEDS, f"study of {ids[0]}")
    study = {"id": study_id, "user_id": some.user_id, "modality": some.modality}
    study |= {"created": some.created, "upload_id": study_id, "series": "1.2.3"}
    connection.execute(STUDIES.insert().values(study))
    slices = [
        {"analysis_id": each, "study_id": study_id, "number": number, "position": float(number)}
        for number, each in enumerate(reversed(ids), 1)
    ]
    connection.execute(STUDY_SLICES.insert(), slices)
    of_one_kind = ANALYSES.update().where(ANALYSES.c.id.in_(ids)).values(modality=some.modality)
    connection.execute(of_one_kind)
    fold(connection, study_id, ids)
    return study_id


def _note(connection: Any, user_id: UUID, ids: list[UUID]) -> None:
    notes, tags, words = [], [], []
    for number, analysis_id in enumerate(ids):
        text = ("common", "seldom") if number % 100 == 0 else ("common",)
        notes.append({"analysis_id": analysis_id, "text": " ".join(text)})
        tag = {"analysis_id": analysis_id, "tag": f"ward {number % 10}", "user_id": user_id}
        tags.append(tag)
        words += [
            {"analysis_id": analysis_id, "word": word, "user_id": user_id}
            for word in (*text, "ward", str(number % 10))
        ]
    for table, rows in ((NOTES, notes), (TAGS, tags), (WORDS, words)):
        connection.execute(table.insert(), rows)


def give_pictures(data_dir: Path, ids: list[UUID], png: bytes) -> None:
    """Give analyses one picture for all of theirs, as links to a single file."""
    root = data_dir / FOLDER_NAME
    original = root / f"{ids[0].hex}.png"
    original.write_bytes(png)
    for analysis_id in ids:
        folder = root / analysis_id.hex[:FAN_OUT_CHARACTERS]
        folder.mkdir(mode=0o700, exist_ok=True)
        for picture in Picture:
            os.link(original, folder / f"{analysis_id.hex}.{picture.value}.png")
