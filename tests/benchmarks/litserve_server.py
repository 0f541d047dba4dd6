"""The same weights behind LitServe, as its documentation shows it: micro-batches, one worker."""

import io
import os
from pathlib import Path
from typing import Any

import litserve
import torch
from fastapi import Request
from PIL import Image
from torch import Tensor
from torchvision import transforms

from app.detection.weights import active_checkpoint, load_detector

MAX_BATCH = 8
BATCH_TIMEOUT_S = 0.005


class DetectorApi(litserve.LitAPI):  # type: ignore[misc]  # litserve is not there for every check
    """Decodes, batches, runs and answers in the phases that LitServe names."""

    def setup(self, device: str) -> None:
        """Load the network on the device."""
        detector = load_detector(
            active_checkpoint(Path(os.environ["WEIGHTS"]), os.environ["MODALITY"])
        )
        spec = detector.card.preprocessing
        self.point = detector.card.operating_point
        self.device = device
        self.network = detector.network.to(device)
        self.transform = transforms.Compose(
            [
                transforms.Resize((spec.image_size, spec.image_size)),
                transforms.ToTensor(),
                transforms.Normalize(spec.mean, spec.std),
            ]
        )

    def decode_request(self, request: Request) -> Tensor:
        """Turn an uploaded file into the network's input.

        LitServe tells by the annotation what a client sends, and hands over the form's fields.
        """
        form: Any = request
        with Image.open(io.BytesIO(form["image"].file.read())) as image:
            tensor: Tensor = self.transform(image.convert("RGB"))
        return tensor

    def batch(self, inputs: list[Tensor]) -> Tensor:
        """Put inputs together."""
        return torch.stack(inputs)

    def predict(self, x: Tensor) -> list[float]:
        """Return the probability of a fake of each input."""
        with torch.inference_mode():
            logits = self.network(x.to(self.device)).logits.cpu()
        return [self.point.probability(float(logit)) for logit in logits]

    def unbatch(self, output: list[float]) -> list[float]:
        """Take the answers apart."""
        return output

    def encode_response(self, output: float) -> dict[str, float]:
        """Return what the client gets."""
        return {"probability_fake": output}


def main() -> None:
    """Serve on ``PORT``."""
    api = DetectorApi(max_batch_size=MAX_BATCH, batch_timeout=BATCH_TIMEOUT_S)
    server = litserve.LitServer(api, accelerator="auto")
    server.run(port=int(os.environ["PORT"]), generate_client_file=False, log_level="error")


if __name__ == "__main__":
    main()
