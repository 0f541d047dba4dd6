"""Pages in one file: layout, figures and pictures stand inside it, nothing comes from elsewhere.

A page is a Jinja2 template that extends ``page.html``, which brings the look for both light and
dark rooms. Figures are drawn in the colours named here; in the page each becomes a CSS variable, so
they follow the theme.
"""

import base64
import io
import re
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from training.runs import write_whole

LAYOUT_DIR = Path(__file__).parent

INK = "#0f191f"
SOFT = "#47555d"
LINE = "#d5dce0"
SURFACE = "#fefefe"
ACCENT = "#0a5a71"
REAL = "#12643f"
FAKE = "#a3221b"
UNSURE = "#7f4d00"
_VARIABLES = {
    INK: "--ink",
    SOFT: "--ink-soft",
    LINE: "--line",
    SURFACE: "--surface",
    ACCENT: "--accent",
    REAL: "--real",
    FAKE: "--fake",
    UNSURE: "--unsure",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",  # text stays text: small, searchable and in the page's own font
    "svg.hashsalt": "veriscan",  # the same figure gives the same file
    "font.size": 10,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.facecolor": SURFACE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
}


def write_page(path: Path, template: Path, **content: Any) -> None:
    """Fill a template that extends ``page.html`` and write it, whole or not at all.

    Args:
        path: Of the page; its folder is made where it is missing.
        template: A Jinja2 file. Values are escaped; figures are safe already.
        **content: What the template names. A name that it misses is an error.
    """
    loader = FileSystemLoader([template.parent, LAYOUT_DIR])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    text = environment.get_template(template.name).render(**content)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, text.encode())


def new_figure(width: float = 4.6, height: float = 3.4) -> tuple[Figure, Axes]:
    """Return an empty figure and its axes in the page's style; sides in inches."""
    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.grid(visible=True)
    return figure, axes


def figure_svg(figure: Figure, description: str) -> Markup:
    """Return a figure as an SVG element for the page.

    Args:
        figure: Made by ``new_figure``.
        description: What there is to see, in a sentence, for those who cannot see it. No two
            figures of a page may have the same.
    """
    buffer = io.StringIO()
    with rc_context(_STYLE):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    prefix = re.sub(r"\W+", "-", description.lower()).strip("-")
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", svg)
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    label = f'<svg role="img" aria-label="{escape(description)}" '
    return Markup(svg.replace("<svg ", label, 1))  # noqa: S704 - drawn here, description escaped


def picture_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image as a ``data:`` address.

    Args:
        pixels: 8-bit grey, shape ``[H, W]``, or RGB, shape ``[H, W, 3]``.
    """
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
