"""Text for the cells of a CSV file that somebody may open in a spreadsheet."""

import re

FORMULA_START = re.compile(r"(^|[;\t\r\n])(?=\s*[=+\-@＝＋－＠])")
"""Where a formula could begin: at the start of a cell, and at that of the next one for a
spreadsheet that, by the habit of its country, separates cells by semicolons."""


def defused(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: an apostrophe goes before each start.

    See https://owasp.org/www-community/attacks/CSV_Injection.
    """
    return FORMULA_START.sub(r"\1'", text)
