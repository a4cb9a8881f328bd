"""Means of scores that leave out what is missing, and the contributions that explain them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import assert_never

import numpy as np
from numpy.typing import NDArray

from kpi_engine.scoring.score import Contribution, Score, State

Floats = NDArray[np.float64]

MINIMUM_COVERAGE = 2 / 3
FLOOR = 1.0  # a score of 0 would make a geometric mean 0 whatever else is true of the city
_ROUNDING = 1e-9  # weights of 0.1, 0.1, 0.1 are thirds


class Mean(StrEnum):
    """How scores are averaged."""

    ARITHMETIC = "arithmetic"
    GEOMETRIC = "geometric"


def weighted_mean(scores: Floats, weights: Floats, mean: Mean) -> Floats:
    """Weighted mean over the last axis of scores 0-100, NaN left out and the weights renormalised; our own design.

    Arithmetic sum(w s) / sum(w); geometric exp(sum(w ln max(s, 1)) / sum(w)). NaN where nothing is there.
    """
    present = ~np.isnan(scores)
    used = np.where(present, weights, 0.0)
    total = used.sum(axis=-1)
    match mean:
        case Mean.ARITHMETIC:
            bounded = terms = np.where(present, scores, 0.0)
        case Mean.GEOMETRIC:
            bounded = np.maximum(np.where(present, scores, FLOOR), FLOOR)
            terms = np.log(bounded)
        case _:
            assert_never(mean)
    average = np.divide((used * terms).sum(axis=-1), total, out=np.full(total.shape, np.nan), where=total > 0)
    lowest = np.where(present, bounded, np.inf).min(axis=-1, initial=np.inf)
    highest = np.where(present, bounded, -np.inf).max(axis=-1, initial=-np.inf)
    # rounding would lift the mean of a hundred and a hundred above it
    within: Floats = np.clip(average if mean is Mean.ARITHMETIC else np.exp(average), lowest, highest)
    return within


def coverage(scores: Floats, weights: Floats) -> Floats:
    """Share by weight, 0-1, of the scores along the last axis that are there; 0 where there are none at all."""
    total = weights.sum(axis=-1)
    present = np.where(np.isnan(scores), 0.0, weights).sum(axis=-1)
    share: Floats = np.divide(present, total, out=np.zeros(total.shape), where=total > 0)
    return share


def is_sufficient(share: float) -> bool:
    """Whether two thirds by weight, that limit included, are there (our own design)."""
    return share >= MINIMUM_COVERAGE - _ROUNDING


def combine(name: str, children: Sequence[Score], weights: Sequence[float], mean: Mean = Mean.ARITHMETIC) -> Score:
    """The mean of `children` as a score that explains itself; `insufficient` below a coverage of two thirds.

    A missing child is left out and the weights are renormalised: it is never a zero. Contributions: w s; in a
    geometric mean G each child has the part of G that its part of sum(w ln s) is.
    """
    scores = np.array([np.nan if child.value is None else child.value for child in children], float)
    nominal = np.array(weights, float)
    share = float(coverage(scores, nominal))
    if not is_sufficient(share):
        return Score.missing(name, State.INSUFFICIENT, share)
    used = np.where(np.isnan(scores), 0.0, nominal)
    used /= used.sum()
    value = float(weighted_mean(scores, nominal, mean))
    parts = _parts(np.nan_to_num(scores), used, value, mean)
    listed = zip(children, used.tolist(), parts.tolist(), strict=True)
    contributions = tuple(Contribution(child.name, weight, child.value, part) for child, weight, part in listed)
    return Score(name, State.SCORED, value, share, contributions)


def _parts(scores: Floats, weights: Floats, value: float, mean: Mean) -> Floats:
    if mean is Mean.ARITHMETIC:
        return weights * scores
    logs = weights * np.log(np.maximum(scores, FLOOR))
    return value * logs / logs.sum() if logs.sum() > 0 else value * weights
