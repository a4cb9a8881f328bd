"""How a city scores itself, against the worked examples. All goalposts here are illustrative, none is official."""

import csv
import json
import math
import re
import tomllib
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kpi_engine.scoring import (
    GoalpostSet,
    KpiRule,
    Level,
    Measured,
    Node,
    Place,
    QualityLabel,
    Rule,
    Rules,
    Score,
    State,
    WeightSet,
    carry_forward,
    level_of,
    load_goalposts,
    load_rules,
    load_weights,
    plausibility,
    priority_area_scores,
    quality_grade,
    robustness,
    roll_up,
    score_kpi,
    score_kpis,
    smooth,
)
from kpi_engine.scoring.combine import Mean, combine, weighted_mean
from kpi_engine.scoring.goalposts import Goalposts
from kpi_engine.scoring.normalise import linear_score, target_score
from kpi_engine.scoring.plausibility import AIR, ORDERS, SHARES_OF_A_WHOLE, TREATMENT, Check, Finding, Reported
from kpi_engine.scoring.quality import CarriedValue, may_be_published
from kpi_engine.scoring.robustness import varied_scores
from kpi_engine.scoring.roll_up import kpi_weights
from pulso.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
VECTORS = ROOT.parent / "shared" / "domain" / "test_vectors.json"
PAGE = ROOT / "docs" / "reference" / "scoring.md"
DAY = date(2026, 12, 31)


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))[name]


def posts(kpi: str, target: float, worst: float | None = None, **more: Any) -> Goalposts:
    """Illustrative goalposts."""
    fields = {"source": "illustrative", "approved_by": "a test", "valid_from": date(2026, 1, 1), **more}
    return Goalposts(kpi=kpi, worst=worst, target=target, **fields)


def scored(name: str, value: float | None) -> Score:
    return Score.missing(name, State.NOT_REPORTED) if value is None else Score(name, State.SCORED, value, 1.0)


def of(
    measured: dict[str, float], rule: Rule, *goalposts: Goalposts, parts: tuple[str, ...] = ("a", "b", "c")
) -> Score:
    return score_kpi(
        Measured("K", DAY, measured), KpiRule(kpi="K", rule=rule, parts=parts), GoalpostSet(goalposts=goalposts)
    )


PERCENT = posts("K", 100, 0)


# --- goalposts -------------------------------------------------------------------------------------------------------

TOML = """
[[goalposts]]
kpi = "K"
worst = 2.5
target = 1.2
source = "illustrative"
valid_from = 2026-01-01
valid_to = 2026-06-30
approved_by = "a test"

[[goalposts]]
kpi = "K"
worst = 2.0
target = 1.2
source = "illustrative"
valid_from = 2026-07-01
approved_by = "a test"
"""


@pytest.mark.parametrize(
    ("day", "worst"),
    [
        (date(2025, 12, 31), None),
        (date(2026, 1, 1), 2.5),
        (date(2026, 6, 30), 2.5),
        (date(2026, 7, 1), 2.0),
        (date(2040, 1, 1), 2.0),
    ],
)
def test_goalposts_are_those_of_the_date_of_the_value_both_ends_included(day: date, worst: float | None) -> None:
    found = load_goalposts(TOML).in_force("K", None, day)
    assert (found and found.worst) == worst


def test_any_change_of_goalposts_is_another_version_and_their_order_is_none() -> None:
    loaded = load_goalposts(TOML)
    assert loaded.version == GoalpostSet(goalposts=loaded.goalposts[::-1]).version
    assert loaded.version != load_goalposts(TOML.replace('"a test"', '"somebody else"', 1)).version
    assert re.fullmatch(r"[0-9a-f]{12}", loaded.version)


def test_goalposts_of_a_series_come_before_those_of_the_kpi() -> None:
    both = GoalpostSet(goalposts=(posts("K", 100, 0), posts("K", 50, 0, series="a")))
    assert [(each := both.in_force("K", series, DAY)) and each.target for series in ("a", "b")] == [50, 100]
    assert both.in_force("L", "a", DAY) is None


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (("worst = 2.5", 'worst = "low"'), "goalposts[1].worst: Input should be a valid number"),
        (("worst = 2.5", "worst = inf"), "goalposts[1].worst: Input should be a finite number"),
        (("worst = 2.5", "worse = 2.5"), "goalposts[1].worse: Extra inputs are not permitted"),
        (("worst = 2.5", "worst = 1.2"), "goalposts[1]: 'worst' and 'target' are the same value"),
        (("worst = 2.5", "tolerance = 0"), "goalposts[1].tolerance: Input should be greater than 0"),
        (("worst = 2.5", ""), "goalposts[1]: goalposts have either 'worst' or 'tolerance'"),
        (("worst = 2.5", "worst = 2.5\ntolerance = 1"), "goalposts[1]: goalposts have either 'worst' or 'tolerance'"),
        (('source = "illustrative"', 'source = ""'), "goalposts[1].source: String should have at least 1 character"),
        (('approved_by = "a test"', ""), "goalposts[1].approved_by: Field required"),
        (("2026-06-30", "2025-06-30"), "goalposts[1]: 'valid_to' 2025-06-30 is before 'valid_from' 2026-01-01"),
        (("2026-06-30", "2026-07-01"), "document: goalposts[2] and goalposts[1] of 'K' overlap"),
        (("valid_to = 2026-06-30", ""), "document: goalposts[2] and goalposts[1] of 'K' overlap"),
    ],
)
def test_a_fault_in_goalposts_is_named_by_its_key(change: tuple[str, str], fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_goalposts(TOML.replace(*change, 1))
    assert any(each.startswith(fault) for each in caught.value.faults), caught.value.faults


def test_every_fault_is_named_at_once_and_text_that_is_no_toml_is_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_goalposts(TOML.replace("target = 1.2", "target = true").replace('kpi = "K"', "kpi = 5"))
    assert len(caught.value.faults) >= 2
    with pytest.raises(ConfigurationError, match="are not TOML"):
        load_goalposts("[[goalposts]")


@pytest.mark.parametrize("earlier_first", [True, False])
def test_goalposts_overlap_in_whichever_order_they_are_written(earlier_first: bool) -> None:
    both = [posts("K", 100, 0), posts("K", 90, 0, valid_from=date(2026, 7, 1))][:: 1 if earlier_first else -1]
    with pytest.raises(ValueError, match="overlap"):
        GoalpostSet(goalposts=tuple(both))
    apart = posts("K", 90, 0, valid_from=date(2026, 7, 1), series="a")
    assert len(GoalpostSet(goalposts=(posts("K", 100, 0), apart)).goalposts) == 2


def test_no_goalposts_are_a_document_too() -> None:
    assert load_goalposts("").goalposts == ()


# --- one value -------------------------------------------------------------------------------------------------------


def test_scores_of_the_worked_examples() -> None:
    for example in vectors("scoring"):
        kpi, target = example["kpi"], example["target"]
        if "worst" in example:
            own = posts(kpi, target, example["worst"])
        else:
            own = posts(kpi, target, tolerance=target - example["worst_low"])
            assert example["worst_high"] - target == pytest.approx(own.tolerance)
        measured = Measured(kpi, DAY, {"value": example["value"]})
        found = score_kpi(measured, Rules().of(kpi), GoalpostSet(goalposts=(own,)))
        assert found.value == pytest.approx(example["score"], abs=5e-5), kpi
        assert found.goalpost_versions == (own.version,)


def test_a_score_ends_at_its_goalposts_whichever_way_is_better() -> None:
    values = np.array([-1.0, 0.0, 25.0, 100.0, 101.0, np.nan])
    np.testing.assert_array_equal(linear_score(values, 0, 100), [0, 0, 25, 100, 100, np.nan])
    np.testing.assert_array_equal(linear_score(values, 100, 0), [100, 100, 75, 0, 0, np.nan])


def test_a_target_is_best_on_both_sides_and_worth_nothing_from_the_tolerance_on() -> None:
    values = np.array([0.4, 0.5, 0.75, 1.0, 1.25, 1.5, np.nan])
    np.testing.assert_array_equal(target_score(values, 1.0, 0.5), [0, 0, 50, 100, 50, 0, np.nan])


@pytest.mark.parametrize("parts", [{}, {"value": math.nan}, {"value": math.inf}, {"other": 5.0}])
def test_what_is_not_reported_is_no_zero(parts: dict[str, float]) -> None:
    found = of(parts, Rule.SINGLE, PERCENT, parts=("value",))
    assert (found.state, found.value) == (State.NOT_REPORTED, None)


def test_a_kpi_without_goalposts_on_its_date_stays_unscored() -> None:
    assert of({"value": 5}, Rule.SINGLE, parts=("value",)).state is State.NO_GOALPOSTS
    old = posts("K", 100, 0, valid_to=date(2026, 6, 30))
    assert of({"value": 5}, Rule.SINGLE, old, parts=("value",)).state is State.NO_GOALPOSTS
    assert of({"a": 5}, Rule.SUM, parts=("a",)).state is State.NO_GOALPOSTS


# --- several values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rule", "value"), [(Rule.MINIMUM, 20.0), (Rule.MEAN, 50.0), (Rule.BEST, 80.0)])
def test_parts_make_one_score_by_the_rule_of_the_kpi(rule: Rule, value: float) -> None:
    found = of({"a": 50, "b": 20, "c": 80}, rule, PERCENT)
    assert found.value == pytest.approx(value)
    assert sum(each.contribution for each in found.contributions) == pytest.approx(value)
    assert [each.score for each in found.contributions] == [50, 20, 80]


def test_each_part_has_goalposts_of_its_own() -> None:
    found = of(
        {"a": 10, "b": 10}, Rule.MEAN, posts("K", 10, 0, series="a"), posts("K", 20, 0, series="b"), parts=("a", "b")
    )
    assert found.value == 75
    assert len(found.goalpost_versions) == 2


def test_the_worst_part_alone_contributes_and_the_first_of_equal_ones() -> None:
    found = of({"a": 50, "b": 20, "c": 20}, Rule.MINIMUM, PERCENT)
    assert [(each.weight, each.contribution) for each in found.contributions] == [(0, 0), (1, 20), (0, 0)]


@pytest.mark.parametrize("rule", [Rule.MINIMUM, Rule.MEAN, Rule.BEST])
def test_two_thirds_of_the_parts_are_enough_and_fewer_are_not(rule: Rule) -> None:
    assert of({"a": 50, "b": 50}, rule, PERCENT).value == 50
    assert of({"a": 50, "b": 50}, rule, PERCENT).coverage == pytest.approx(2 / 3)
    few = of({"a": 50}, rule, PERCENT)
    assert (few.state, few.value, few.coverage) == (State.INSUFFICIENT, None, pytest.approx(1 / 3))


def test_a_sum_is_scored_as_a_whole_and_shared_out_among_its_parts() -> None:
    found = of({"a": 8, "b": 72, "unnamed": 20}, Rule.SUM, PERCENT, parts=("a", "b"))
    assert found.value == 80
    assert [each.contribution for each in found.contributions] == pytest.approx([8, 72])


def test_a_sum_needs_all_its_parts_and_no_share_below_zero() -> None:
    assert of({"a": 8}, Rule.SUM, PERCENT, parts=("a", "b")).state is State.INSUFFICIENT
    assert of({"a": 8, "b": -1}, Rule.SUM, PERCENT, parts=("a", "b")).state is State.IMPOSSIBLE
    nothing = of({"a": 0, "b": 0}, Rule.SUM, posts("K", 0, 100), parts=("a", "b"))
    assert (nothing.value, [each.contribution for each in nothing.contributions]) == (100, [50, 50])


def test_aspects_count_and_all_have_to_be_answered() -> None:
    aspects = ("compact", "connected", "integrated", "inclusive", "resilient")
    met = dict.fromkeys(aspects, 0.0) | {"compact": 1.0, "resilient": 1.0}
    assert of(met, Rule.ASPECTS, parts=aspects).value == pytest.approx(40)
    assert of({"compact": 1.0}, Rule.ASPECTS, parts=aspects).state is State.INSUFFICIENT
    assert of(met | {"compact": 0.5}, Rule.ASPECTS, parts=aspects).state is State.IMPOSSIBLE


@pytest.mark.parametrize(("answer", "value"), [(0, 0), (1, 100)])
def test_yes_is_a_hundred_and_no_nothing(answer: float, value: float) -> None:
    found = of({"value": answer}, Rule.YES_NO, parts=("value",))
    assert (found.state, found.value) == (State.SCORED, value)


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ('[[rule]]\nkpi = "K"\nrule = "median"', "rule[1].rule: Input should be"),
        ('[[rule]]\nkpi = "K"\nrule = "sum"\nparts = []', "rule[1].parts: "),
        ('[[rule]]\nkpi = "K"\nrule = "sum"\nparts = ["a", "a"]', "rule[1]: 'parts' names a part twice"),
        ('[[rule]]\nkpi = "K"\nrule = "yes_no"\nparts = ["a", "b"]', "rule[1]: rule 'yes_no' has one part"),
        ('[[rule]]\nkpi = "K"\nrule = "yes_no"\n' * 2, "document: more than one rule for K"),
    ],
)
def test_a_fault_in_rules_is_named_by_its_key(toml: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_rules(toml)
    assert caught.value.faults[0].startswith(fault)


# --- means, levels, smoothing ----------------------------------------------------------------------------------------


def test_means_of_the_worked_example() -> None:
    example = vectors("aggregation")
    children = [scored(str(number), score) for number, score in enumerate(example["scores"])]
    for mean in Mean:
        found = combine("city", children, [1, 1, 1], mean)
        assert found.value == pytest.approx(example[mean.value], abs=5e-5)
        assert sum(each.contribution for each in found.contributions) == pytest.approx(found.value)


def test_a_geometric_mean_counts_nothing_as_one() -> None:
    assert combine("n", [scored("a", 0), scored("b", 100)], [1, 1], Mean.GEOMETRIC).value == pytest.approx(10)
    none = combine("n", [scored("a", 0), scored("b", 0.5)], [1, 1], Mean.GEOMETRIC)
    assert (none.value, [each.contribution for each in none.contributions]) == (1, [0.5, 0.5])


def test_in_a_geometric_mean_each_child_contributes_its_part_of_the_logarithms() -> None:
    found = combine("n", [scored("a", 1), scored("b", 10), scored("c", 100)], [1, 1, 1], Mean.GEOMETRIC)
    assert found.value == pytest.approx(10)
    assert [each.contribution for each in found.contributions] == pytest.approx([0, 10 / 3, 20 / 3])


def test_means_work_on_many_rows_at_once_and_leave_out_what_is_missing() -> None:
    rows = np.array([[10, 30], [np.nan, 30], [np.nan, np.nan]])
    np.testing.assert_allclose(weighted_mean(rows, np.array([3.0, 1.0]), Mean.ARITHMETIC), [15, 30, np.nan])
    np.testing.assert_allclose(weighted_mean(rows, np.ones(2), Mean.GEOMETRIC), [np.sqrt(300), 30, np.nan])


@pytest.mark.parametrize("mean", Mean)
@pytest.mark.parametrize("score", [0.1, 1.1, 33.3, 95, 100])
def test_equal_scores_have_exactly_their_mean(score: float, mean: Mean) -> None:
    weights = np.array([0.1, 0.2, 0.3, 0.7, 1.3])
    assert weighted_mean(np.full(5, score), weights, mean) == (score if mean is Mean.ARITHMETIC else max(score, 1))


@pytest.mark.parametrize(("weights", "value"), [([1, 1, 1], 50.0), ([0.1, 0.1, 0.1], 50.0), ([1, 1, 1.01], None)])
def test_two_thirds_by_weight_are_enough_and_a_little_less_is_not(weights: list[float], value: float | None) -> None:
    found = combine("n", [scored("a", 40), scored("b", 60), scored("c", None)], weights)
    assert found.value == (None if value is None else pytest.approx(value))
    assert found.state is (State.INSUFFICIENT if value is None else State.SCORED)
    assert found.coverage == pytest.approx(sum(weights[:2]) / sum(weights))


def test_a_missing_child_stays_in_the_explanation_without_weight() -> None:
    missing = combine("n", [scored("a", 40), scored("b", 60), scored("c", None)], [1, 1, 1]).contributions[2]
    assert (missing.child, missing.weight, missing.score, missing.contribution) == ("c", 0, None, 0)


def test_nothing_to_average_is_insufficient() -> None:
    assert combine("n", [], []).state is State.INSUFFICIENT
    assert combine("n", [scored("a", 5)], [1]).value == 5


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (100, "reached"), (95, "reached"), (94.99999999999999, "reached"), (94.9999, "near"), (66, "near"),
        (65.9999, "under_way"), (33, "under_way"), (32.9999, "far"), (0, "far"), (None, "grey"),
    ],
)  # fmt: skip
def test_levels_include_their_lower_end(score: float | None, level: str) -> None:
    assert level_of(score) is Level(level)


def test_smoothing_of_the_worked_example() -> None:
    example = vectors("imd_3_2_1")
    waves = list(zip(("2023", "2021", "2020"), example["scores_newest_first"], strict=True))
    whole, short = smooth("s", waves), smooth("s", [*waves[:2], ("2020", None)])
    assert whole.value == pytest.approx(example["weighted"], abs=5e-5)
    assert short.value == pytest.approx(example["missing_oldest_renormalised"], abs=5e-5)
    assert (whole.coverage, short.coverage) == (1, pytest.approx(5 / 6))
    assert sum(each.contribution for each in whole.contributions) == pytest.approx(whole.value)


def test_smoothing_passes_over_periods_without_score_and_stops_after_three() -> None:
    gaps = smooth("s", [("5", math.nan), ("4", 62), ("3", None), ("2", 58), ("1", 50), ("0", 1)])
    assert [each.child for each in gaps.contributions] == ["4", "2", "1"]
    assert gaps.value == pytest.approx(58.6667, abs=5e-5)
    assert smooth("s", [("1", 7)]).value == 7
    assert smooth("s", []).state is State.INSUFFICIENT


# --- the tree --------------------------------------------------------------------------------------------------------

CATEGORIES = {"t1": "Transport", "t2": "Transport", "w": "Waste", "e1": "Electricity", "e2": "Electricity"}
INFRASTRUCTURE = [Place(kpi, "Economy", "Infrastructure", category) for kpi, category in CATEGORIES.items()]
SCORES = {kpi: scored(kpi, value) for kpi, value in (("t1", 53.85), ("t2", 92), ("w", 92), ("e1", 56.67), ("e2", 80))}


def node(city: Node, name: str) -> Node:
    return next(each for each in city.walk() if each.score.name == name)


def test_categories_weigh_the_same_however_many_kpis_they_have() -> None:
    city = roll_up(INFRASTRUCTURE, SCORES)
    assert node(city, "Infrastructure").score.value == pytest.approx(77.75, abs=5e-3)  # the flat mean is 74.90
    assert kpi_weights(city) == pytest.approx({"t1": 1 / 6, "t2": 1 / 6, "w": 1 / 3, "e1": 1 / 6, "e2": 1 / 6})


def test_categories_of_one_name_in_two_sub_dimensions_stay_apart() -> None:
    places = [
        Place("a", "EC", "ICT", "Water"),
        Place("b", "EC", "Infrastructure", "Water"),
        Place("c", "EN", "EN", "Water"),
    ]
    city = roll_up(places, {"a": scored("a", 10), "b": scored("b", 50), "c": scored("c", 90)})
    water = [each.score.value for each in city.walk() if each.path[-1:] == ("Water",)]
    assert water == [10, 50, 90]
    assert city.score.value == pytest.approx(math.sqrt(30 * 90))


def test_a_citys_own_weights_count_among_siblings_and_have_a_version() -> None:
    weights = load_weights('name = "w"\n[[weight]]\npath = ["Economy", "Infrastructure", "Waste"]\nweight = 2')
    found = node(roll_up(INFRASTRUCTURE, SCORES, weights), "Infrastructure").score
    assert found.value == pytest.approx((72.925 + 2 * 92 + 68.335) / 4)
    assert weights.version != WeightSet().version


def test_a_strong_dimension_cannot_hide_a_bad_one() -> None:
    places = [Place(kpi, kpi, kpi, kpi) for kpi in ("a", "b")]
    scores = {"a": scored("a", 100), "b": scored("b", 4)}
    assert roll_up(places, scores).score.value == pytest.approx(20)
    assert roll_up(places, scores, across=Mean.ARITHMETIC).score.value == pytest.approx(52)


def test_a_score_says_on_which_share_of_all_kpis_it_rests() -> None:
    places = [Place(f"k{n}", "d", "s", f"c{n // 3}") for n in range(9)]
    city = roll_up(places, {f"k{n}": scored(f"k{n}", 50) for n in (0, 1, 3, 4, 6)})
    found = node(city, "s")
    assert (found.score.value, found.score.coverage) == (50, pytest.approx(2 / 3))
    assert found.kpi_coverage == pytest.approx(4 / 9)  # the one KPI of the third category is not in it
    assert node(city, "c2").score.state is State.INSUFFICIENT


def test_a_city_without_any_score_is_insufficient_not_zero() -> None:
    city = roll_up(INFRASTRUCTURE, {})
    assert (city.score.state, city.score.value, city.kpi_coverage) == (State.INSUFFICIENT, None, 0)
    assert roll_up([], {}).score.state is State.INSUFFICIENT


def test_a_tree_that_contradicts_itself_is_refused() -> None:
    weights = load_weights('[[weight]]\npath = ["Economy", "Nowhere"]\nweight = 2')
    with pytest.raises(ConfigurationError) as caught:
        roll_up([*INFRASTRUCTURE, Place("w", "x", "y", "z")], SCORES, weights)
    assert caught.value.faults == ("w has more than one place", "weight[1].path: there is no Economy / Nowhere")


@pytest.mark.parametrize(
    ("toml", "fault"),
    [
        ('[[weight]]\npath = ["a"]\nweight = 0', "weight[1].weight: Input should be greater than 0"),
        ("[[weight]]\npath = []\nweight = 1", "weight[1].path: "),
        ('[[weight]]\npath = ["a"]\nweight = 1\n' * 2, "document: more than one weight for a"),
    ],
)
def test_a_fault_in_weights_is_named_by_its_key(toml: str, fault: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load_weights(toml)
    assert caught.value.faults[0].startswith(fault)


def test_a_priority_area_counts_each_kpi_once() -> None:
    mapping = [("PA1", "t1"), ("PA1", "w"), ("PA1", "w"), ("PA2", "w"), ("PA2", "unknown")]
    found = priority_area_scores(mapping, SCORES)
    assert found["PA1"].value == pytest.approx((53.85 + 92) / 2)
    assert (found["PA2"].state, found["PA2"].coverage) == (State.INSUFFICIENT, 0.5)


# --- quality ---------------------------------------------------------------------------------------------------------


def test_the_worst_input_decides_the_grade() -> None:
    assert [quality_grade([label]) for label in QualityLabel] == [5, 4, 3, 2, 1, 0]
    assert quality_grade([QualityLabel.MEASURED, QualityLabel.PERSONAL, QualityLabel.SURVEY]) == 1
    assert quality_grade([]) is None


@pytest.mark.parametrize(("grade", "may"), [(None, False), (0, False), (1, False), (2, True)])
def test_a_city_blocks_grades_up_to_its_limit(grade: int | None, may: bool) -> None:
    assert may_be_published(grade, blocked_up_to=1) is may


@pytest.mark.parametrize(
    ("day", "age"),
    [
        (date(2025, 12, 31), None), (date(2026, 1, 1), 0), (date(2026, 1, 31), 0), (date(2026, 2, 1), 1),
        (date(2028, 1, 1), 24), (date(2028, 1, 2), None),
    ],
)  # fmt: skip
def test_a_value_stands_in_for_24_months_after_its_period(day: date, age: int | None) -> None:
    found = carry_forward([(date(2026, 1, 1), 7.0)], day)
    assert found == (None if age is None else CarriedValue(7.0, date(2026, 1, 1), age))


def test_the_newest_value_stands_in_and_months_end_on_their_last_day() -> None:
    values = [(date(2025, 1, 1), 1.0), (date(2026, 1, 1), 2.0), (date(2026, 7, 1), None), (date(2026, 8, 1), math.nan)]
    found = carry_forward(values, date(2026, 12, 1))
    assert found is not None
    assert (found.value, found.age_months) == (2.0, 11)
    assert carry_forward([(date(2024, 2, 29), 1.0)], date(2026, 2, 28)) == CarriedValue(1.0, date(2024, 2, 29), 24)
    assert carry_forward([], DAY) is None


@pytest.mark.parametrize(("day", "age"), [(14, 0), (15, 1)])
def test_a_month_is_over_on_the_same_day_of_the_next(day: int, age: int) -> None:
    found = carry_forward([(date(2026, 1, 15), 1.0)], date(2026, 2, day))
    assert found is not None
    assert found.age_months == age


# --- robustness ------------------------------------------------------------------------------------------------------


def test_goalposts_move_by_a_share_of_their_distance() -> None:
    assert varied_scores(posts("K", 100, 0), 50, 0.2) == pytest.approx((30.0, 70.0))
    assert varied_scores(posts("K", 0, 100), 50, 0.2) == pytest.approx((30.0, 70.0))
    assert varied_scores(posts("K", 1, tolerance=0.5), 0.82, 0.2) == pytest.approx((30.0, 100 * (1 - 0.08 / 0.6)))
    assert varied_scores(posts("K", 1, tolerance=0.5), 1.05, 0.2)[1] == 100  # the target may be the value
    assert varied_scores(posts("K", 100, 0), 50, 0) == (50, 50)


def test_the_interval_of_two_dimensions_by_hand() -> None:
    """Weights 1.2 to 0.8 are 0.6 to 0.4 of two children."""
    places = [Place(kpi, kpi, kpi, kpi) for kpi in ("a", "b")]
    measured = [Measured("a", DAY, {"value": 100}), Measured("b", DAY, {"value": 25})]
    found = robustness(places, measured, Rules(), GoalpostSet(goalposts=(posts("a", 100, 0), posts("b", 100, 0))))
    assert found is not None
    goalposts, weights, means = found.one_at_a_time
    assert found.score == pytest.approx(50)
    # a: 100 / 120 at worst; b from (25 - 20) / 100 ... to (25 + 20) / 100, the ends of four corners
    corners = [100 * (25 - worst) / (target - worst) for worst in (-20, 20) for target in (80, 120)]
    low_a = min(100 * (100 - worst) / (120 - worst) for worst in (-20, 20))
    assert (goalposts.low, goalposts.high) == pytest.approx(
        (math.sqrt(low_a * min(corners)), math.sqrt(100 * max(corners)))
    )
    assert (weights.low, weights.high) == pytest.approx((100**0.4 * 25**0.6, 100**0.6 * 25**0.4))
    assert (means.low, means.high) == pytest.approx((50, 62.5))
    assert found.everything.high == pytest.approx(0.6 * 100 + 0.4 * max(corners))
    assert found.everything.varied.startswith("goalposts +/- 20 % of their distance; weights +/- 20 %; arithmetic or")


def test_what_cannot_vary_has_no_interval_and_what_has_no_score_none_at_all() -> None:
    places, rules = [Place("K", "d", "s", "c")], Rules(rule=(KpiRule(kpi="K", rule=Rule.YES_NO),))
    found = robustness(places, [Measured("K", DAY, {"value": 1})], rules, GoalpostSet())
    assert found is not None
    assert (found.everything.low, found.everything.high) == (pytest.approx(100), pytest.approx(100))
    assert robustness(places, [], rules, GoalpostSet()) is None
    with pytest.raises(ValueError, match="share"):
        robustness(places, [], rules, GoalpostSet(), share=0.5)


# --- plausibility ----------------------------------------------------------------------------------------------------


def found_by(*reported: Reported, asked: tuple[str, ...] = ()) -> list[tuple[Check, str]]:
    findings = plausibility(reported, asked)
    assert all(each.what and each.to_do for each in findings)
    return [(each.check, each.where) for each in findings]


@pytest.mark.parametrize(("last", "is_found"), [(38, False), (42, False), (37.9, True), (42.1, True), (40, False)])
@pytest.mark.parametrize("kpi", ["EC: I: T: 4A", "EN: EN: WA: 1C"])
def test_shares_sum_to_a_hundred_within_two(kpi: str, last: float, is_found: bool) -> None:
    found = found_by(Reported(kpi, {"a": 0.1, "b": 0.2, "c": 59.7, "d": last}))
    assert found == ([(Check.SUM, kpi)] if is_found else [])


def test_a_share_that_is_missing_is_named_and_none_at_all_is_not() -> None:
    (finding,) = plausibility([Reported("EC: I: T: 4A", {"walking": math.nan, "private": 100})], ())
    assert "walking" in finding.what
    assert found_by(Reported("EC: I: T: 4A", {"walking": math.nan}), Reported("EN: EN: WA: 1C")) == []


@pytest.mark.parametrize(
    ("primary", "secondary", "tertiary", "wrong"),
    [
        (90, 80, 70, []), (90, 90, 90, []), (80, 90, 70, ["secondary"]), (90, 60, 70, ["tertiary"]),
        (math.nan, 60, 50, []), (50, 60, 70, ["secondary", "tertiary"]),
    ],
)  # fmt: skip
def test_a_higher_treatment_includes_the_lower_one(
    primary: float, secondary: float, tertiary: float, wrong: list[str]
) -> None:
    treatment = Reported("EN: EN: WS: 4C", {"primary": primary, "secondary": secondary, "tertiary": tertiary}, "%")
    assert found_by(treatment) == [(Check.ORDER, f"EN: EN: WS: 4C {each}") for each in wrong]


@pytest.mark.parametrize(("potable", "is_found"), [(94, False), (95, False), (96, True)])
def test_potable_water_is_not_above_basic_water(potable: float, is_found: bool) -> None:
    found = found_by(Reported("EC: I: WS: 1C", {"value": 95}), Reported("EC: I: WS: 2C", {"value": potable}))
    assert found == ([(Check.ORDER, "EC: I: WS: 2C")] if is_found else [])


@pytest.mark.parametrize(("broadband", "is_found"), [(79, False), (80, True), (81, True)])
def test_fixed_broadband_is_normally_below_internet_access(broadband: float, is_found: bool) -> None:
    found = found_by(Reported("EC: ICT: ICT: 1C", {"value": 80}), Reported("EC: ICT: ICT: 2C", {"value": broadband}))
    assert found == ([(Check.ORDER, "EC: ICT: ICT: 2C")] if is_found else [])
    assert found_by(Reported("EC: ICT: ICT: 2C", {"value": broadband})) == []


@pytest.mark.parametrize(("missing", "is_found"), [(0, False), (1, False), (2, True), (5, True)])
def test_more_than_a_fifth_unreported_is_asked_about(missing: int, is_found: bool) -> None:
    asked = tuple(f"k{n}" for n in range(5))
    reported = [Reported(kpi, {"value": math.nan if n < missing else 1}) for n, kpi in enumerate(asked)]
    assert found_by(*reported, asked=asked) == ([(Check.UNREPORTED, "report")] if is_found else [])
    assert found_by(*reported[missing:], asked=asked) == ([(Check.UNREPORTED, "report")] if is_found else [])


@pytest.mark.parametrize(
    ("unit", "part", "to_do"),
    [
        ("ppm", "no2", "multiply by 1900"),
        ("ppb", "SO2", "multiply by 2.62"),
        ("PPB ", "o3", "multiply by 1.96"),
        ("ppm", "pm10", "convert to ug/m3; no factor is given for this pollutant"),
    ],
)
def test_gases_are_converted_to_micrograms(unit: str, part: str, to_do: str) -> None:
    (finding,) = plausibility([Reported("EN: EN: AQ: 1C", {part: 0.02, "pm2_5": math.nan}, unit)], ())
    assert (finding.check, finding.where, finding.to_do) == (Check.UNIT, f"EN: EN: AQ: 1C {part}", to_do)


def test_micrograms_and_other_kpis_are_left_alone() -> None:
    assert found_by(Reported("EN: EN: AQ: 1C", {"no2": 40}, "ug/m3"), Reported("K", {"value": 3}, "ppm")) == []


@pytest.mark.parametrize(
    ("value", "unit", "is_found"),
    [(100, "%", False), (100.1, "% of households", True), (0, "%", False), (-0.1, "km", True), (5000, "km", False)],
)
def test_values_lie_in_the_range_of_their_unit(value: float, unit: str, is_found: bool) -> None:
    assert found_by(Reported("K", {"value": value}, unit)) == ([(Check.RANGE, "K")] if is_found else [])


def test_an_empty_report_on_nothing_has_no_findings() -> None:
    assert plausibility([], []) == ()


def test_a_finding_reads_as_a_sentence() -> None:
    (finding,) = plausibility([Reported("EC: I: T: 4A", {"private": 60, "walking": 30})], ())
    assert finding == Finding(
        Check.SUM,
        "EC: I: T: 4A",
        "the shares sum to 90 %, not to 100 % +/- 2",
        "check that the shares have one total and none is left out or twice",
    )


# --- the whole list of KPIs ------------------------------------------------------------------------------------------


def domain_table(name: str) -> list[dict[str, str]]:
    file = VECTORS.parent / name
    if not file.is_file():
        pytest.skip("no domain tables beside the repository")
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def test_the_list_of_91_kpis_makes_27_categories() -> None:
    rows = domain_table("itu_y4903_kpis.csv")
    places = [Place(row["code"], row["dimension"], row["sub_dimension"], row["category"]) for row in rows]
    city = roll_up(places, {place.kpi: scored(place.kpi, 50) for place in places})
    levels = [sum(len(each.path) == depth for each in city.walk()) for depth in range(5)]
    assert levels == [1, 3, 7, 27, 91]
    assert city.score.value == pytest.approx(50)


def test_the_checks_name_kpis_of_the_list() -> None:
    known = {row["code"] for row in domain_table("itu_y4903_kpis.csv")}
    named = {kpi for order in ORDERS for kpi, _ in (order.lower, order.upper)} | {AIR, TREATMENT, *SHARES_OF_A_WHOLE}
    assert named <= known


def test_priority_areas_count_distinct_kpis() -> None:
    mapping = [(row["priority_area"], row["kpi_code"]) for row in domain_table("priority_area_kpis.csv")]
    found = priority_area_scores(mapping, {kpi: scored(kpi, 50) for _, kpi in mapping})
    distinct = {area: len(score.contributions) for area, score in found.items()}
    assert (distinct["PA2"], distinct["PA4"], distinct["PA5"]) == (49, 46, 15)


# --- the reference page ----------------------------------------------------------------------------------------------


def tables(text: str) -> list[list[list[str]]]:
    """Rows of each Markdown table, without its heading."""
    blocks = re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE)
    return [
        [[cell.strip() for cell in row.strip("|").split("|")] for row in block.splitlines()[2:]] for block in blocks
    ]


def values_of(cell: str) -> dict[str, float]:
    return {name: float(value) for name, value in (each.split() for each in cell.split(",") if each)}


def test_the_worked_example_of_the_reference_page_is_what_comes_out() -> None:
    page = PAGE.read_text(encoding="utf-8")
    goalposts_toml, rules_toml = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    goalposts, rules = load_goalposts(goalposts_toml), load_rules(rules_toml)
    assert {each["source"] for each in tomllib.loads(goalposts_toml)["goalposts"]} == {"illustrative"}
    kpis, nodes, intervals = tables(page.split("## A worked example")[1])

    measured = [Measured(row[0], DAY, values_of(row[4])) for row in kpis]
    places = [Place(kpi, dimension, sub, category) for kpi, dimension, sub, category, *_ in kpis]
    scores = score_kpis(measured, rules, goalposts)
    city = roll_up(places, scores)
    found = robustness(places, measured, rules, goalposts)

    assert [row[5] for row in kpis] == [
        each.state if each.value is None else f"{each.value:.4f}" for each in scores.values()
    ]
    for name, *shown in nodes:
        score = node(city, name).score
        assert shown == [f"{score.value:.4f}", f"{score.coverage:.4f}", level_of(score.value)], name
        assert sum(each.contribution for each in score.contributions) == pytest.approx(score.value)
    plain = roll_up(places, scores, across=Mean.ARITHMETIC).score.value
    assert f"would be {plain:.4f}." in page
    assert found is not None
    assert intervals == [
        [each.varied, f"{each.low:.2f}", f"{each.high:.2f}"] for each in (*found.one_at_a_time, found.everything)
    ]
