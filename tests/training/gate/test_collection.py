from pathlib import Path

import numpy as np

from training.gate.collection import LOOKALIKE, Amounts, Features, Thumbnails, collect
from training.gate.drawn import COARSE_SCAN
from training.gate.images import SIDE_PIXELS, GateImage


def image(number: int, *, is_right: bool, is_fake: bool = False) -> GateImage:
    return GateImage(
        path=Path(f"{number}.png"),
        is_right=is_right,
        kind="dcgan" if is_fake else "hospital" if is_right else "photograph",
        person=str(number),
        side="train",
        is_fake=is_fake,
    )


def test_scans_drawn_coarsely_stand_with_the_fakes_and_lookalikes_with_the_other_images() -> None:
    images = [image(n, is_right=n < 4, is_fake=n in (2, 3)) for n in range(6)]
    thumbnails = np.full((6, SIDE_PIXELS, SIDE_PIXELS), 100, np.uint8)

    def read_features(small: Thumbnails) -> Features:
        return np.asarray(small.mean((1, 2)), np.float32)[:, None]

    amounts = Amounts(plain=6, varied=2, copies=1, drawn=4, lookalike=3)
    made = collect(images, thumbnails, read_features, amounts=amounts, seed=1)

    coarse = made.kind == COARSE_SCAN
    assert coarse.sum() == amounts.lookalike
    assert (made.is_right & made.is_fake)[coarse].all()
    lookalikes = (made.form == LOOKALIKE) & ~coarse
    assert not made.is_right[lookalikes].any()
    assert (made.side[lookalikes | coarse] == "train").all()
