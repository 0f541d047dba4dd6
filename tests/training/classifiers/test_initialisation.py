import json
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from efficientnet_pytorch import EfficientNet
from torchvision import models

from app.detection.architectures import Detector, build
from app.detection.card import ArchitectureSpec
from training.classifiers.initialisation import B4_FILE, InitialisationError, initialise

MOBILENET_FILE = "mobilenet_v2-b0353104.pth"


def plain() -> Detector:
    return build(ArchitectureSpec(name="plain_cnn", arguments={"widths": [4]}))


def b4() -> Detector:
    return build(ArchitectureSpec(name="efficientnet_b4", arguments={"image_size": 64}))


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model hub's folder of checkpoints, empty; nothing can be downloaded."""

    def unreachable(url: str, *args: object, **kwargs: object) -> None:
        raise URLError(f"{url} is out of reach")

    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", unreachable)
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    return folder


@pytest.fixture
def published_b4(hub: Path) -> EfficientNet:
    """A file as the hub has it, with random weights."""
    torch.manual_seed(1)
    network = EfficientNet.from_name("efficientnet-b4")
    torch.save(network.state_dict(), hub / B4_FILE)
    return network


def test_random_leaves_the_network_as_it_is() -> None:
    network = plain()
    before = {k: v.clone() for k, v in network.state_dict().items()}

    assert initialise(network, "random") == "random"

    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_an_unknown_kind_is_refused_and_the_known_ones_named() -> None:
    with pytest.raises(InitialisationError, match=r"'xavier'\. Known: random, imagenet"):
        initialise(plain(), "xavier")


def test_imagenet_is_for_published_trunks_only() -> None:
    with pytest.raises(InitialisationError, match="no published trunk"):
        initialise(plain(), "imagenet")


def test_weights_out_of_reach_are_said_to_be_so_with_what_to_do(hub: Path) -> None:
    with pytest.raises(InitialisationError, match=rf"Put {B4_FILE} into .* or set initialisation"):
        initialise(b4(), "imagenet")


def test_the_trunk_takes_over_what_lies_in_the_hub_and_the_head_stays(
    published_b4: EfficientNet,
) -> None:
    network = b4()
    assert hasattr(network, "trunk")
    before = {k: v.clone() for k, v in network.state_dict().items() if "trunk" not in k}

    said = initialise(network, "imagenet")

    after = network.state_dict()
    assert said == "ImageNet (efficientnet-pytorch)"
    assert all(torch.equal(after[k], v) for k, v in before.items())
    published = published_b4.state_dict()
    assert all(
        torch.equal(v, published[k.removeprefix("trunk.")])
        for k, v in after.items()
        if k.startswith("trunk.")
    )


@pytest.mark.usefixtures("published_b4")
def test_a_second_look_takes_over_what_lies_in_the_hub_as_well() -> None:
    arguments = {"image_size": 64, "stem_stride": [1, 2]}
    network = build(ArchitectureSpec(name="efficientnet_b4", arguments=arguments))

    initialise(network, "imagenet")

    weights = network.state_dict()
    first = {k: v for k, v in weights.items() if f"coarse.{k}" in weights}
    assert len(first) > 400
    assert all(torch.equal(v, weights[f"coarse.{k}"]) for k, v in first.items() if "trunk" in k)


def test_a_torchvision_trunk_takes_over_what_lies_in_the_hub(hub: Path) -> None:
    torch.manual_seed(1)
    published = models.mobilenet_v2(weights=None).state_dict()
    file = hub / MOBILENET_FILE
    torch.save(published, file)
    network = build(ArchitectureSpec(name="mobilenet_v2", arguments={}))

    assert initialise(network, "imagenet") == "IMAGENET1K_V1 (torchvision)"

    trunk = {k: v for k, v in network.state_dict().items() if k.startswith("trunk.")}
    assert len(trunk) == len(published) - 2
    assert all(torch.equal(v, published[k.removeprefix("trunk.")]) for k, v in trunk.items())

    Path(f"{file}.source.json").write_text('{"package": "pip photos==1"}', encoding="utf-8")
    assert initialise(network, "imagenet") == "not torchvision's own file: pip photos==1"


def test_a_torchvision_file_out_of_reach_is_named(hub: Path) -> None:
    network = build(ArchitectureSpec(name="mobilenet_v2", arguments={}))

    with pytest.raises(InitialisationError, match=rf"of mobilenet_v2 .* Put {MOBILENET_FILE} into"):
        initialise(network, "imagenet")


@pytest.mark.usefixtures("published_b4")
def test_weights_of_another_origin_are_called_what_they_are(hub: Path) -> None:
    note = {"what": "distilled on photographs", "source": "our own"}
    (hub / f"{B4_FILE}.source.json").write_text(json.dumps(note), encoding="utf-8")

    assert initialise(b4(), "imagenet") == "distilled on photographs (our own)"


def test_weights_that_cannot_be_had_may_be_done_without_and_that_is_said(
    hub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = b4()
    before = {k: v.clone() for k, v in network.state_dict().items()}

    start = initialise(network, "imagenet_or_random")

    assert start == f"from scratch ({B4_FILE} could not be had)"
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())
    assert B4_FILE in caplog.text


def test_weights_that_can_be_had_are_taken(published_b4: EfficientNet) -> None:
    network = b4()

    assert "ImageNet" in initialise(network, "imagenet_or_random")

    assert torch.equal(
        network.get_parameter("trunk._conv_stem.weight"),
        published_b4.get_parameter("_conv_stem.weight"),
    )


def test_a_network_without_a_published_trunk_is_not_quietly_trained_from_scratch() -> None:
    with pytest.raises(InitialisationError, match="no published trunk"):
        initialise(plain(), "imagenet_or_random")
