"""Decodes what a coverage-guided fuzzer thinks up: inputs that reach new lines are changed further.

Run it as ``python -m tests.fuzz.guided CORPUS -max_total_time=600`` after
``pip install atheris==3.0.0``; the options are libFuzzer's. CORPUS is a folder, filled with files
of every kind if it is empty. The fuzzer stops at the first file that raises anything but an
``UploadError`` or takes longer than ten seconds, and leaves it in the working folder.
"""

import importlib
import logging
import sys
import warnings
from pathlib import Path

# Not among the requirements: it is made for few versions of Python, and only this file needs it.
atheris = importlib.import_module("atheris")

with atheris.instrument_imports(include=["app", "pydicom", "PIL"]):
    from app.detection.decoding import decode
    from app.detection.limits import DecodingLimits
    from app.detection.spec import modality
    from app.errors import UploadError
    from tests.fuzz.seeds import seeds

SPECS = [modality("lung_ct"), modality("knee_xray")]
LIMITS = DecodingLimits(max_bytes=2**17, max_pixels=2**18)
LONGEST_S = 10


def try_one(data: bytes) -> None:
    """Decode a file as each modality."""
    for spec in SPECS:
        try:
            grey = decode(data, spec, LIMITS).grey
        except UploadError:
            continue
        if not 0 <= grey.min() <= grey.max() <= 1:
            raise AssertionError


def main() -> None:
    """Fill the corpus if it is empty, and fuzz."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    corpus = Path(sys.argv[1])
    corpus.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, data in enumerate(seeds()):
            (corpus / f"seed-{number}").write_bytes(data)
    atheris.Setup([*sys.argv, f"-timeout={LONGEST_S}", "-max_len=65536"], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
