"""The networks. One file a family; each registers its builders, and files are discovered.

``build`` is the only way to make a network, for training and for serving alike.
"""

import importlib
import pkgutil
from collections.abc import Callable, Mapping
from functools import cache

from app.detection.architectures.base import Detector, DetectorOutput
from app.detection.card import ArchitectureSpec
from app.errors import (
    ArchitectureArgumentsError,
    DuplicateArchitectureError,
    UnknownArchitectureError,
)

__all__ = ["Detector", "DetectorOutput", "architectures", "build", "register"]

Builder = Callable[..., Detector]

_builders: dict[str, Builder] = {}


def register(name: str) -> Callable[[Builder], Builder]:
    """Register a builder under the name that configs and cards use.

    Raises:
        DuplicateArchitectureError: The name is taken.
    """

    def decorate(builder: Builder) -> Builder:
        if name in _builders:
            raise DuplicateArchitectureError(name)
        _builders[name] = builder
        return builder

    return decorate


@cache
def _discover() -> None:
    for module_info in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module_info.name}")


def architectures() -> Mapping[str, Builder]:
    """Return every registered builder by name, in alphabetical order."""
    _discover()
    return dict(sorted(_builders.items()))


def build(spec: ArchitectureSpec) -> Detector:
    """Build a network with fresh weights.

    Raises:
        UnknownArchitectureError: No builder has this name.
        ArchitectureArgumentsError: The builder refuses the arguments.
    """
    builders = architectures()
    if spec.name not in builders:
        raise UnknownArchitectureError(spec.name, known=tuple(builders))
    try:
        return builders[spec.name](**spec.arguments)
    except (TypeError, ValueError) as error:
        raise ArchitectureArgumentsError(spec.name, str(error)) from error
