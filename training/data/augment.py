"""Variations of training scans that must carry no information about the class.

Contrast, exposure, resolution, sharpness, noise and file format differ between hospitals and
between generators alike, so both classes are varied in the same way.
"""

import io
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from torch.nn import functional
from torchvision.transforms import InterpolationMode
from torchvision.transforms.v2 import functional as transforms

from training.config import AugmentationConfig
from training.data.images import scaled_to

LOCAL_EDIT_MIN_RESOLUTION = 0.5
MIDDLE_GREY = 0.5
USUAL_NARROWEST_WINDOW = 0.45
MIDDLE_WINDOW = 0.7


def vary_appearance(
    grey: NDArray[np.float32],
    rng: np.random.Generator,
    config: AugmentationConfig,
    *,
    keep_detail: bool,
) -> NDArray[np.float32]:
    """Vary a scan's polarity, window, resolution, sharpness, noise and encoding.

    The same generator state gives the same variation, so a fake and its authentic partner can be
    varied alike.

    Args:
        grey: float32 in [0, 1], shape ``[H, W]``.
        rng: Draws the strength of everything.
        config: How often and how strongly.
        keep_detail: Whether there is a small edit that a strong loss of resolution would wipe
            out.

    Returns:
        float32 in [0, 1], shape ``[H, W]``.
    """
    chances = rng.random(5)
    strength = rng.random(8)
    narrow = config.narrowest_window < USUAL_NARROWEST_WINDOW and rng.random() < 0.5
    noise_seed = int(rng.integers(2**32))
    if np.random.default_rng((noise_seed, 2)).random() < config.inverted:
        grey = np.float32(1) - grey
    if chances[0] < config.window:
        if narrow:
            grey = _narrowly_windowed(grey, strength, config.narrowest_window)
        else:
            grey = _windowed(grey, strength)
    if np.random.default_rng((noise_seed, 4)).random() >= config.untouched:
        grey = _retouched(grey, config, noise_seed)
        if chances[1] < config.resample:
            floor = LOCAL_EDIT_MIN_RESOLUTION if keep_detail else config.min_resolution
            share = floor ** float(strength[3])
            grey = resampled(grey, share, smooth=bool(strength[4] < 0.5))
        if chances[2] < config.blur:
            grey = _sharpness(grey, float(strength[5]))
        if chances[3] < config.noise:
            sigma = 0.02 * float(strength[6])
            noise = np.random.default_rng(noise_seed).normal(0, sigma, grey.shape)
            grey = np.clip(grey + noise, 0, 1).astype(np.float32)
        if chances[4] < config.jpeg:
            grey = jpeg_round_trip(grey, quality=50 + int(49 * strength[7]))
    if config.brightness or config.contrast:
        shift, stretch = rng.uniform(-1, 1, 2) * (config.brightness, config.contrast)
        grey = (grey - MIDDLE_GREY) * (1 + stretch) + MIDDLE_GREY + shift
        grey = np.clip(grey, 0, 1).astype(np.float32)
    return grey


def _retouched(
    grey: NDArray[np.float32], config: AugmentationConfig, seed: int
) -> NDArray[np.float32]:
    """Vary what the software of viewers and archives does: detail raised, grain taken away."""
    raised = np.random.default_rng((seed, 1)).random(3)
    smooth = np.random.default_rng((seed, 3)).random(3)
    if raised[0] < config.local_contrast:
        grey = with_local_contrast(
            grey, spread=4 * 4 ** float(raised[1]), gain=1.5 * float(raised[2])
        )
    if smooth[0] < config.denoised:
        grey = denoised(grey, radius=1 + int(3 * smooth[1]), grain=0.01 * 4 ** float(smooth[2]))
    return grey


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How a whole scan is laid down: mirrored, upside down, turned, scaled.

    Attributes:
        mirrored: Left and right are exchanged.
        upended: Top and bottom are exchanged.
        degrees: Turned against the clock.
        scale: Above 1 it is enlarged, and its border cut off; what is left free is black.
    """

    mirrored: bool = False
    upended: bool = False
    degrees: float = 0.0
    scale: float = 1.0

    def apply(self, square: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return a square so laid down, float32 in [0, 1] as before."""
        if self.mirrored:
            square = square[:, ::-1]
        if self.upended:
            square = square[::-1]
        if self.degrees == 0 and self.scale == 1:
            return square
        turned = transforms.affine(
            torch.from_numpy(np.ascontiguousarray(square))[None],
            angle=-self.degrees,
            translate=[0, 0],
            scale=self.scale,
            shear=[0.0, 0.0],
            interpolation=InterpolationMode.BILINEAR,
        )
        laid: NDArray[np.float32] = turned[0].clamp(0, 1).numpy()
        return laid


def draw_placement(rng: np.random.Generator, config: AugmentationConfig) -> Placement:
    """Draw how a whole scan is laid down."""
    flips = rng.random(2) < 0.5
    turn, zoom = rng.uniform(-1, 1, 2)
    return Placement(
        mirrored=config.flip_horizontal and bool(flips[0]),
        upended=config.flip_vertical and bool(flips[1]),
        degrees=config.rotation_degrees * float(turn),
        scale=config.zoom ** float(zoom),
    )


def jpeg_round_trip(grey: NDArray[np.float32], *, quality: int) -> NDArray[np.float32]:
    """Encode as 8-bit JPEG and decode again; ``quality`` in [1, 100]."""
    buffer = io.BytesIO()
    pixels = np.round(grey * 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image, dtype=np.float32) / np.float32(255)


def resampled(
    grey: NDArray[np.float32], share: float, *, smooth: bool = True
) -> NDArray[np.float32]:
    """Scale down to ``share`` of the resolution, in (0, 1], and up again."""
    height, width = grey.shape
    small = scaled_to(grey, max(8, round(height * share)), max(8, round(width * share)))
    large = functional.interpolate(
        torch.from_numpy(small)[None, None],
        size=(height, width),
        mode="bicubic" if smooth else "bilinear",
        align_corners=False,
    )
    return large[0, 0].clamp(0, 1).numpy()


def with_local_contrast(
    grey: NDArray[np.float32], *, spread: float, gain: float
) -> NDArray[np.float32]:
    """Add ``gain`` times what differs from the surroundings, a Gaussian of ``spread`` pixels."""
    surroundings = ndimage.gaussian_filter(grey, spread)
    return np.clip(grey + gain * (grey - surroundings), 0, 1).astype(np.float32)


def denoised(grey: NDArray[np.float32], *, radius: int, grain: float) -> NDArray[np.float32]:
    """Take grain away and keep edges: the guided filter of a scan by itself.

    He, Sun and Tang, "Guided Image Filtering", ECCV 2010.

    Args:
        grey: float32 in [0, 1], shape ``[H, W]``.
        radius: Pixels beyond the middle one of the square that is averaged.
        grain: Standard deviation up to which differences count as grain, over that as edges.
    """
    side = 2 * radius + 1
    mean = ndimage.uniform_filter(grey, side)
    variance = np.maximum(ndimage.uniform_filter(grey**2, side) - mean**2, 0)
    edge = variance / (variance + np.float32(grain**2))
    kept = ndimage.uniform_filter(edge, side)
    level = ndimage.uniform_filter(mean - edge * mean, side)
    return np.clip(kept * grey + level, 0, 1).astype(np.float32)


def _windowed(grey: NDArray[np.float32], strength: NDArray[np.float64]) -> NDArray[np.float32]:
    low = -0.15 + 0.4 * float(strength[0])
    high = 0.7 + 0.5 * float(strength[1])
    gamma = 0.7 * 2 ** float(strength[2])
    return (np.clip((grey - low) / (high - low), 0, 1) ** gamma).astype(np.float32)


def _narrowly_windowed(
    grey: NDArray[np.float32], strength: NDArray[np.float64], narrowest: float
) -> NDArray[np.float32]:
    """Apply a window around the crop's own middle, which comes to lie at 0.2 to 0.6 of it."""
    width = narrowest + (MIDDLE_WINDOW - narrowest) * float(strength[1])
    low = float(np.median(grey)) - width * (0.2 + 0.4 * float(strength[0]))
    gamma = 0.7 * 2 ** float(strength[2])
    return (np.clip((grey - low) / width, 0, 1) ** gamma).astype(np.float32)


def _sharpness(grey: NDArray[np.float32], strength: float) -> NDArray[np.float32]:
    """Blur for a strength below one half, sharpen above it."""
    if strength < 0.5:
        blurred: NDArray[np.float32] = ndimage.gaussian_filter(grey, 0.3 + 1.2 * strength)
        return blurred
    detail = grey - ndimage.gaussian_filter(grey, 1.0)
    return np.clip(grey + (2 * strength - 1) * detail, 0, 1).astype(np.float32)
