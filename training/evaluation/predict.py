"""What a detector says of each scan of a manifest, through what serves it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from app.detection.card import Card
from app.detection.decoding import decode_single
from app.detection.weights import LoadedDetector
from app.errors import UploadError
from training.data.manifest import LABEL_NAMES, Scan
from training.data.modalities import trainable_modality
from training.errors import ManifestError
from training.evaluation.journal import Journal
from training.evaluation.localisation import AnnotationError, localise
from training.evaluation.prediction_file import Prediction
from training.evaluation.runtime import Runtime
from training.fakes.sites import SITES_OF_MODALITY

Variation = Callable[[NDArray[np.float32], str], NDArray[np.float32]]
"""From a scan's grey values and its path, on which chance may depend, to other grey values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A scan that could not be judged, or an edit that could not be compared with the evidence.

    Attributes:
        path: As in the manifest, relative to its folder.
        reason: What is wrong, in a sentence.
        is_judged: Whether it was judged all the same: only its mask or centre is of no use.
    """

    path: str
    reason: str
    is_judged: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What became of the scans of a manifest."""

    rows: list[Prediction]
    skipped: list[Skipped]


def judge(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    manifest: Path,
    *,
    variations: Mapping[str, Variation] | None = None,
    task: str = "judging",
    journal: Path | None = None,
) -> Judged:
    """Judge scans through the same decoder, transform and network that serve.

    On a CPU each of its threads reads scans of its own. A damaged image is skipped, with its
    reason, and the rest is judged.

    Args:
        detector: The network and its card.
        scans: What to judge.
        manifest: The file that names them; paths are given relative to its folder.
        variations: What is done to the decoded scan before it is judged, by name; nothing where
            None. Each gives a row. Edits are looked for only where nothing was done.
        task: Name of the progress bar.
        journal: Folder of what was said before, and of what is said now; nothing is kept where
            None.
    """
    runtime = Runtime(detector, scans=len(scans) * len(variations or ("as it is",)))
    judge_one = partial(_judge_one, runtime, detector.card, manifest, variations)
    if journal is not None:
        known = Journal(journal, detector.card, runtime.name)
        judge_one = partial(_judge_once, known, judge_one, tuple(variations or ()))
    with _threads_for(detector) as map_over:
        judged = list(tqdm(map_over(judge_one, scans), task, total=len(scans), unit="scan"))
    return Judged(
        rows=[row for one in judged for row in one.rows],
        skipped=[skipped for one in judged for skipped in one.skipped],
    )


def _judge_once(
    journal: Journal, judge_one: Callable[[Scan], Judged], variations: Sequence[str], scan: Scan
) -> Judged:
    key = journal.key(scan, variations)
    if (rows := journal.rows(key)) is not None:
        return Judged(rows=rows, skipped=[])
    judged = judge_one(scan)
    if not judged.skipped:
        journal.add(key, judged.rows)
    return judged


def _judge_one(
    runtime: Runtime,
    card: Card,
    manifest: Path,
    variations: Mapping[str, Variation] | None,
    scan: Scan,
) -> Judged:
    path = below(manifest, scan)
    try:
        spec = trainable_modality(card.modality)
        grey = decode_single(scan.path.read_bytes(), spec).grey
    except (UploadError, OSError) as error:
        return Judged(rows=[], skipped=[Skipped(path=path, reason=str(error))])
    if variations is None:
        row, problem = _row(runtime, card, scan, grey, path)
        skipped = [Skipped(path=path, reason=problem, is_judged=True)] if problem else []
        return Judged(rows=[row], skipped=skipped)
    without_edit = replace(scan, mask="", x="", y="")
    rows = [
        replace(_row(runtime, card, without_edit, vary(grey, path), path)[0], variation=name)
        for name, vary in variations.items()
    ]
    return Judged(rows=rows, skipped=[])


@contextmanager
def _threads_for(detector: LoadedDetector) -> Iterator[Callable[..., Iterable[Judged]]]:
    """Give a ``map`` that works on all threads of the CPU, in order; elsewhere the usual one."""
    threads = torch.get_num_threads()
    on_cpu = all(not tensor.is_cuda for tensor in detector.network.parameters())
    if not on_cpu or threads == 1:
        yield map
        return
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(threads)


def predict(
    detector: LoadedDetector,
    scans: Sequence[Scan],
    manifest: Path,
    *,
    task: str = "judging",
    journal: Path | None = None,
) -> list[Prediction]:
    """Judge scans as ``judge`` does, where each of them must be readable.

    Raises:
        ManifestError: An image cannot be decoded, or a mask cannot be used.
    """
    judged = judge(detector, scans, manifest, task=task, journal=journal)
    refuse_skipped(judged, manifest)
    return judged.rows


def refuse_skipped(judged: Judged, manifest: Path) -> None:
    """Make sure that every scan was judged and every edit compared with the evidence.

    Raises:
        ManifestError: One was not.
    """
    for skipped in judged.skipped:
        raise ManifestError(manifest, f"{skipped.path}: {skipped.reason}")


def _row(
    runtime: Runtime, card: Card, scan: Scan, grey: NDArray[np.float32], path: str
) -> tuple[Prediction, str]:
    """Return the row of a scan, and what is wrong with the annotation of its edit, if anything."""
    logit, evidence = runtime.look(grey)
    point = card.operating_point
    probability = point.probability(logit)
    height, width = grey.shape
    finder = SITES_OF_MODALITY.get(card.modality)  # elsewhere there is no patch AUC
    find_sites = partial(finder, grey) if finder else None
    problem = ""
    try:
        found = localise(scan, evidence, (height, width), point, find_sites)
    except AnnotationError as error:
        found = localise(replace(scan, mask="", x="", y=""), evidence, (height, width), point)
        problem = str(error)
    row = Prediction(
        path=path,
        label=LABEL_NAMES[scan.label],
        source=scan.source,
        generator=scan.generator,
        person=scan.person,
        logit=logit,
        probability=probability,
        verdict=point.verdict(probability).value,
        tamper=scan.tamper,
        width=width,
        height=height,
        **asdict(found),
    )
    return row, problem


def below(manifest: Path, scan: Scan) -> str:
    """Return a scan's path relative to the folder of its manifest; absolute if it is elsewhere."""
    if scan.path.is_relative_to(manifest.parent):
        return str(scan.path.relative_to(manifest.parent))
    return str(scan.path)
