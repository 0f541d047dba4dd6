"""Plain radiographs of a single knee joint."""

from app.detection.spec import ModalitySpec

SPEC = ModalitySpec(
    key="knee_xray",
    title="Knee X-ray",
    noun="knee X-ray",
    summary="A frontal radiograph of one knee, cropped to the joint.",
)
