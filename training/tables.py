"""Tables that read well as plain text and as Markdown, and are the same on every run."""

from collections.abc import Sequence

from app.detection.card import Estimate

NOTHING = "–"


def markdown_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table whose columns line up, with a final newline."""
    lines = [list(head), *(list(row) for row in rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(head))]
    lines.insert(1, ["-" * width for width in widths])
    return "".join(
        "| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |\n"
        for line in lines
    )


def figure_text(figure: Estimate, *, signed: bool = False) -> str:
    """Return a figure with its interval, or a dash where it is undefined.

    Args:
        figure: To three decimal places.
        signed: Whether a plus stands before what is positive, as in differences.
    """
    if figure.value is None:
        return NOTHING
    sign = "+" if signed else ""
    if figure.low is None or figure.high is None:
        return f"{figure.value:{sign}.3f}"
    middle = " to " if signed else "–"
    return f"{figure.value:{sign}.3f} ({figure.low:{sign}.3f}{middle}{figure.high:{sign}.3f})"


def p_value_text(p_value: float | None) -> str:
    """Return a p-value to two significant places, or a dash where it is undefined."""
    if p_value is None:
        return NOTHING
    return "< 0.001" if p_value < 0.001 else f"{p_value:.2g}"
