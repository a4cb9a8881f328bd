"""How much of the city's score hangs on choices: its interval when goalposts, weights and the mean are others."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kpi_engine.scoring.combine import Floats, Mean, weighted_mean
from kpi_engine.scoring.goalposts import Goalposts, GoalpostSet
from kpi_engine.scoring.normalise import Measured, Rules, linear_score, score_kpis, target_score
from kpi_engine.scoring.roll_up import EQUAL, Node, Place, WeightSet, roll_up
from kpi_engine.scoring.score import Score

SHARE = 0.2
_AS_AGREED = (Mean.GEOMETRIC,)


@dataclass(frozen=True, slots=True)
class Interval:
    """Least and greatest city score, both reached by some choice, and in words what was varied."""

    varied: str
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Robustness:
    """The city score as it is, its interval when everything varies at once, and when one thing does at a time."""

    score: float
    everything: Interval
    one_at_a_time: tuple[Interval, ...]
    goalpost_version: str
    weight_version: str


def robustness(  # noqa: PLR0913, PLR0917 (all that a city score depends on)
    places: Sequence[Place],
    measured: Iterable[Measured],
    rules: Rules,
    goalposts: GoalpostSet,
    weights: WeightSet = EQUAL,
    share: float = SHARE,
) -> Robustness | None:
    """The interval of the city score; None where the city has none. Our own design, deterministic, no sampling.

    `worst` and `target` each move by `share` of the distance between them (per cent of a worst value of 0 would be
    nothing), `target` of a target type by that share of `tolerance`, which itself becomes smaller or larger by it;
    each weight is multiplied by 1 - share to 1 + share, independently of all others; across dimensions the mean is
    arithmetic or geometric. Scores grow with each of their children, so ends are found from the leaves up: they are
    the extremes of all these choices together, not a probability. What is missing stays missing, and what was scored
    stays scored. Raises ValueError for a share that is not within [0, 0.5), where goalposts would meet.
    """
    if not 0 <= share < 0.5:
        raise ValueError(f"share {share} is not within [0, 0.5)")
    reported = tuple(measured)
    as_is = score_kpis(reported, rules, goalposts)
    city = roll_up(places, as_is, weights)
    if city.score.value is None:
        return None
    lows = score_kpis(reported, rules, goalposts, lambda posts, value: varied_scores(posts, value, share)[0])
    highs = score_kpis(reported, rules, goalposts, lambda posts, value: varied_scores(posts, value, share)[1])
    one_at_a_time = (
        _interval(f"goalposts +/- {100 * share:g} % of their distance", city, (lows, highs), 0.0, _AS_AGREED),
        _interval(f"weights +/- {100 * share:g} %", city, (as_is, as_is), share, _AS_AGREED),
        _interval("arithmetic or geometric mean across dimensions", city, (as_is, as_is), 0.0, tuple(Mean)),
    )
    varied = "; ".join(each.varied for each in one_at_a_time)
    everything = _interval(varied, city, (lows, highs), share, tuple(Mean))
    return Robustness(city.score.value, everything, one_at_a_time, goalposts.version, weights.version)


def varied_scores(goalposts: Goalposts, value: float, share: float) -> tuple[float, float]:
    """Least and greatest score of a value while its goalposts move as `robustness` says."""
    x = np.array(value, float)
    if goalposts.tolerance is not None:
        distance, reach = abs(value - goalposts.target), share * goalposts.tolerance
        far, near = np.array(distance + reach), np.array(max(0.0, distance - reach))
        low = target_score(far, 0.0, goalposts.tolerance * (1 - share))
        return float(low), float(target_score(near, 0.0, goalposts.tolerance * (1 + share)))
    assert goalposts.worst is not None  # noqa: S101 (goalposts have either)
    move = share * (goalposts.target - goalposts.worst)
    corners = [
        float(linear_score(x, goalposts.worst + first, goalposts.target + second))
        for first in (-move, move)
        for second in (-move, move)
    ]
    return min(corners), max(corners)


def _interval(
    varied: str,
    city: Node,
    scores: tuple[Mapping[str, Score], Mapping[str, Score]],
    share: float,
    means: tuple[Mean, ...],
) -> Interval:
    lows = [_extreme(city, scores[0], share, mean, -1) for mean in means]
    highs = [_extreme(city, scores[1], share, mean, 1) for mean in means]
    return Interval(varied, min(lows), max(highs))


def _extreme(node: Node, scores: Mapping[str, Score], share: float, across: Mean, sign: int) -> float:
    """Greatest (sign 1) or least (-1) score of a node that has one."""
    if node.mean is None:
        value = scores[node.path[-1]].value
        assert value is not None  # noqa: S101 (goalposts were varied, not what is reported)
        return value
    children = [child for child in node.children if child.score.value is not None]
    values = np.array([_extreme(child, scores, share, across, sign) for child in children])
    weights = np.array([child.weight for child in children])
    return _extreme_mean(values, weights, share, Mean.ARITHMETIC if node.path else across, sign)


def _extreme_mean(values: Floats, weights: Floats, share: float, mean: Mean, sign: int) -> float:
    """Extreme of a mean whose weights vary: some of the best scores weigh more and all others less, or the reverse."""
    order = np.argsort(-sign * values, kind="stable")
    heavier = np.tri(len(values), k=-1, dtype=bool)  # the first 0, 1, 2, ... of them; all is the same as none
    varied = weights[order] * np.where(heavier, 1 + share, 1 - share)
    means = weighted_mean(np.broadcast_to(values[order], varied.shape), varied, mean)
    return float(sign * (sign * means).max())
