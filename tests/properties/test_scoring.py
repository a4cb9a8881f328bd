"""What holds of scores whatever is reported."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.scoring import (
    Goalposts,
    GoalpostSet,
    KpiRule,
    Measured,
    Place,
    Rule,
    Rules,
    Score,
    State,
    robustness,
    roll_up,
    score_kpi,
    score_kpis,
)
from kpi_engine.scoring.combine import Mean, combine
from kpi_engine.scoring.normalise import score_value
from kpi_engine.scoring.robustness import varied_scores
from kpi_engine.scoring.roll_up import EQUAL, NodeWeight, WeightSet, kpi_weights

DAY = date(2026, 12, 31)
SCORE = st.floats(0, 100)
WEIGHT = st.floats(0.1, 10)
CHILDREN = st.lists(st.tuples(st.none() | SCORE, WEIGHT), min_size=1, max_size=8)
VALUE = st.integers(-300, 300).map(float)
SHARE = st.sampled_from([0.0, 0.1, 0.2, 0.4])
PLACE = st.tuples(*(st.sampled_from("ab") for _ in range(3)))
CITY = st.lists(st.tuples(PLACE, st.none() | VALUE), min_size=1, max_size=12)


def posts(kpi: str, worst: float, target: float) -> Goalposts:
    """Illustrative goalposts."""
    fields = {"source": "illustrative", "approved_by": "a test", "valid_from": date(2026, 1, 1)}
    return Goalposts.model_validate({"kpi": kpi, "worst": worst, "target": target, **fields})


@st.composite
def goalposts(draw: st.DrawFn) -> Goalposts:
    target = draw(VALUE)
    if draw(st.booleans()):
        return posts("K", draw(VALUE.filter(lambda worst: worst != target)), target)
    tolerant = {"worst": None, "tolerance": draw(st.integers(1, 100))}
    return Goalposts.model_validate(posts("K", target + 1, target).model_dump() | tolerant)


def child(number: int, value: float | None) -> Score:
    name = f"child {number}"
    return Score.missing(name, State.NOT_REPORTED) if value is None else Score(name, State.SCORED, value, 1.0)


@given(CHILDREN, st.sampled_from(Mean))
def test_a_mean_lies_between_its_children_and_its_contributions_sum_to_it(
    children: list[tuple[float | None, float]], mean: Mean
) -> None:
    found = combine("n", [child(n, value) for n, (value, _) in enumerate(children)], [w for _, w in children], mean)
    known = [value for value, _ in children if value is not None]
    if found.value is None:
        assert found.coverage < 2 / 3
        return
    floor = 1 if mean is Mean.GEOMETRIC else 0
    assert max(min(known), floor) <= found.value <= max(*known, floor)
    assert sum(each.contribution for each in found.contributions) == pytest.approx(found.value, abs=1e-9)
    assert sum(each.weight for each in found.contributions) == pytest.approx(1)


@given(CHILDREN, WEIGHT, st.sampled_from(Mean))
def test_a_missing_child_changes_the_coverage_and_never_the_score(
    children: list[tuple[float | None, float]], weight: float, mean: Mean
) -> None:
    scores, weights = [child(n, value) for n, (value, _) in enumerate(children)], [w for _, w in children]
    before = combine("n", scores, weights, mean)
    after = combine("n", [*scores, child(99, None)], [*weights, weight], mean)
    assert after.coverage <= before.coverage
    if after.value is not None:
        assert before.value is not None
        assert after.value == pytest.approx(before.value, abs=1e-9)


@given(goalposts(), st.lists(VALUE, min_size=2, max_size=2))
def test_a_score_is_within_its_limits_and_grows_towards_the_target(own: Goalposts, values: list[float]) -> None:
    far, near = sorted(values, key=lambda value: abs(value - own.target), reverse=True)
    assert 0 <= score_value(own, near) <= 100
    same_side = (far - own.target) * (near - own.target) >= 0
    if own.tolerance is not None or (same_side and (near - own.target) * ((own.worst or 0) - own.target) >= 0):
        assert score_value(own, far) <= score_value(own, near)
    assert score_value(own, own.target) == 100


@given(goalposts(), VALUE, SHARE, st.floats(-1, 1), st.floats(-1, 1))
def test_no_goalposts_within_the_variation_leave_the_interval(
    own: Goalposts, value: float, share: float, first: float, second: float
) -> None:
    low, high = varied_scores(own, value, share)
    if own.tolerance is not None:
        moved = {
            "target": own.target + first * share * own.tolerance,
            "tolerance": own.tolerance * (1 + second * share),
        }
    else:
        assert own.worst is not None
        move = share * (own.target - own.worst)
        moved = {"target": own.target + first * move, "worst": own.worst + second * move}
    assert low - 1e-9 <= score_value(own.model_copy(update=moved), value) <= high + 1e-9


@given(CITY, st.randoms(use_true_random=False), SHARE)
def test_no_choice_of_goalposts_weights_and_mean_leaves_the_interval_of_the_city(
    city: list[tuple[tuple[str, ...], float | None]], random: object, share: float
) -> None:
    places = [Place(f"k{n}", *path) for n, (path, _) in enumerate(city)]
    measured = [Measured(f"k{n}", DAY, {} if v is None else {"value": v}) for n, (_, v) in enumerate(city)]
    as_agreed = GoalpostSet(goalposts=tuple(posts(place.kpi, 0, 100) for place in places))
    found = robustness(places, measured, Rules(), as_agreed, EQUAL, share)
    base = roll_up(places, score_kpis(measured, Rules(), as_agreed))
    if found is None:
        assert base.score.value is None
        return

    def factor() -> float:
        return random.uniform(-share, share)  # type: ignore[attr-defined, no-any-return]

    moved = GoalpostSet(goalposts=tuple(posts(p.kpi, 100 * factor(), 100 + 100 * factor()) for p in places))
    named = tuple(NodeWeight(path=node.path, weight=1 + factor()) for node in base.walk() if node.path)
    scores = score_kpis(measured, Rules(), moved)
    for across in Mean:
        other = roll_up(places, scores, WeightSet(weight=named), across)
        if [node.score.state for node in other.walk()] == [node.score.state for node in base.walk()]:
            assert other.score.value is not None
            assert found.everything.low - 1e-9 <= other.score.value <= found.everything.high + 1e-9
    for interval in (*found.one_at_a_time, found.everything):
        assert found.everything.low - 1e-9 <= interval.low <= found.score + 1e-9
        assert found.score - 1e-9 <= interval.high <= found.everything.high + 1e-9


@given(CITY)
def test_the_order_of_the_kpis_changes_no_score_and_their_weights_sum_to_one(
    city: list[tuple[tuple[str, ...], float | None]],
) -> None:
    places = [Place(f"k{n}", *path) for n, (path, _) in enumerate(city)]
    scores = {f"k{n}": child(n, None if value is None else abs(value) / 3) for n, (_, value) in enumerate(city)}
    one, other = roll_up(places, scores), roll_up(places[::-1], scores)
    assert math.fsum(kpi_weights(one).values()) == pytest.approx(1)
    assert one.score.state is other.score.state
    assert one.score.value == (None if other.score.value is None else pytest.approx(other.score.value, abs=1e-9))
    assert 0 <= one.kpi_coverage <= 1 + 1e-9


@given(st.dictionaries(st.sampled_from("abc"), st.floats(0, 120) | st.just(math.nan)), st.sampled_from(Rule))
def test_the_contributions_of_the_parts_sum_to_the_score_whatever_the_rule(parts: dict[str, float], rule: Rule) -> None:
    named = ("a",) if rule in {Rule.SINGLE, Rule.YES_NO} else ("a", "b", "c")
    found = score_kpi(
        Measured("K", DAY, parts),
        KpiRule(kpi="K", rule=rule, parts=named),
        GoalpostSet(goalposts=(posts("K", 0, 100),)),
    )
    assert (found.value is None) == (found.state is not State.SCORED)
    if found.value is not None:
        assert 0 <= found.value <= 100
        assert sum(each.contribution for each in found.contributions) == pytest.approx(found.value, abs=1e-9)
    elif not np.isfinite([parts.get(part, math.nan) for part in named]).any():
        assert found.state is State.NOT_REPORTED
