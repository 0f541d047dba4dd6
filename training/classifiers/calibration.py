"""The operating point, chosen on the validation side alone.

Temperature and bias after Platt (1999) and Guo et al. (2017), with each class weighing one half;
the inconclusive band as a reject option (Chow 1970).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from app.detection.labels import Label
from app.detection.verdict import OperatingPoint
from training.errors import TooFewScansError

THRESHOLD = 0.5
LEAST_BAND = (0.2, 0.8)
"""Scores this close to the threshold give no verdict, even if none of them erred on validation."""
MIN_SCANS_PER_CLASS = 20


def calibrate(
    logits: NDArray[np.float64], labels: NDArray[np.int64], *, max_error: float
) -> OperatingPoint:
    """Fit temperature and bias and choose the band.

    Args:
        logits: Of the validation scans, shape ``[N]``.
        labels: 0 or 1, shape ``[N]``.
        max_error: Each error rate outside the band is at most this, in [0, 1).

    Returns:
        The operating point; its threshold is one half, where both classes are equally likely.

    Raises:
        TooFewScansError: A class has fewer than 20 scans.
    """
    counts = [int((labels == label).sum()) for label in Label]
    if min(counts) < MIN_SCANS_PER_CLASS:
        raise TooFewScansError(
            f"Calibration needs {MIN_SCANS_PER_CLASS} validation scans of each class; there are "
            f"{counts[Label.REAL]} authentic and {counts[Label.FAKE]} fake ones."
        )
    temperature, bias = _platt(logits, labels)
    plain = OperatingPoint(
        temperature=temperature, bias=bias, threshold=THRESHOLD, inconclusive_band=(0.0, 1.0)
    )
    probabilities = np.array([plain.probability(float(logit)) for logit in logits])
    # At most max_error of the fakes may fall below the band, of the authentic scans above it.
    low = np.quantile(probabilities[labels == Label.FAKE], max_error, method="lower")
    high = np.quantile(probabilities[labels == Label.REAL], 1 - max_error, method="higher")
    return OperatingPoint(
        temperature=temperature,
        bias=bias,
        threshold=THRESHOLD,
        inconclusive_band=(float(min(low, LEAST_BAND[0])), float(max(high, LEAST_BAND[1]))),
    )


def _platt(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    fakes = labels == Label.FAKE
    weights = np.where(fakes, 0.5 / fakes.sum(), 0.5 / (~fakes).sum())
    # Platt's targets stop short of 0 and 1, so that classes which validation happens to separate
    # do not make every score a certainty.
    targets = np.where(fakes, (fakes.sum() + 1) / (fakes.sum() + 2), 1 / ((~fakes).sum() + 2))

    def loss(parameters: NDArray[np.float64]) -> float:
        scaled = (logits - parameters[1]) / np.exp(parameters[0])
        return float((weights * (np.logaddexp(0, scaled) - targets * scaled)).sum())

    start = np.array([np.log(max(float(np.std(logits)), 1e-3)), float(np.median(logits))])
    fitted = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000})
    return float(np.exp(fitted.x[0])), float(fitted.x[1])
