"""Decoders of compressed DICOM frames that pydicom itself has none for.

``imagecodecs`` (BSD) brings libjpeg-turbo, CharLS and OpenJPEG, all of them kept up. It is added to
pydicom's decoders as a plug-in, so that pydicom goes on to mind signs, depths and colours.
"""

from typing import Any

from numpy.typing import NDArray
from pydicom.pixels.common import PhotometricInterpretation
from pydicom.pixels.decoders.base import DecodeRunner, get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

PLUGIN = "imagecodecs"
JPEG = (JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1)
JPEG_LS = (JPEGLSLossless, JPEGLSNearLossless)
JPEG_2000 = (JPEG2000, JPEG2000Lossless, HTJ2K, HTJ2KLossless, HTJ2KLosslessRPCL)
DECODER_DEPENDENCIES = dict.fromkeys((*JPEG, *JPEG_LS, *JPEG_2000), (PLUGIN,))
COLOUR_SPACES: dict[str, str] = {
    PhotometricInterpretation.RGB: "RGB",
    PhotometricInterpretation.YBR_FULL: "YCBCR",
    PhotometricInterpretation.YBR_FULL_422: "YCBCR",
}
TRANSFORMED = (PhotometricInterpretation.YBR_ICT, PhotometricInterpretation.YBR_RCT)


def is_available(uid: str) -> bool:
    """Return whether a transfer syntax can be decoded here, as pydicom asks its plug-ins."""
    return uid in DECODER_DEPENDENCIES


def decode_frame(source: bytes, runner: DecodeRunner) -> bytes:
    """Decode one frame, as pydicom asks its plug-ins.

    Args:
        source: The codestream.
        runner: What the header says of it; told of what turns out otherwise.
    """
    pixels = _decoded(source, runner)
    runner.set_option("bits_allocated", pixels.dtype.itemsize * 8)
    if pixels.ndim == 3:
        runner.set_option("planar_configuration", 0)
    return pixels.tobytes()


def _decoded(source: bytes, runner: DecodeRunner) -> NDArray[Any]:
    import imagecodecs  # only the few files that need it pay for loading it

    interpretation = runner.photometric_interpretation
    if runner.transfer_syntax in JPEG_LS:
        return imagecodecs.jpegls_decode(source)
    if runner.transfer_syntax in JPEG:
        # Told both, the library leaves the colours as they are stored, and pydicom sees to them.
        space = COLOUR_SPACES.get(interpretation)
        return imagecodecs.jpeg8_decode(source, colorspace=space, outcolorspace=space)
    if interpretation in TRANSFORMED:  # a part of JPEG 2000, which is undone with the rest
        runner.set_option("photometric_interpretation", PhotometricInterpretation.RGB)
    return imagecodecs.jpeg2k_decode(source)


def load() -> None:
    """Load the library, for a process that is to pay for that before its first file."""
    import imagecodecs

    for name in ("jpeg8_decode", "jpegls_decode", "jpeg2k_decode"):
        getattr(imagecodecs, name)


def add_decoders() -> None:
    """Make the decoders known to pydicom; a second call does nothing."""
    for uid in DECODER_DEPENDENCIES:
        decoder = get_decoder(uid)
        if PLUGIN not in decoder.available_plugins:
            decoder.add_plugin(PLUGIN, (__name__, decode_frame.__name__))
