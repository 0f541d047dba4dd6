"""The modalities that can be trained on: those of the product, and some that it does not judge."""

from app.detection.spec import ModalitySpec, modalities, modality

RESEARCH_ONLY = {
    spec.key: spec
    for spec in (
        ModalitySpec(
            key="histopathology_lung",
            title="Lung histopathology",
            noun="lung histopathology image",
            summary="A stained section of lung tissue under the microscope.",
        ),
        ModalitySpec(
            key="other_image",
            title="Other medical images",
            noun="medical image",
            summary="Images of other modalities, which a detector learns from beside its own.",
        ),
    )
}


def trainable_modality(key: str) -> ModalitySpec:
    """Return a modality of the product, or one for research alone.

    Raises:
        UnknownModalityError: There is none of that name.
    """
    return (
        RESEARCH_ONLY[key] if key in RESEARCH_ONLY.keys() - modalities().keys() else modality(key)
    )
