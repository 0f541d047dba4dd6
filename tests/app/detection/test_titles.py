"""Titles in place of slugs."""

import json
from pathlib import Path

import pytest

from app.detection.titles import TITLES, heading_of_data, title_of_data, with_titles

WEIGHTS = Path(__file__).parents[3] / "weights"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("siim_tcga", "SIIM/TCGA DICOM files"),
        ("source siim_tcga, never fitted", "SIIM/TCGA DICOM files, never fitted"),
        ("fakes of classical_edits", "photo-editor edits"),
        ("dcgan (made here)", "whole scans drawn by a DCGAN (made here)"),
        ("brain_mri (to be stopped)", "brain MRI (to be stopped)"),
        ("authentic scans", "authentic scans"),
        ("a_new_one", "a new one"),
        ("fakes of a_new_one, never fitted", "fakes of a new one, never fitted"),
        ("drawn: cloudy_noise", "drawn: cloudy noise"),
        ("", ""),
    ],
)
def test_a_slug_is_given_its_title_or_made_readable(name: str, title: str) -> None:
    assert title_of_data(name) == title


def test_a_title_that_stands_alone_begins_with_a_capital() -> None:
    assert heading_of_data("classical_edits") == "Photo-editor edits"
    assert heading_of_data("") == ""


def test_a_sentence_keeps_every_word_that_is_not_a_slug() -> None:
    sentence = "The figure for ctgan; a diffusion model; ctgan_imitation_2; oai_chen2018."

    assert with_titles(sentence) == (
        "The figure for CT-GAN attacks; a diffusion model; ctgan_imitation_2; "
        "Osteoarthritis Initiative (Chen 2018)."
    )


def test_everything_that_the_published_cards_name_has_a_title() -> None:
    cards = [json.loads(path.read_text()) for path in WEIGHTS.glob("*/*.json")]
    named = {source["name"].partition(" ")[0] for card in cards for source in card["data"]}

    assert named
    assert named - TITLES.keys() - {"ultrasound"} == set()
