"""The description of a modality, and the lookup over all of them.

A modality is one file in ``app/detection/modalities/`` that defines ``SPEC``.
"""

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from app.errors import DuplicateModalityError, UnknownModalityError


@dataclass(frozen=True, slots=True)
class Window:
    """A display window for computed tomography.

    Attributes:
        center: Middle of the window, in Hounsfield units (HU).
        width: Extent of the window, in HU; values outside are clipped.
    """

    center: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModalitySpec:
    """A kind of scan that can be judged.

    Attributes:
        key: Name in URLs, folders and cards, such as ``lung_ct``.
        title: Name for people, such as ``Lung CT``.
        noun: The scan in a sentence, such as ``lung CT slice``.
        summary: One sentence on what to upload.
        window: The window applied to DICOM files in Hounsfield units; None where the file's own
            VOI LUT or its full range is used.
    """

    key: str
    title: str
    noun: str
    summary: str
    window: Window | None = None


@cache
def modalities() -> Mapping[str, ModalitySpec]:
    """Return every known modality by key, in alphabetical order.

    Raises:
        DuplicateModalityError: Two files define the same key.
    """
    from app.detection import modalities as package

    found: dict[str, ModalitySpec] = {}
    for module_info in sorted(pkgutil.iter_modules(package.__path__), key=lambda m: m.name):
        module = importlib.import_module(f"{package.__name__}.{module_info.name}")
        spec: ModalitySpec = module.SPEC
        if spec.key in found:
            raise DuplicateModalityError(spec.key)
        found[spec.key] = spec
    return MappingProxyType(found)


def modality(key: str) -> ModalitySpec:
    """Return the modality called ``key``.

    Raises:
        UnknownModalityError: There is none of that name.
    """
    try:
        return modalities()[key]
    except KeyError:
        raise UnknownModalityError(key, known=tuple(modalities())) from None
