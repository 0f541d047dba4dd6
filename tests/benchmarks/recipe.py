"""The recipe of the source document, as its text has it: Flask, eager PyTorch, one image a time.

``GET /`` says that it is ready, ``POST /`` takes the field ``image`` and answers "real" or "fake".
"""

import io
import os
from collections.abc import Callable
from pathlib import Path

import torch
from flask import Flask, request
from PIL import Image
from torchvision import transforms

from app.detection.card import Card
from app.detection.weights import active_checkpoint, load_detector


def make_judge(weights_dir: Path, modality: str) -> tuple[Callable[[bytes], float], Card]:
    """Return what judges the bytes of an image, and the card of its weights.

    Resizing, converting and normalising are those of torchvision's tutorials, the network is ours:
    the same weights, in evaluation mode, without gradients, float32.
    """
    detector = load_detector(active_checkpoint(weights_dir, modality))
    network, card = detector.network, detector.card
    spec = card.preprocessing
    transform = transforms.Compose(
        [
            transforms.Resize((spec.image_size, spec.image_size)),
            transforms.ToTensor(),
            transforms.Normalize(spec.mean, spec.std),
        ]
    )

    def judge(data: bytes) -> float:
        with Image.open(io.BytesIO(data)) as image:
            tensor = transform(image.convert("RGB"))
        with torch.no_grad():
            logits = network(tensor.unsqueeze(0)).logits
        return card.operating_point.probability(float(logits[0]))

    return judge, card


def main() -> None:
    """Serve as the document does, with Flask's own server."""
    judge, card = make_judge(Path(os.environ["WEIGHTS"]), os.environ["MODALITY"])
    app = Flask(__name__)

    @app.get("/")
    def ready() -> str:
        return "ready"

    @app.post("/")
    def predict() -> dict[str, object]:
        probability = judge(request.files["image"].read())
        is_fake = probability >= card.operating_point.threshold
        return {"verdict": "fake" if is_fake else "real", "probability_fake": probability}

    app.run(port=int(os.environ["PORT"]))


if __name__ == "__main__":
    main()
