"""Who may import whom, and the checker that finds where a source does not keep to it."""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]

# Only these parts of app.detection use torch, which takes seconds and hundreds of megabytes to
# load. app.services and app.storage do without it, and so may not use them.
TORCH_DETECTION = (
    "app.detection.architectures",
    "app.detection.gate",
    "app.detection.preprocessing",
    "app.detection.weights",
)
TORCH_FREE_DETECTION = tuple(
    name
    for path in sorted((ROOT / "app" / "detection").glob("[!_]*"))
    if (name := f"app.detection.{path.stem}") not in TORCH_DETECTION
)
IMAGES = frozenset({"PIL", "imagecodecs", "numpy", "pydicom"})
WEB = frozenset({"flask", "flask_login", "flask_wtf", "markupsafe", "werkzeug", "wtforms"})

IMPORTS = (ast.Import, ast.ImportFrom)

# A pickle runs code when it is read; nothing of ours is one.
FORBIDDEN_STANDARD_LIBRARY = frozenset({"dbm", "marshal", "pickle", "shelve"})


@dataclass(frozen=True)
class Rule:
    """What a package or module may import besides the standard library.

    Attributes:
        package: Its dotted name; the rule with the longest fitting name counts.
        ours: Packages and modules of this project, with everything below them; itself always.
        third_party: Names as in ``import name``; None where its requirements alone decide.
    """

    package: str
    ours: tuple[str, ...] = ()
    third_party: frozenset[str] | None = field(default_factory=frozenset)


RULES = (
    # Everything starts here: these wire the parts together.
    Rule("wsgi", ours=("app.factory", "app.config", "app.errors")),
    Rule("app.factory", ours=("app",), third_party=WEB),
    Rule("app.cli", ours=("app",), third_party=WEB | {"click"}),
    Rule("app.operations", ours=("app",), third_party=WEB | {"click"}),
    Rule("app.logs"),
    Rule(
        "app.gunicorn_conf",
        ours=("app.config", "app.errors", "app.logs"),
        third_party=frozenset({"gunicorn"}),
    ),
    # What all parts know.
    Rule("app"),
    Rule("app.config", ours=("app.errors",)),
    Rule("app.errors"),
    Rule("app.records", ours=("app.detection.labels", "app.detection.verdict", "app.errors")),
    # The parts, from the outside to the inside.
    Rule(
        "app.web",
        ours=(
            "app.config",
            "app.detection.card",
            "app.detection.gate_card",
            "app.detection.labels",
            "app.detection.reasons",
            "app.detection.spec",
            "app.detection.titles",
            "app.detection.verdict",
            "app.engine.protocol",
            "app.errors",
            "app.logs",
            "app.records",
            "app.services",
        ),
        third_party=WEB | {"prometheus_client"},
    ),
    Rule(
        "app.services",
        ours=(
            *TORCH_FREE_DETECTION,
            "app.config",
            "app.engine.protocol",
            "app.errors",
            "app.records",
            "app.storage",
        ),
        third_party=frozenset(
            {"PIL", "cryptography", "fpdf", "numpy", "pyotp", "rfc8785", "segno", "werkzeug"}
        ),
    ),
    Rule(
        "app.storage",
        ours=("app.detection.labels", "app.detection.verdict", "app.errors", "app.records"),
        third_party=frozenset({"cryptography", "sqlalchemy", "tinydb"}),
    ),
    Rule(
        "app.engine",
        # Of the storage only how a file is written whole.
        ours=("app.detection", "app.errors", "app.storage.files"),
        third_party=frozenset({"numpy", "onnxruntime", "openvino", "torch"}),
    ),
    Rule(
        "app.engine.protocol",
        ours=("app.detection.card", "app.detection.gate_card", "app.detection.verdict"),
        third_party=frozenset({"numpy"}),
    ),
    Rule("app.detection", ours=("app.errors",), third_party=IMAGES),
    *(
        Rule(
            module,
            ours=("app.detection", "app.errors"),
            third_party=IMAGES | {"efficientnet_pytorch", "safetensors", "torch", "torchvision"},
        )
        for module in TORCH_DETECTION
    ),
    *(
        Rule(module, ours=(*TORCH_FREE_DETECTION, "app.errors"), third_party=IMAGES)
        for module in TORCH_FREE_DETECTION
    ),
    # Detectors are measured by what serves them.
    Rule("training", ours=("app.detection", "app.engine", "app.errors"), third_party=None),
)


# --- the checker ----------------------------------------------------------------------------


def module_name(path: Path) -> str:
    """Return the dotted name of a file below the root."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def source_files(*folders: str) -> list[Path]:
    """Return every Python file in these folders of the root."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@cache
def our_modules() -> frozenset[str]:
    """Return every module and package of the application."""
    return frozenset(map(module_name, source_files("app")))


def is_within(module: str, package: str) -> bool:
    """Whether a module is a package or lies in it."""
    return module == package or module.startswith(f"{package}.")


def rule_for(module: str) -> Rule:
    """Return the most specific rule for a module."""
    fitting = [rule for rule in RULES if is_within(module, rule.package)]
    return max(fitting, key=lambda rule: len(rule.package))


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and dotted name of everything that a source imports, at any depth in it.

    ``from a.b import c`` gives ``a.b.c``, whether ``c`` is a module or a name in one.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = "." * node.level + (node.module or "")
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def modules_imported(source: str) -> Iterator[str]:
    """Yield the modules of ours that have to be there for a source to be imported.

    These are what it names at its top level; an import within a function comes later.
    """
    for node in ast.parse(source).body:
        for _, name in imported(ast.unparse(node)) if isinstance(node, IMPORTS) else ():
            yield name if name in our_modules() else name.rpartition(".")[0]


def problem_with(module: str, name: str) -> str | None:
    """Say why a module may not import a name; None if it may."""
    rule = rule_for(module)
    top = name.partition(".")[0]
    if not top:
        return "is a relative import; write the full name"
    if top in sys.stdlib_module_names:
        is_allowed = top not in FORBIDDEN_STANDARD_LIBRARY or not is_within(module, "app")
        return None if is_allowed else "reads objects that run code; use JSON or safetensors"
    if top in ("app", "training", "tests", "wsgi"):
        allowed: tuple[str, ...] = (rule.package, *rule.ours)
        is_allowed = any(is_within(name, package) for package in allowed)
    else:
        allowed = tuple(sorted(rule.third_party or ()))
        is_allowed = rule.third_party is None or top in allowed
    if is_allowed:
        return None
    return f"is not open to {rule.package}; open are {', '.join(allowed) or 'none'}"


def problems(module: str, source: str) -> list[str]:
    """Return a sentence for each import in a source that the rules forbid."""
    return [
        f"{module}, line {line}: {name} {problem}"
        for line, name in imported(source)
        if (problem := problem_with(module, name))
    ]


def required(*files: str) -> set[str]:
    """Return the names of the distributions in requirements files, in lower case."""
    lines = "\n".join((ROOT / file).read_text(encoding="utf-8") for file in files)
    return {plain(name) for name in re.findall(r"^([\w.-]+)==", lines, flags=re.MULTILINE)}


def plain(distribution: str) -> str:
    """Return the name of a distribution in the spelling that all of its spellings share."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
