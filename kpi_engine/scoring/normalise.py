"""Values of KPIs to scores of 0-100 with fixed goalposts; KPIs of several values by one rule each.

Goalposts are never taken from the city's own history or from other cities, or scores would move without any change.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, assert_never

import numpy as np
from pydantic import Field, model_validator

from kpi_engine.scoring.combine import Floats, combine
from kpi_engine.scoring.documents import Table, parse
from kpi_engine.scoring.goalposts import Goalposts, GoalpostSet, Text
from kpi_engine.scoring.score import Contribution, Score, State

VALUE = "value"  # name of the only part of a KPI that has one value

Scorer = Callable[[Goalposts, float], float]


class Rule(StrEnum):
    """How the parts of a KPI make one score (our own design)."""

    SINGLE = "single"  # one value
    MINIMUM = "minimum"  # worst score of the parts, as for the pollutants of air
    MEAN = "mean"  # equal mean of their scores
    BEST = "best"  # best score, as for the technologies of wireless coverage
    SUM = "sum"  # score of the sum of the parts named, as recycled plus controlled waste
    ASPECTS = "aspects"  # 100 * aspects met / aspects, each 0 or 1
    YES_NO = "yes_no"  # 0 or 100


class KpiRule(Table):
    """The rule of one KPI. `parts` are all the parts it is made of; one that is missing is missed."""

    kpi: Text
    rule: Rule
    parts: Annotated[tuple[Text, ...], Field(min_length=1)] = (VALUE,)

    @model_validator(mode="after")
    def _possible(self) -> "KpiRule":
        if len(set(self.parts)) < len(self.parts):
            raise ValueError("'parts' names a part twice")
        if self.rule in {Rule.SINGLE, Rule.YES_NO} and len(self.parts) > 1:
            raise ValueError(f"rule {self.rule.value!r} has one part")
        return self


class Rules(Table):
    """The rules of a city; a KPI without one has a single value."""

    rule: tuple[KpiRule, ...] = ()

    @model_validator(mode="after")
    def _one_each(self) -> "Rules":
        names = [each.kpi for each in self.rule]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"more than one rule for {', '.join(twice)}")
        return self

    def of(self, kpi: str) -> KpiRule:
        """The rule of a KPI."""
        return next((each for each in self.rule if each.kpi == kpi), KpiRule(kpi=kpi, rule=Rule.SINGLE))


def load_rules(text: str) -> Rules:
    """Rules from TOML with tables `[[rule]]`. Raises ConfigurationError that names every fault by its key."""
    return parse(text, Rules, "scoring rules")


@dataclass(frozen=True, slots=True)
class Measured:
    """What was reported of one KPI. `day` decides on the goalposts: the last day of the value's period.

    `parts` by name; a part that is absent or not finite is not reported. Aspects and yes/no are 1 and 0.
    """

    kpi: str
    day: date
    parts: Mapping[str, float]

    def of(self, part: str) -> float | None:
        """One part, None where it is not reported."""
        found = self.parts.get(part)
        return found if found is not None and math.isfinite(found) else None


def linear_score(values: Floats, worst: float, target: float) -> Floats:
    """100 * clip((x - worst) / (target - worst), 0, 1), with worst > target where less is better; our own design.

    Values, `worst` and `target` in one unit; the goalposts themselves score 0 and 100. NaN stays NaN.
    """
    score: Floats = 100.0 * np.clip((values - worst) / (target - worst), 0.0, 1.0)
    return score


def target_score(values: Floats, target: float, tolerance: float) -> Floats:
    """100 * clip(1 - |x - target| / tolerance, 0, 1), for what is best at one value; our own design.

    Values, `target` and `tolerance` in one unit; 0 at a distance of `tolerance` and beyond. NaN stays NaN.
    """
    score: Floats = 100.0 * np.clip(1.0 - np.abs(values - target) / tolerance, 0.0, 1.0)
    return score


def score_value(goalposts: Goalposts, value: float) -> float:
    """Score of one value."""
    values = np.array(value, float)
    if goalposts.tolerance is not None:
        return float(target_score(values, goalposts.target, goalposts.tolerance))
    assert goalposts.worst is not None  # noqa: S101 (goalposts have either)
    return float(linear_score(values, goalposts.worst, goalposts.target))


def score_kpis(
    measured: Iterable[Measured], rules: Rules, goalposts: GoalpostSet, scorer: Scorer = score_value
) -> dict[str, Score]:
    """Score of each KPI by its code; a KPI given twice counts as last given."""
    return {each.kpi: score_kpi(each, rules.of(each.kpi), goalposts, scorer) for each in measured}


def score_kpi(measured: Measured, rule: KpiRule, goalposts: GoalpostSet, scorer: Scorer = score_value) -> Score:
    """Score of one KPI with the goalposts of its date; `scorer` is another one only to vary the goalposts.

    Minimum, mean and best need two thirds of their parts. A sum or a count of aspects needs them all, since a part
    that is left out would count as nothing; so does yes/no. Contributions are those of the parts.
    """
    if all(measured.of(part) is None for part in rule.parts):
        return Score.missing(measured.kpi, State.NOT_REPORTED)
    match rule.rule:
        case Rule.SINGLE | Rule.MINIMUM | Rule.MEAN | Rule.BEST:
            return _of_scored_parts(measured, rule, goalposts, scorer)
        case Rule.SUM:
            return _of_a_sum(measured, rule, goalposts, scorer)
        case Rule.ASPECTS | Rule.YES_NO:
            return _of_claims(measured, rule)
        case _:
            assert_never(rule.rule)


def _of_scored_parts(measured: Measured, rule: KpiRule, goalposts: GoalpostSet, scorer: Scorer) -> Score:
    posts = {part: goalposts.in_force(measured.kpi, part, measured.day) for part in rule.parts}
    if all(each is None for each in posts.values()):
        return Score.missing(measured.kpi, State.NO_GOALPOSTS)
    parts = [_part(part, posts[part], measured.of(part), scorer) for part in rule.parts]
    mean = combine(measured.kpi, parts, [1.0] * len(parts))
    versions = tuple(sorted({each.version for each in posts.values() if each is not None}))
    found = replace(mean, goalpost_versions=versions)
    if found.value is None or rule.rule in {Rule.SINGLE, Rule.MEAN}:
        return found
    return _only(found, min if rule.rule is Rule.MINIMUM else max)


def _part(name: str, goalposts: Goalposts | None, value: float | None, scorer: Scorer) -> Score:
    if value is None:
        return Score.missing(name, State.NOT_REPORTED)
    if goalposts is None:
        return Score.missing(name, State.NO_GOALPOSTS)
    return Score(name, State.SCORED, scorer(goalposts, value), 1.0)


def _only(mean: Score, choose: Callable[[Iterable[float]], float]) -> Score:
    """The mean's score replaced by that of one part, which alone contributes; the first where several are equal."""
    value = choose(each.score for each in mean.contributions if each.score is not None)
    chosen = next(number for number, each in enumerate(mean.contributions) if each.score == value)
    contributions = tuple(
        Contribution(each.child, float(number == chosen), each.score, value if number == chosen else 0.0)
        for number, each in enumerate(mean.contributions)
    )
    return replace(mean, value=value, contributions=contributions)


def _of_a_sum(measured: Measured, rule: KpiRule, goalposts: GoalpostSet, scorer: Scorer) -> Score:
    """The score of the sum; each part contributes what its share of the sum is."""
    values = _complete(measured, rule)
    posts = goalposts.in_force(measured.kpi, None, measured.day)
    if posts is None:
        return Score.missing(measured.kpi, State.NO_GOALPOSTS)
    if len(values) < len(rule.parts):
        return Score.missing(measured.kpi, State.INSUFFICIENT, len(values) / len(rule.parts))
    if min(values.values()) < 0:
        return Score.missing(measured.kpi, State.IMPOSSIBLE, 1.0)
    total = sum(values.values())
    score = scorer(posts, total)
    weights = {part: value / total if total > 0 else 1 / len(values) for part, value in values.items()}
    contributions = tuple(Contribution(part, weight, score, weight * score) for part, weight in weights.items())
    return Score(measured.kpi, State.SCORED, score, 1.0, contributions, (posts.version,))


def _of_claims(measured: Measured, rule: KpiRule) -> Score:
    """100 for each claim that is met, equally weighted; needs no goalposts."""
    values = _complete(measured, rule)
    if len(values) < len(rule.parts):
        return Score.missing(measured.kpi, State.INSUFFICIENT, len(values) / len(rule.parts))
    if any(value not in {0, 1} for value in values.values()):
        return Score.missing(measured.kpi, State.IMPOSSIBLE, 1.0)
    parts = [Score(part, State.SCORED, 100.0 * value, 1.0) for part, value in values.items()]
    return combine(measured.kpi, parts, [1.0] * len(parts))


def _complete(measured: Measured, rule: KpiRule) -> dict[str, float]:
    return {part: value for part in rule.parts if (value := measured.of(part)) is not None}
