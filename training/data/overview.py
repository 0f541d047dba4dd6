"""A data set as a page for people: who stands where, what it looks like, what gives it away."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from app.detection.labels import Label
from training.config import DatasetConfig
from training.data.images import read_grey
from training.data.manifest import Scan, on_side, read_index
from training.data.modalities import trainable_modality
from training.data.prepare import unreadable_in
from training.data.probe import Finding, image_columns, probe
from training.data.splits import SIDES
from training.errors import StageMissingError
from training.html import FAKE, REAL, figure_svg, new_figure, picture_uri, write_page
from training.runs import DatasetPaths
from training.seeding import generator_for

TEMPLATE = Path(__file__).with_name("overview.html")
MOST_LOOKED_AT = 200
SHEET_ROWS, SHEET_COLUMNS, TILE_SIDE = 2, 8, 112
AUTHENTIC = "authentic"
LINES = ("-", "--", ":", "-.")
Grey = NDArray[np.float32]
Findings = dict[str, list[Finding]]
CAPTIONS = {
    "Grey values": "Of all pixels. Steps and peaks that one class alone has come from how it was "
    "stored or windowed.",
    "Mean of a scan": "A class that is brighter than the other is a shortcut, unless training "
    "evens it out.",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The scans of one source, or the fakes of one generator.

    Attributes:
        name: Of the source or the generator.
        is_fake: Which class.
        scans: All of them.
        sheet: Some of them as a ``data:`` address.
        sizes: Width × height, the commonest first.
    """

    name: str
    is_fake: bool
    scans: Sequence[Scan]
    sheet: str
    sizes: Sequence[tuple[str, int]]

    @property
    def by_side(self) -> list[tuple[int, int]]:
        """Number of scans and of patients on each side."""
        sides = [on_side(self.scans, side) for side in SIDES]
        return [(len(scans), len({scan.person for scan in scans})) for scans in sides]


def write_overview(config: DatasetConfig, paths: DatasetPaths) -> Path:
    """Write ``report.html`` beside a prepared data set, with the fakes that are there by now.

    Returns:
        Where it lies.

    Raises:
        StageMissingError: The data set is not prepared.
    """
    scans = _scans_of(config, paths)
    by_group = _groups(scans)
    shown = {key: _greys(_some(group)) for key, group in by_group.items()}
    by_class = _by_class(scans)
    figures = {name: (some, _greys(some)) for name, some in by_class.items()}
    groups = [
        Group(
            name=name,
            is_fake=is_fake,
            scans=group,
            sheet=picture_uri(_sheet(shown[is_fake, name])),
            sizes=_sizes(shown[is_fake, name]),
        )
        for (is_fake, name), group in by_group.items()
    ]
    page = paths.root / "report.html"
    write_page(
        page,
        TEMPLATE,
        config=config,
        spec=trainable_modality(config.modality),
        sides=SIDES,
        groups=groups,
        fakes=sum(scan.label is Label.FAKE for scan in scans),
        scans=len(scans),
        patients=len({scan.person for scan in scans if scan.label is Label.REAL}),
        unreadable=unreadable_in(paths),
        findings=_findings(figures),
        histograms=_histograms({name: greys for name, (_, greys) in figures.items()}),
    )
    return page


def _scans_of(config: DatasetConfig, paths: DatasetPaths) -> list[Scan]:
    if not paths.scans_index.exists():
        raise StageMissingError(f"python -m training prepare --dataset {config.name}")
    indexes = [paths.fakes_index(fakes.folder_name) for fakes in config.fakes]
    made = [scan for index in indexes if index.exists() for scan in read_index(index)]
    return read_index(paths.scans_index) + made


def _groups(scans: Sequence[Scan]) -> dict[tuple[bool, str], list[Scan]]:
    """Return authentic scans by source, then fakes by generator."""
    groups: dict[tuple[bool, str], list[Scan]] = defaultdict(list)
    for scan in scans:
        is_fake = scan.label is Label.FAKE
        groups[is_fake, scan.generator if is_fake else scan.source].append(scan)
    return dict(sorted(groups.items()))


def _by_class(scans: Sequence[Scan]) -> dict[str, list[Scan]]:
    """Return scans to compare: of all authentic training scans, and of each generator's fakes."""
    by_group = _groups(scans)
    reals = [s for (is_fake, _), group in by_group.items() if not is_fake for s in group]
    return {AUTHENTIC: _some(reals)} | {
        name: _some(group) for (is_fake, name), group in by_group.items() if is_fake
    }


def _some(scans: Sequence[Scan]) -> list[Scan]:
    """Return scans to look at, of the training side where there are any."""
    candidates = on_side(scans, "train") or list(scans)
    order = generator_for("overview", len(candidates)).permutation(len(candidates))
    return [candidates[i] for i in sorted(order[:MOST_LOOKED_AT])]


def _greys(scans: Sequence[Scan]) -> list[Grey]:
    return [read_grey(scan.path) for scan in scans]


def _findings(figures: Mapping[str, tuple[Sequence[Scan], Sequence[Grey]]]) -> Findings:
    """Return what tells the stored fakes of each generator from the authentic training scans."""
    rows = {name: [image_columns(grey) for grey in greys] for name, (_, greys) in figures.items()}
    reals, _ = figures[AUTHENTIC]
    return {
        name: probe(
            rows[AUTHENTIC] + rows[name],
            [False] * len(reals) + [True] * len(fakes),
            [scan.person for scan in [*reals, *fakes]],
        )
        for name, (fakes, _) in figures.items()
        if name != AUTHENTIC and reals
    }


def _histograms(greys: Mapping[str, Sequence[Grey]]) -> list[tuple[str, Markup, str]]:
    """Return figures of grey values and of brightness, each with its title and what it says."""
    drawings = []
    for title, of_each in (("Grey values", _histogram_of), ("Mean of a scan", _mean_of)):
        figure, axes = new_figure()
        for number, (name, group) in enumerate(greys.items()):
            if group:
                density, edges = of_each(group)
                axes.stairs(
                    density,
                    edges,
                    label=name,
                    color=REAL if name == AUTHENTIC else FAKE,
                    linestyle=LINES[number % len(LINES)],
                )
        axes.set_xlabel("0 is black, 1 is white")
        axes.set_ylabel("density")
        axes.legend()
        drawings.append(
            (title, figure_svg(figure, f"{title}, by class and generator"), CAPTIONS[title])
        )
    return drawings


def _histogram_of(greys: Sequence[Grey]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    counts = sum(np.histogram(grey, bins=64, range=(0, 1))[0] / grey.size for grey in greys) / len(
        greys
    )
    return np.asarray(counts) * 64, np.linspace(0, 1, 65)


def _mean_of(greys: Sequence[Grey]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    density, edges = np.histogram(
        [grey.mean() for grey in greys], bins=40, range=(0, 1), density=True
    )
    return density, edges


def _sizes(greys: Sequence[Grey]) -> list[tuple[str, int]]:
    return Counter(f"{grey.shape[1]} × {grey.shape[0]}" for grey in greys).most_common(3)


def _sheet(greys: Sequence[Grey]) -> NDArray[np.uint8]:
    """Return some scans side by side, uint8, each fitted into a tile."""
    shown = greys[:: max(1, len(greys) // (SHEET_ROWS * SHEET_COLUMNS))]
    shown = shown[: SHEET_ROWS * SHEET_COLUMNS]
    rows = -(-len(shown) // SHEET_COLUMNS)
    sheet = Image.new("L", (SHEET_COLUMNS * TILE_SIDE, rows * TILE_SIDE))
    for number, grey in enumerate(shown):
        tile = Image.fromarray(np.round(grey * 255).astype(np.uint8))
        tile.thumbnail((TILE_SIDE - 2, TILE_SIDE - 2))
        row, column = divmod(number, SHEET_COLUMNS)
        sheet.paste(tile, (column * TILE_SIDE + 1, row * TILE_SIDE + 1))
    return np.asarray(sheet)
