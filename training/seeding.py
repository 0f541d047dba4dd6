"""Random numbers that depend on names, not on order: a stopped run goes on as if it had not."""

from hashlib import sha256

import numpy as np


def generator_for(*names: object) -> np.random.Generator:
    """Return a random generator that depends on ``names`` alone, such as (seed, epoch, index)."""
    digest = sha256("\x1f".join(map(str, names)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def seed_for(*names: object) -> int:
    """Return a seed in [0, 2**31) that depends on ``names`` alone."""
    return int(generator_for(*names).integers(2**31))
