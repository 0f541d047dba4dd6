"""Axial slices of lung computed tomography."""

from app.detection.spec import ModalitySpec, Window

SPEC = ModalitySpec(
    key="lung_ct",
    title="Lung CT",
    noun="lung CT slice",
    summary="One axial slice of a chest CT, in the lung window or as DICOM.",
    window=Window(center=-600.0, width=1500.0),
)
