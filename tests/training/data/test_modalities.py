import pytest

from app.detection.spec import modalities
from app.errors import UnknownModalityError
from training.data.modalities import RESEARCH_ONLY, trainable_modality


def test_a_modality_of_the_product_is_the_product_s_own() -> None:
    for key, spec in modalities().items():
        assert trainable_modality(key) is spec


def test_a_modality_for_research_is_not_offered_by_the_product() -> None:
    for key in RESEARCH_ONLY:
        assert trainable_modality(key).key == key
        assert key not in modalities()


def test_an_unknown_modality_is_refused() -> None:
    with pytest.raises(UnknownModalityError):
        trainable_modality("lung_tc")
