"""How each thing's clock stands against ours, and how late its observations come."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

_MICROS = 1e6
_MINUTE = 60_000_000
_WEIGHT = 0.05
"""Of one observation in the mean lateness."""


class ClockEstimate(NamedTuple):
    """Seconds: `skew` its clock is ahead of ours (negative: behind, or that slow on the way); mean and largest delay.

    `samples`: observations that count, since we started.
    """

    thing_id: int
    skew: float
    lateness: float
    latest: float
    samples: int


class ThingClocks:
    """Estimates for each thing (numbered by the database), from the delay between phenomenon and receipt.

    The delay of an observation is the way it took minus what the thing's clock is ahead, so the least delay of a window
    is nearest to the clock alone, as in the clock filter of NTP (RFC 5905, 10). The second smallest of each quarter of
    an hour is taken, so that one wrong stamp does not decide; the skew is that of the last hour in which it was heard.
    The largest delay is of the last day, in steps of eight hours. State is a few numbers for each thing.
    """

    def __init__(self) -> None:
        self._least = _Ring(4, 15 * _MINUTE, np.inf, kept=2)
        self._most = _Ring(4, 8 * 60 * _MINUTE, -np.inf, kept=1)
        self._mean = np.zeros(64)
        self._samples = np.zeros(64, np.int64)

    def update(self, thing_id: NDArray[np.int32], phenomenon_time: Ints, received_at: Ints) -> NDArray[np.int32]:
        """Take in observations (microseconds since 1970 UTC, in order of receipt); returns the things they are of."""
        if not len(thing_id):
            return thing_id
        delay = (received_at - phenomenon_time).astype(np.float64)
        order = np.lexsort((delay, thing_id))
        things, first, count = np.unique(thing_id[order], return_index=True, return_counts=True)
        self._reserve(int(things[-1]) + 1)
        ordered, last = delay[order], first + count - 1
        bucket = int(received_at.max())
        second = np.where(count > 1, ordered[np.minimum(first + 1, last)], np.inf)
        self._least.put(things, bucket, np.stack([ordered[first], second], axis=1))
        self._most.put(things, bucket, ordered[last][:, None])
        mean = np.add.reduceat(ordered, first) / count
        weight = np.where(self._samples[things] == 0, 1.0, 1 - (1 - _WEIGHT) ** count)
        self._mean[things] += weight * (mean - self._mean[things])
        self._samples[things] += count
        return things

    def estimates(self, things: NDArray[np.int32]) -> Iterator[ClockEstimate]:
        """Of `things`, those that were heard."""
        things = things[(things < len(self._samples))]
        things = things[self._samples[things] > 0]
        least, most = self._least.newest(things), self._most.newest(things)
        for place, thing in enumerate(things.tolist()):
            buckets = least[place]
            second = np.where(np.isfinite(buckets[:, 1]), buckets[:, 1], buckets[:, 0])
            yield ClockEstimate(
                thing,
                -float(second.min()) / _MICROS,
                float(self._mean[thing]) / _MICROS,
                float(most[place].max()) / _MICROS,
                int(self._samples[thing]),
            )

    def _reserve(self, size: int) -> None:
        while size > len(self._mean):
            self._mean = np.concatenate([self._mean, np.zeros_like(self._mean)])
            self._samples = np.concatenate([self._samples, np.zeros_like(self._samples)])
        self._least.reserve(len(self._mean))
        self._most.reserve(len(self._mean))


class _Ring:
    """The `kept` smallest (empty: inf) or largest (empty: -inf) values of each of the newest `slots` spans of time."""

    def __init__(self, slots: int, span: int, empty: float, kept: int) -> None:
        self._slots, self._span, self._empty = slots, span, empty
        self._values = np.full((64, slots, kept), empty)
        self._bucket = np.full((64, slots), -1, np.int64)

    def put(self, things: NDArray[np.int32], now: int, values: Floats) -> None:
        bucket = now // self._span
        slot = bucket % self._slots
        stale = self._bucket[things, slot] != bucket
        held = np.where(stale[:, None], self._empty, self._values[things, slot])
        both = np.sort(np.concatenate([held, values], axis=1), axis=1)
        kept = held.shape[1]
        self._values[things, slot] = both[:, :kept] if self._empty > 0 else both[:, -kept:]
        self._bucket[things, slot] = bucket

    def newest(self, things: NDArray[np.int32]) -> Floats:
        """Values by (thing, span, kept): of the spans near the newest in which each thing was heard."""
        bucket = self._bucket[things]
        near = bucket > bucket.max(axis=1, keepdims=True) - self._slots
        return np.where((near & (bucket >= 0))[:, :, None], self._values[things], self._empty)

    def reserve(self, size: int) -> None:
        while size > len(self._bucket):
            self._values = np.concatenate([self._values, np.full_like(self._values, self._empty)])
            self._bucket = np.concatenate([self._bucket, np.full_like(self._bucket, -1)])
