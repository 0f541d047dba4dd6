import base64
import io
import re
from pathlib import Path

import jinja2
import numpy as np
import pytest
from PIL import Image

from training.html import ACCENT, FAKE, figure_svg, new_figure, picture_uri, write_page


def a_template(folder: Path, content: str) -> Path:
    template = folder / "template.html"
    blocks = (
        f"{{% block title %}}A title{{% endblock %}}{{% block content %}}{content}{{% endblock %}}"
    )
    template.write_text(f'{{% extends "page.html" %}}{blocks}', encoding="utf-8")
    return template


def test_a_page_is_its_template_within_the_layout(tmp_path: Path) -> None:
    template = a_template(tmp_path, "<p>{{ greeting }}</p>")

    write_page(tmp_path / "new" / "page.html", template, greeting="Good day & more")

    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "<title>A title</title>" in page
    assert "<p>Good day &amp; more</p>" in page
    assert "prefers-color-scheme: dark" in page
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["page.html"]


def test_a_name_that_is_missing_is_an_error_and_leaves_no_page(tmp_path: Path) -> None:
    template = a_template(tmp_path, "{{ gretting }}")

    with pytest.raises(jinja2.UndefinedError, match="gretting"):
        write_page(tmp_path / "page.html", template, greeting="Hello")

    assert not (tmp_path / "page.html").exists()


def a_drawing(description: str = "A line") -> str:
    figure, axes = new_figure()
    axes.plot([0, 1], [0, 1], color=ACCENT)
    axes.axvspan(0.2, 0.4, color=FAKE)
    axes.set_xlabel("share of scans")
    return str(figure_svg(figure, description))


def test_a_figure_takes_its_colours_from_the_page() -> None:
    svg = a_drawing()

    assert "var(--accent)" in svg
    assert "var(--fake)" in svg
    assert not re.search(r"#[0-9a-f]{6}\b(?=;|\")", svg)


def test_a_figure_says_what_it_shows_and_its_text_stays_text() -> None:
    svg = a_drawing('Fakes "and" more')

    assert svg.startswith("<svg ")
    assert 'role="img" aria-label="Fakes &#34;and&#34; more"' in svg
    assert "share of scans</text>" in svg


def test_figures_of_one_page_share_no_ids() -> None:
    first, second = (set(re.findall(r'\bid="([^"]+)"', a_drawing(d))) for d in ("One", "Two"))

    assert first
    assert first.isdisjoint(second)


def test_every_reference_within_a_figure_has_its_end() -> None:
    svg = a_drawing()

    ids = set(re.findall(r'\bid="([^"]+)"', svg))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg)) <= ids


def test_the_same_figure_gives_the_same_text() -> None:
    assert a_drawing() == a_drawing()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)])
def test_a_picture_comes_back_from_its_address(shape: tuple[int, ...]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)

    kind, _, data = picture_uri(pixels).partition(",")

    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
