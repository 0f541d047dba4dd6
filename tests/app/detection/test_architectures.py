import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from app.detection import architectures as registry
from app.detection.architectures import Detector, architectures, build, register
from app.detection.card import ArchitectureSpec
from app.errors import (
    ArchitectureArgumentsError,
    DuplicateArchitectureError,
    UnknownArchitectureError,
)
from tests.app.detection.inputs import images


@dataclasses.dataclass(frozen=True)
class Case:
    """How a network is tried.

    Attributes:
        arguments: With which its builder makes it small, or small enough.
        cells: A side of its evidence.
        size: Side of the images, in pixels.
        pools: Whether there is a pooling to choose, by ``sharpness``.
    """

    arguments: Mapping[str, Any]
    cells: int
    size: int = 64
    pools: bool = True


DENSE = {"image_size": 64, "hidden": 8}
CASES = {
    "convnext_tiny": Case({}, cells=2),
    "densenet121": Case({}, cells=2),
    "densenet121_dense": Case(DENSE, cells=2, pools=False),
    "document_cnn": Case(DENSE | {"widths": [4, 8]}, cells=16, pools=False),
    "document_resnet": Case({"blocks": [1, 1], "hidden": 8}, cells=4, pools=False),
    "document_sequential": Case(DENSE, cells=32, pools=False),
    "efficientnet_b4": Case({"image_size": 64}, cells=4),
    "inception_v3_dense": Case(DENSE | {"image_size": 128}, cells=2, size=128, pools=False),
    "mobilenet_v2": Case({}, cells=2),
    "mobilenet_v2_dense": Case(DENSE, cells=2, pools=False),
    "mobilenet_v2_gatekeeper": Case({"directions": 8}, cells=1, pools=False),
    "noise_residual": Case({}, cells=8),
    "patch_mil": Case({"patch_size": 32}, cells=2, pools=False),
    "plain_cnn": Case({"widths": [4, 8, 8]}, cells=8),
    "resnet18": Case({}, cells=2),
    "resnet34": Case({}, cells=2),
    "resnet50": Case({}, cells=2),
    "resnet50_dense": Case(DENSE, cells=2, pools=False),
    "vgg16_dense": Case(DENSE, cells=2, pools=False),
}
POOLINGS = [(name, 0.0) for name in CASES] + [(n, 3.0) for n, case in CASES.items() if case.pools]


def small(name: str, **changes: Any) -> Detector:
    torch.manual_seed(0)
    return build(ArchitectureSpec(name=name, arguments={**CASES[name].arguments, **changes}))


def test_every_registered_network_is_tried_here() -> None:
    assert set(architectures()) == set(CASES)


@pytest.mark.parametrize(("name", "sharpness"), POOLINGS)
def test_a_network_gives_a_logit_a_scan_and_one_a_cell(name: str, sharpness: float) -> None:
    network = small(name, **({"sharpness": sharpness} if sharpness else {})).eval()

    with torch.inference_mode():
        output = network(images(size=CASES[name].size))

    cells = CASES[name].cells
    assert output.logits.shape == (2,)
    assert output.evidence.shape == (2, cells, cells)
    assert torch.isfinite(output.logits).all()
    assert torch.isfinite(output.evidence).all()
    assert torch.equal(network.pool(output.evidence), output.logits)


@pytest.mark.parametrize("name", CASES)
def test_every_parameter_takes_part_in_learning(name: str) -> None:
    network = small(name, **({"sharpness": 1.0} if CASES[name].pools else {})).train()

    network(images(size=CASES[name].size)).logits.sum().backward()

    idle = [key for key, tensor in network.named_parameters() if tensor.grad is None]
    assert idle == []


@pytest.mark.parametrize("name", CASES)
def test_a_scans_answer_does_not_depend_on_its_neighbours_in_the_batch(name: str) -> None:
    network = small(name).eval()
    batch = images(3, CASES[name].size)

    with torch.inference_mode():
        together = network(batch).logits
        alone = torch.cat([network(image[None]).logits for image in batch])

    assert torch.allclose(together, alone, atol=1e-4)  # libraries sum in other orders


@pytest.mark.parametrize("name", CASES)
def test_the_same_seed_gives_the_same_network(name: str) -> None:
    first, second = small(name).state_dict(), small(name).state_dict()

    assert first.keys() == second.keys()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_without_sharpness_the_scans_logit_is_the_mean_of_its_cells() -> None:
    cells = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(2))

    assert torch.allclose(small("plain_cnn", sharpness=0.0).pool(cells), cells.mean((1, 2)))


def test_the_scans_logit_rises_from_the_mean_to_the_maximum_with_sharpness() -> None:
    cells = torch.randn(5, 7, 6, generator=torch.Generator().manual_seed(2)) * 3

    pooled = [small("plain_cnn", sharpness=s).pool(cells) for s in (0.0, 1e-3, 0.5, 5.0, 1e4)]

    assert torch.allclose(pooled[1], cells.mean((1, 2)), atol=0.02)
    assert torch.allclose(pooled[-1], cells.amax((1, 2)), atol=1e-2)
    for lower, higher in itertools.pairwise(pooled):
        assert (lower <= higher + 1e-5).all()


def test_uniform_cells_give_their_own_value_at_any_sharpness() -> None:
    for sharpness in (0.0, 0.1, 10.0):
        pooled = small("plain_cnn", sharpness=sharpness).pool(torch.full((2, 4, 4), -1.25))

        assert torch.allclose(pooled, torch.tensor([-1.25, -1.25]), atol=1e-5)


@pytest.mark.parametrize("sharpness", [-1.0, float("nan"), float("inf")])
def test_an_impossible_sharpness_is_refused(sharpness: float) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="sharpness"):
        small("plain_cnn", sharpness=sharpness)


# --- a scan's own background ----------------------------------------------------------------


class Grey(Detector):
    """Takes the mean grey of four by four pixels for the evidence of a cell."""

    def evidence(self, images: Tensor) -> Tensor:
        return functional.avg_pool2d(images[:, 0], 4)


def scan_of(cells: Tensor, *, even: Tensor | None = None) -> Tensor:
    """Return one image ``[1, 3, 4 h, 4 w]`` whose cells have these means.

    Its pixels differ within each cell, but where ``even``.
    """
    stripes = torch.tensor([0.2, -0.2]).repeat(2 * cells.shape[1]).expand(4 * cells.shape[0], -1)
    shown = torch.ones_like(cells) if even is None else (~even).float()
    wide = torch.stack([cells, shown]).repeat_interleave(4, 1).repeat_interleave(4, 2)
    image: Tensor = wide[0] + wide[1] * stripes
    return image.expand(1, 3, -1, -1)


def cells_with(background: float, spot: float) -> Tensor:
    """Return cells of a background with a little slope, and a spot on it."""
    cells = torch.linspace(background - 0.1, background + 0.1, 81).reshape(9, 9)
    cells[4, 6] = spot
    return cells


def test_what_stands_out_of_a_background_counts_alike_however_low_that_lies() -> None:
    network = Grey(sharpness=3.0, background_level=-2.0).eval()

    logits = [network(scan_of(cells_with(b, b + 5))).logits.item() for b in (-6.0, -4.0, -2.2)]

    assert logits == pytest.approx([logits[0]] * 3, abs=1e-4)
    assert logits[0] > network(scan_of(cells_with(-4.0, 0.0))).logits.item() + 0.5


def test_a_background_above_the_level_stays_evidence() -> None:
    network = Grey(sharpness=3.0, background_level=-2.0).eval()

    for background in (-1.0, 3.0):
        cells = cells_with(background, background)
        assert torch.allclose(network(scan_of(cells)).evidence[0], cells, atol=1e-5)


def test_cells_are_raised_together_and_pooled_give_the_logit() -> None:
    network = Grey(sharpness=3.0, background_level=-2.0).eval()
    cells = torch.randn(4, 9, 9, generator=torch.Generator().manual_seed(3)) - 4

    output = network(torch.cat([scan_of(one) for one in cells]))

    below = -2 - cells.flatten(1).median(1).values
    assert (below > 0).all()
    assert torch.allclose(output.evidence - cells, below[:, None, None].expand(4, 9, 9), atol=1e-5)
    assert torch.equal(network.pool(output.evidence), output.logits)


def test_a_frame_of_one_grey_is_no_background() -> None:
    network = Grey(sharpness=3.0, background_level=-2.0).eval()
    cells, inside = cells_with(-6.0, 0.0), torch.zeros(9, 9, dtype=torch.bool)
    inside[3:7, 3:9] = True

    plain = network(scan_of(cells)).evidence[0]
    framed = network(scan_of(torch.where(inside, cells, 2.0), even=~inside)).evidence[0]

    assert torch.allclose(framed[inside], plain[inside], atol=0.1)


def test_an_image_of_one_grey_has_no_background() -> None:
    network = Grey(sharpness=3.0, background_level=-2.0).eval()

    output = network(torch.full((1, 3, 36, 36), -4.0))

    assert output.logits.item() == pytest.approx(-4.0, abs=1e-5)


def test_in_training_nothing_is_raised_nor_is_it_without_a_level() -> None:
    cells = cells_with(-6.0, 0.0)

    learning = Grey(sharpness=3.0, background_level=-2.0).train()(scan_of(cells))
    plain = Grey(sharpness=3.0).eval()(scan_of(cells))

    assert torch.allclose(learning.evidence[0], cells, atol=1e-5)
    assert torch.allclose(plain.evidence[0], cells, atol=1e-5)


@pytest.mark.parametrize("level", [float("nan"), float("inf")])
def test_an_impossible_background_is_refused(level: float) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="background_level must be a finite"):
        small("efficientnet_b4", background_level=level)


class Sided(Detector):
    """Its cells are the means of four by four pixels, less the ones right of them."""

    def evidence(self, images: Tensor) -> Tensor:
        cells = functional.avg_pool2d(images[:, 0], 4)
        return cells - cells.roll(-1, 2)


def test_a_scan_and_its_mirror_image_are_judged_as_one() -> None:
    network, once = Sided(sharpness=3.0, mirrored=True).eval(), Sided(sharpness=3.0).eval()
    images = torch.rand(3, 3, 36, 36, generator=torch.Generator().manual_seed(3))

    output, mirrored = network(images), network(images.flip(-1))

    assert torch.allclose(output.logits, mirrored.logits, atol=1e-6)
    assert torch.allclose(output.evidence, mirrored.evidence.flip(-1), atol=1e-6)
    wanted = (once(images).evidence + once(images.flip(-1)).evidence.flip(-1)) / 2
    assert torch.allclose(output.evidence, wanted, atol=1e-6)
    assert torch.equal(network.pool(output.evidence), output.logits)
    assert not torch.allclose(output.evidence, once(images).evidence, atol=1e-2)


def test_in_training_each_crop_is_looked_at_once() -> None:
    images = torch.rand(3, 3, 36, 36, generator=torch.Generator().manual_seed(3))

    learning = Sided(sharpness=3.0, mirrored=True).train()(images)

    assert torch.equal(learning.evidence, Sided(sharpness=3.0)(images).evidence)


# --- the registry ---------------------------------------------------------------------------


@pytest.fixture
def registered() -> Iterator[str]:
    """The name of a network that is registered for one test."""
    register("for_a_test")(architectures()["plain_cnn"])
    yield "for_a_test"
    del registry._builders["for_a_test"]


def test_a_registered_builder_is_found_by_its_name(registered: str) -> None:
    assert isinstance(build(ArchitectureSpec(name=registered, arguments={"widths": [4]})), Detector)


def test_a_name_cannot_be_registered_twice(registered: str) -> None:
    with pytest.raises(DuplicateArchitectureError, match=registered):
        register(registered)(architectures()["plain_cnn"])


def test_an_unknown_network_is_named_along_with_the_known_ones() -> None:
    with pytest.raises(UnknownArchitectureError, match=r"'resnet'.*efficientnet_b4, .*plain_cnn"):
        build(ArchitectureSpec(name="resnet", arguments={}))


@pytest.mark.parametrize(
    "arguments", [{"colour": 1}, {"widths": []}, {"widths": [0]}, {"widths": "ab"}, {"widths": 7}]
)
def test_arguments_that_do_not_fit_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ArchitectureArgumentsError, match="plain_cnn"):
        build(ArchitectureSpec(name="plain_cnn", arguments=arguments))
