"""The audit page knows by name, and can be filtered for, whatever the application records."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from app.config import ROOT
from app.services.audit import ANCHOR_LOST, REANCHORED
from app.web.admin.audit_rows import ACTIONS, GROUPS, WARNINGS

ACTION = re.compile(r"[a-z_]+\.[a-z_]+")
OF_THE_TRAIL_ITSELF = {ANCHOR_LOST, REANCHORED}


def constants(tree: ast.AST) -> Iterator[str]:
    """Yield the words in a piece of code that have the form of an action."""
    for node in ast.walk(tree):
        text = node.value if isinstance(node, ast.Constant) else None
        if isinstance(text, str) and ACTION.fullmatch(text):
            yield text


def is_recording(call: ast.Call) -> bool:
    """Return whether this is ``….audit.record(…)`` or ``…._audit.record(…)``."""
    function = call.func
    return (
        isinstance(function, ast.Attribute)
        and function.attr == "record"
        and ast.unparse(function.value).endswith("audit")
    )


def recorded_in(path: Path) -> set[str]:
    """Return the actions that a file records; where one is a variable, all that it names."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found: set[str] = set()
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and is_recording(call):
            named = set(constants(call.args[0])) or set(constants(tree))
            assert named, f"{path}:{call.lineno}: which action is recorded here?"
            found |= named
    return found


def test_every_recorded_action_can_be_looked_for() -> None:
    recorded = OF_THE_TRAIL_ITSELF.union(*map(recorded_in, (ROOT / "app").rglob("*.py")))

    assert recorded == set(ACTIONS)
    assert {action.split(".")[0] + "." for action in recorded} == set(GROUPS)
    assert set(WARNINGS) <= recorded
