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
MIN_SCANS_PER_CLASS = 20
MIN_TEMPERATURE = 0.05


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
        inconclusive_band=(float(min(low, THRESHOLD)), float(max(high, THRESHOLD))),
    )


def _platt(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> tuple[float, float]:
    weights = np.where(
        labels == Label.FAKE,
        0.5 / (labels == Label.FAKE).sum(),
        0.5 / (labels == Label.REAL).sum(),
    )
    signs = np.where(labels == Label.FAKE, 1.0, -1.0)
    scale = max(float(np.std(logits)), 1e-3)

    def loss(parameters: NDArray[np.float64]) -> float:
        temperature = np.exp(parameters[0])
        margins = signs * (logits - parameters[1]) / temperature
        return float((weights * np.logaddexp(0, -margins)).sum())

    start = np.array([np.log(scale), float(np.median(logits))])
    fitted = minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000})
    return max(float(np.exp(fitted.x[0])), MIN_TEMPERATURE), float(fitted.x[1])
