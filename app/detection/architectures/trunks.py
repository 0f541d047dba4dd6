"""Trunks: what comes before the head. Those from torchvision keep its names for their tensors."""

import copy
from typing import Any

import torch
from torch import nn

ANY_SIZE = 224


class TorchvisionTrunk(nn.Sequential):
    """The layers of a torchvision network before its classifier.

    The keys of its tensors are torchvision's, so published weights fit as they are.

    Args:
        model_name: torchvision's, under which the weights are published.
        layers: In the order in which they run, by torchvision's names.
    """

    def __init__(self, model_name: str, layers: dict[str, nn.Module]) -> None:
        super().__init__()
        self.model_name = model_name
        for name, layer in layers.items():
            self.add_module(name, layer)


def torchvision_network(model_name: str, **options: Any) -> nn.Module:
    """Return a network of torchvision with fresh weights.

    torchvision brings PyTorch's compilers into memory, 160 MiB of them, until the process ends, so
    it is imported where a network of its is built. A server with stored graphs builds none.

    Args:
        model_name: torchvision's.
        options: For torchvision's builder.
    """
    from torchvision import models

    network: nn.Module = models.get_model(model_name, weights=None, **options)
    return network


def layers_before(network: nn.Module, end: str) -> dict[str, nn.Module]:
    """Return the layers of a network that stand before the one named ``end``, by name."""
    names = [name for name, _ in network.named_children()]
    return {name: network.get_submodule(name) for name in names[: names.index(end)]}


def feature_shape(trunk: nn.Module, image_size: int | None = None) -> tuple[int, int, int]:
    """Return channels, rows and columns of a trunk's features, without computing any.

    Args:
        trunk: Turns images ``[B, 3, S, S]`` into features ``[B, C, h, w]``.
        image_size: ``S``, in pixels; None where rows and columns do not matter.

    Raises:
        ValueError: Images of this size are too small for the trunk.
    """
    on_meta = copy.deepcopy(trunk).to("meta").eval()
    size = ANY_SIZE if image_size is None else image_size
    try:
        features = on_meta(torch.empty(1, 3, size, size, device="meta"))
    except RuntimeError as error:
        raise ValueError(f"image_size {size} does not fit this network") from error
    channels, rows, columns = features.shape[1:]
    if rows * columns == 0:
        raise ValueError(f"image_size {size} is too small for this network")
    return channels, rows, columns
