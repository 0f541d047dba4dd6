"""ConvNeXt-Tiny, a convolutional network with what transformers have taught: for comparison.

Liu et al., "A ConvNet for the 2020s", CVPR 2022, https://arxiv.org/abs/2201.03545. Layers from
torchvision (BSD-3-Clause).
"""

from torch import nn

from app.detection.architectures import register
from app.detection.architectures.heads import LinearHeadDetector
from app.detection.architectures.trunks import TorchvisionTrunk, layers_before, torchvision_network


@register("convnext_tiny")
def convnext_tiny(*, dropout: float = 0.0, sharpness: float = 0.0) -> LinearHeadDetector:
    """Build ConvNeXt-Tiny (27.8 million parameters)."""
    network = torchvision_network("convnext_tiny")
    # The layer norm that torchvision counts to the classifier is applied to each cell instead of
    # to the average, so that the head stays linear in what it pools.
    norm = network.get_submodule("classifier.0")
    layers = layers_before(network, "avgpool") | {"classifier": nn.Sequential(norm)}
    trunk = TorchvisionTrunk("convnext_tiny", layers)
    return LinearHeadDetector(trunk, dropout=dropout, sharpness=sharpness)
