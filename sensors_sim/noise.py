"""Randomness without state: hashes of what a value belongs to, and smooth noise between hashed knots.

Nothing here remembers anything, so any instant can be computed on its own, in any order, and always alike.
The hash is the finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float64]
Keys: TypeAlias = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
CELL = 0.07
"""Size of a cell of the spatial field in degrees: some 7.5 km, a little more than between neighbouring seats."""


@lru_cache(maxsize=1024)
def channel(seed: int, name: str) -> np.uint64:
    """The key of one independent source of randomness of this seed."""
    return key_of(f"{seed}/{name}")


def key_of(text: str) -> np.uint64:
    """A 64-bit key of a text, the same on every machine."""
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big"))


def mixed(*parts: ArrayLike) -> Keys:
    """Hash integers together, element by element."""
    with np.errstate(over="ignore"):
        state = _integers(parts[0])
        for part in parts[1:]:
            state = _finalise(state + _GOLDEN) ^ _integers(part)
        return _finalise(state + _GOLDEN)


def uniform(*parts: ArrayLike) -> Floats:
    """A number in [0, 1) for every combination of integers."""
    return (mixed(*parts) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normal(*parts: ArrayLike) -> Floats:
    """A number of about the standard normal distribution: the sum of four uniform ones, within ±3.5."""
    hashed = mixed(*parts)
    pieces = sum((hashed >> np.uint64(shift) & np.uint64(0xFFFF)).astype(np.float64) for shift in (0, 16, 32, 48))
    return np.asarray((pieces / 65536.0 - 2.0) * np.sqrt(3.0))


def smooth(fraction: Floats) -> Floats:
    """The cubic ramp from 0 to 1 that starts and ends level (smoothstep); outside [0, 1] it stays at its ends."""
    clipped = np.clip(fraction, 0.0, 1.0)
    return clipped * clipped * (3.0 - 2.0 * clipped)


def smooth_slope(fraction: Floats) -> Floats:
    """The derivative of `smooth`."""
    clipped = np.clip(fraction, 0.0, 1.0)
    return 6.0 * clipped * (1.0 - clipped)


def value_noise(source: np.uint64, key: ArrayLike, position: Floats) -> Floats:
    """Smooth noise in [-1, 1] along `position`, with independent knots one unit apart, for each key."""
    left, right, fraction = _knots(source, key, position)
    return left + (right - left) * smooth(fraction)


def value_noise_slope(source: np.uint64, key: ArrayLike, position: Floats) -> Floats:
    """The derivative of `value_noise` by position; within ±3."""
    left, right, fraction = _knots(source, key, position)
    return (right - left) * smooth_slope(fraction)


Noise: TypeAlias = Callable[[np.uint64, ArrayLike, Floats], Floats]


def field(source: np.uint64, latitude: Floats, longitude: Floats, position: Floats, of: Noise = value_noise) -> Floats:
    """Noise in [-1, 1] that is smooth over the city as well as along `position`: what neighbours share.

    With `of=value_noise_slope` its derivative by position.
    """
    row, column = latitude / CELL, longitude / CELL
    low_row, low_column = np.floor(row), np.floor(column)
    up, across = smooth(row - low_row), smooth(column - low_column)
    total = np.zeros(np.broadcast(row, position).shape)
    for step_row, weight_row in ((0, 1.0 - up), (1, up)):
        for step_column, weight_column in ((0, 1.0 - across), (1, across)):
            corner = mixed((low_row + step_row).astype(np.int64), (low_column + step_column).astype(np.int64))
            total += weight_row * weight_column * of(source, corner, position)
    return total


def _knots(source: np.uint64, key: ArrayLike, position: Floats) -> tuple[Floats, Floats, Floats]:
    position = position + uniform(source, key)  # each key its own phase: no moment when all curves are level at once
    low = np.floor(position)
    knot = low.astype(np.int64)
    left = 2.0 * uniform(source, key, knot) - 1.0
    right = 2.0 * uniform(source, key, knot + 1) - 1.0
    return left, right, position - low


def _integers(values: ArrayLike) -> Keys:
    array = np.asarray(values)
    return array if array.dtype == np.uint64 else array.astype(np.int64).astype(np.uint64)


def _finalise(state: Keys) -> Keys:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
