from collections.abc import Iterator
from pathlib import Path

import pytest

from app.detection import modalities as package
from app.detection.spec import modalities, modality
from app.errors import DuplicateModalityError, UnknownModalityError

NEW_MODALITY = '''"""A modality that is one file."""

from app.detection.spec import ModalitySpec

SPEC = ModalitySpec(key="{key}", title="Brain MRI", noun="brain MRI", summary="One slice.")
'''


@pytest.fixture
def extra_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A second folder whose files are discovered as modalities."""
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    modalities.cache_clear()
    yield tmp_path
    modalities.cache_clear()


def test_lung_ct_and_knee_x_ray_are_known() -> None:
    assert list(modalities()) == ["knee_xray", "lung_ct"]
    assert modality("lung_ct").title == "Lung CT"


def test_every_modality_is_described_for_people_and_fit_for_urls() -> None:
    for key, spec in modalities().items():
        assert key == spec.key
        assert key.replace("_", "").isalnum()
        assert key.islower()
        assert spec.title
        assert spec.noun
        assert spec.summary.endswith(".")


def test_a_new_modality_is_one_file(extra_folder: Path) -> None:
    (extra_folder / "brain_mri_for_test.py").write_text(NEW_MODALITY.format(key="brain_mri"))

    assert modality("brain_mri").title == "Brain MRI"
    assert list(modalities()) == ["brain_mri", "knee_xray", "lung_ct"]


def test_two_files_of_one_modality_are_an_error(extra_folder: Path) -> None:
    (extra_folder / "lung_ct_again_for_test.py").write_text(NEW_MODALITY.format(key="lung_ct"))

    with pytest.raises(DuplicateModalityError, match="lung_ct"):
        modalities()


def test_an_unknown_modality_is_named_along_with_the_known_ones() -> None:
    with pytest.raises(UnknownModalityError, match=r"'toe'.*knee_xray, lung_ct"):
        modality("toe")


def test_the_lookup_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        modalities()["toe"] = modality("lung_ct")  # type: ignore[index]  # that it cannot be set
