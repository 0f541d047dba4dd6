import numpy as np
import pytest

from training.config import AugmentationConfig
from training.data.overprint import Overprint, draw_overprint
from training.seeding import generator_for

SIDE = 96
MARKED = AugmentationConfig(marker=1.0)
FRAMED = AugmentationConfig(frame=1.0)


def drawn(config: AugmentationConfig, count: int = 30) -> list[Overprint]:
    made = [draw_overprint(generator_for("over", seed), SIDE, config) for seed in range(count)]
    return [over for over in made if over is not None]


def test_nothing_is_printed_and_nothing_drawn_where_it_is_not_wanted() -> None:
    rng, untouched = (generator_for("over", 1) for _ in range(2))

    assert draw_overprint(rng, SIDE, AugmentationConfig()) is None
    assert rng.random() == untouched.random()


def test_as_many_images_as_asked_for_are_printed_over() -> None:
    share = len(drawn(AugmentationConfig(marker=0.3), count=300)) / 300

    assert share == pytest.approx(0.3, abs=0.08)


@pytest.mark.parametrize("config", [MARKED, FRAMED])
def test_an_overprint_stays_within_grey_values_and_hides_a_part_only(
    config: AugmentationConfig,
) -> None:
    image = np.full((SIDE, SIDE), 0.4, dtype=np.float32)

    for over in drawn(config):
        printed = over.over(image)
        assert printed.dtype == np.float32
        assert printed.min() >= 0
        assert printed.max() <= 1
        assert np.array_equal(printed[over.opacity == 0], image[over.opacity == 0])
        assert (over.opacity < 0.1).mean() > 0.3


def test_letters_are_seen_and_most_are_bright() -> None:
    image = np.full((SIDE, SIDE), 0.4, dtype=np.float32)
    printed = [over.over(image) for over in drawn(MARKED)]

    assert np.mean([np.abs(p - image).max() > 0.1 for p in printed]) > 0.8
    assert np.mean([(p - image).sum() > 0 for p in printed]) > 0.7


def test_a_frame_is_of_one_grey_and_lies_at_the_border() -> None:
    for over in drawn(FRAMED):
        hidden = over.opacity == 1
        assert len(np.unique(over.grey[hidden])) <= 1
        assert not hidden[SIDE // 4 : -SIDE // 4, SIDE // 4 : -SIDE // 4].any()


def test_what_is_hidden_is_no_longer_forged() -> None:
    opacity = np.zeros((SIDE, SIDE), dtype=np.float32)
    opacity[:8], opacity[8:16] = 1, 0.25
    mask = np.ones((SIDE, SIDE), dtype=np.float32)

    left = Overprint(opacity, np.ones_like(opacity)).uncovered(mask)

    assert left[0, 0] == 0
    assert left[8, 0] == 0.75
    assert left[20, 0] == 1


def test_the_same_numbers_give_the_same_overprint() -> None:
    for one, other in zip(drawn(MARKED, 5), drawn(MARKED, 5), strict=True):
        assert np.array_equal(one.opacity, other.opacity)
        assert np.array_equal(one.grey, other.grey)
