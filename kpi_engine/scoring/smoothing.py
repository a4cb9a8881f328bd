"""Smoothing over periods, for scores that jump from survey to survey."""

import math
from collections.abc import Sequence
from dataclasses import replace

from kpi_engine.scoring.combine import combine
from kpi_engine.scoring.score import Score, State

WEIGHTS = (3.0, 2.0, 1.0)  # newest first


def smooth(name: str, newest_first: Sequence[tuple[str, float | None]]) -> Score:
    """3:2:1 over the last three periods that have a score; pairs (period, score 0-100), newest first.

    With fewer than three the weights are renormalised; None and NaN are no scores. The weights are those of the IMD
    Smart City Index (verified), which counts survey waves: a period without a score is passed over, it does not push
    an older one out. Use for other scores is our own design. `coverage` is the share of the three weights that was
    used. Without any score: `insufficient`.
    """
    scored = [(period, score) for period, score in newest_first if score is not None and not math.isnan(score)]
    used = WEIGHTS[: len(scored)]
    valid = [Score(period, State.SCORED, score, 1.0) for period, score in scored[: len(WEIGHTS)]]
    return replace(combine(name, valid, used), coverage=sum(used) / sum(WEIGHTS))
