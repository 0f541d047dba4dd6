"""The colours of both themes can be told apart (WCAG 2.2, level AA)."""

import re
from pathlib import Path

import pytest

CSS = Path(__file__).parents[3] / "static" / "css"
TEXT, SHAPE = 4.5, 3.0
GROUNDS = ("canvas", "surface", "sunken")

PAIRS = [
    *((text, ground, TEXT) for text in ("ink", "ink-soft", "accent") for ground in GROUNDS),
    *((text, ground, TEXT) for text in ("real", "fake", "unsure", "none") for ground in GROUNDS),
    *((tone, f"{tone}-wash", TEXT) for tone in ("real", "fake", "unsure", "none")),
    *(("ink", f"{tone}-wash", TEXT) for tone in ("real", "fake", "unsure", "none", "accent")),
    ("ink-soft", "accent-wash", TEXT),
    ("on-accent", "accent", TEXT),
    ("on-accent", "accent-strong", TEXT),
    *(
        (text, ground, TEXT)
        for text in ("stage-ink", "stage-ink-soft", "stage-accent")
        for ground in ("stage", "stage-raised")
    ),
    ("stage-warning", "stage", TEXT),
    *(("line-strong", ground, SHAPE) for ground in GROUNDS),
    ("accent", "accent-wash", SHAPE),
]


def colours(*sheets: str) -> dict[str, str]:
    """Return the colour of each token; a later sheet replaces those of an earlier one."""
    text = "".join((CSS / f"{sheet}.css").read_text(encoding="utf-8") for sheet in sheets)
    return dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6});", text))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_is_that_of_the_guideline() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


@pytest.mark.parametrize("sheets", [("tokens",), ("tokens", "dark")], ids=["light", "dark"])
@pytest.mark.parametrize(("front", "ground", "least"), PAIRS)
def test_what_is_shown_stands_off_its_ground(
    front: str, ground: str, least: float, sheets: tuple[str, ...]
) -> None:
    found = colours(*sheets)

    assert contrast(found[front], found[ground]) >= least


def test_only_the_tokens_name_colours() -> None:
    sheets = {path.stem for path in CSS.glob("*.css")} - {"tokens", "dark"}

    named = {s: re.findall(r"#[0-9a-f]{3,8}\b", (CSS / f"{s}.css").read_text()) for s in sheets}

    assert not {sheet: found for sheet, found in named.items() if found}
