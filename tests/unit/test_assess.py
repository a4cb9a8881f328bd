"""The assessment of observations: each test, the table of a city, and what is remembered."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from ingest.assess import Assessor
from pulso.city.assessment import AssessmentTable, load_assessment
from pulso.city.pack import pack_path
from pulso.errors import ConfigurationError
from pulso.model import Flag, Quality
from pulso.units import CANONICAL_UNITS

NOON = 1_700_000_000_000_000
MINUTE = 60_000_000
NO_PROPERTIES: Mapping[str, float] = {}


@dataclass(frozen=True)
class Batch:
    datastream_id: NDArray[np.int32]
    phenomenon_time: NDArray[np.int64]
    result: NDArray[np.float64]
    received_at: NDArray[np.int64]


def batch(rows: Sequence[tuple[int, float, float]], late: float = 0) -> Batch:
    """Rows of (datastream, minutes after noon, result), received `late` minutes afterwards."""
    times = [NOON + round(minutes * MINUTE) for _, minutes, _ in rows]
    return Batch(
        np.array([each for each, _, _ in rows], np.int32),
        np.array(times, np.int64),
        np.array([result for _, _, result in rows]),
        np.array(times, np.int64) + round(late * MINUTE),
    )


def assessor(*rules: dict[str, object], zone: str | None = "centre", streams: int = 8) -> Assessor:
    table = AssessmentTable.model_validate({"rule": [{"observed_property": "temperature", **rule} for rule in rules]})
    made = Assessor(table)
    for datastream in range(1, streams + 1):
        made.meet(datastream, "temperature", "Cel", zone, NO_PROPERTIES)
    return made


def flags(made: Assessor, values: Sequence[float], every: float = 1) -> list[int]:
    """The flags of one datastream's values, in one batch."""
    return made.assess(batch([(1, n * every, value) for n, value in enumerate(values)])).flags.tolist()


def test_range_tells_impossible_from_implausible() -> None:
    made = assessor({"possible": [-80, 80], "plausible": [-12, 45]})
    judged = made.assess(batch([(1, n, v) for n, v in enumerate([20, 45, 45.1, 80, 80.1, -127, float("nan")])]))
    assert judged.quality.tolist() == [
        Quality.PASS,
        Quality.PASS,
        Quality.SUSPECT,
        Quality.SUSPECT,
        Quality.FAIL,
        Quality.FAIL,
        Quality.FAIL,
    ]
    assert judged.flags.tolist() == [0, 0, *[Flag.RANGE] * 5]


def test_without_a_rule_nothing_is_evaluated() -> None:
    made = assessor()
    judged = made.assess(batch([(1, 0, 1e9), (99, 0, 1.0), (1_000_000, 0, 1.0)]))
    assert judged.quality.tolist() == [Quality.NOT_EVALUATED] * 3
    assert judged.flags.tolist() == [0] * 3


def test_a_stamp_ahead_of_our_clock_is_suspect() -> None:
    assert assessor().assess(batch([(1, 0, 20)], late=-2)).flags.tolist() == [Flag.CLOCK]
    assert assessor().assess(batch([(1, 0, 20)], late=-2)).quality.tolist() == [Quality.SUSPECT]
    assert assessor().assess(batch([(1, 0, 20)], late=-0.9)).flags.tolist() == [0]


def test_a_change_counts_by_the_time_it_took() -> None:
    rate = {"rate": {"per_minute": 3, "slack": 2, "longest_gap": 3600}}
    assert flags(assessor(rate), [20, 25, 30.1]) == [0, 0, Flag.RATE]
    assert flags(assessor(rate), [20, 50], every=10) == [0, 0]
    assert flags(assessor(rate), [20, 52.1], every=10) == [0, Flag.RATE]
    assert flags(assessor(rate), [20, 500], every=61) == [0, 0]  # too long ago to compare


def test_the_return_from_a_spike_is_not_blamed_for_it() -> None:
    assert flags(assessor({"rate": {"per_minute": 3}}), [20, 20, 40, 20, 20]) == [0, 0, Flag.RATE, 0, 0]


def test_a_lasting_step_is_blamed_once_by_its_rate_and_twice_as_a_spike() -> None:
    assert flags(assessor({"rate": {"per_minute": 3}}), [20, 20, 40, 40, 40]) == [0, 0, Flag.RATE, 0, 0]
    assert flags(assessor({"spike": {"height": 10}}), [20, 20, 20, 40, 40, 40]) == [0, 0, 0, Flag.SPIKE, Flag.SPIKE, 0]


def test_a_spike_stands_out_of_the_three_before() -> None:
    spike = {"spike": {"height": 10, "longest_gap": 600}}
    assert flags(assessor(spike), [20, 21, 22, 35, 23, 24]) == [0, 0, 0, Flag.SPIKE, 0, 0]
    assert flags(assessor(spike), [20, 21, 99], every=1) == [0, 0, 0]  # only two before
    assert flags(assessor(spike), [20, 21, 22, 99], every=4) == [0, 0, 0, 0]  # the third is too long ago


def test_stuck_takes_both_number_and_time() -> None:
    stuck = {"stuck": {"times": 4, "seconds": 600}}
    assert flags(assessor(stuck), [20] * 4 + [21], every=5) == [0, 0, 0, Flag.STUCK, 0]
    assert flags(assessor(stuck), [20] * 11, every=1) == [0] * 10 + [Flag.STUCK]
    assert flags(assessor(stuck), [20] * 6, every=11) == [0] * 6  # silent in between: nobody knows


def test_values_that_may_stay_are_not_stuck() -> None:
    stuck = {"stuck": {"times": 3, "seconds": 60, "except_below": 2}}
    assert flags(assessor(stuck), [2] * 5) == [0] * 5
    assert flags(assessor(stuck), [2.1] * 3, every=0.5) == [0, 0, Flag.STUCK]


def test_neighbours_judge_when_five_are_fresh() -> None:
    rule = {"neighbours": {"deviations": 5, "floor": 3, "within": 900}}
    others = [(n, 0.0, 20 + n / 10) for n in range(2, 7)]
    assert assessor(rule).assess(batch([*others, (1, 1, 30)])).flags.tolist()[-1] == Flag.NEIGHBOURS
    assert assessor(rule).assess(batch([*others, (1, 1, 23)])).flags.tolist()[-1] == 0  # within the floor
    assert assessor(rule).assess(batch([*others[1:], (1, 1, 30)])).flags.tolist()[-1] == 0  # four
    assert assessor(rule).assess(batch([*others, (1, 16, 30)])).flags.tolist()[-1] == 0  # not fresh
    assert assessor(rule, zone=None).assess(batch([*others, (1, 1, 30)])).flags.tolist()[-1] == 0
    assert assessor(rule).assess(batch([(1, 1, 30), *others])).flags.tolist()[0] == 0  # not known yet


def test_neighbours_are_of_the_same_zone_property_and_unit() -> None:
    made = assessor({"neighbours": {"deviations": 5, "floor": 3}})
    others = batch([(n, 0.0, 20.0) for n in range(2, 7)])
    made.assess(others)
    made.meet(1, "temperature", "Cel", "elsewhere", NO_PROPERTIES)
    assert made.assess(batch([(1, 1, 40)])).flags.tolist() == [0]
    made.meet(1, "temperature", "Cel", "centre", NO_PROPERTIES)
    assert made.assess(batch([(1, 2, 40)])).flags.tolist() == [Flag.NEIGHBOURS]


def test_late_observations_are_judged_by_range_and_change_nothing() -> None:
    rules = {"possible": [-80, 80], "rate": {"per_minute": 3}, "stuck": {"times": 3, "seconds": 60}}
    made, undisturbed = assessor(rules), assessor(rules)
    for each in (made, undisturbed):
        each.assess(batch([(1, 0, 20), (1, 10, 20)]))
    late = made.assess(batch([(1, 5, 79), (1, 10, 50), (1, 6, 99)]))
    assert late.flags.tolist() == [0, 0, Flag.RANGE]
    following = batch([(1, 11, 20), (1, 12, 40)])
    assert made.assess(following).flags.tolist() == undisturbed.assess(following).flags.tolist() == [0, Flag.RATE]


def test_what_failed_is_no_measure_for_those_after() -> None:
    made = assessor({"possible": [-80, 80], "rate": {"per_minute": 3}})
    assert flags(made, [20, 327.67, 21]) == [0, Flag.RANGE, 0]


def test_many_datastreams_make_the_columns_grow() -> None:
    made = assessor({"possible": [-80, 80], "stuck": {"times": 2, "seconds": 1}}, zone=None, streams=3000)
    once = [(n, 0.0, float(n % 50)) for n in range(1, 3001)]
    assert not made.assess(batch(once)).flags.any()
    made.meet(70_000, "temperature", "Cel", None, NO_PROPERTIES)
    again = made.assess(batch([(n, 1.0, value) for n, _, value in once]))
    assert (again.flags == 0).all()  # silent for longer than the second that would make them stuck


def test_a_meter_is_judged_by_the_power_it_would_take() -> None:
    made = Assessor(AssessmentTable())
    made.meet(1, "energy_import_t1", "kWh", None, {"max_power_kw": 10, "register_max_kwh": 99_999.9})
    made.meet(2, "energy_import", "kWh", None, {"max_power_kw": 10})
    rows = [(1, 0, 99_990.0), (1, 60, 99_999.0), (1, 120, 4.0), (1, 180, 0.5), (1, 240, 7000.0), (1, 300, 7005.0)]
    assert made.assess(batch(rows)).flags.tolist() == [0, 0, Flag.ROLLOVER, Flag.RESET, Flag.EXCHANGE, 0]
    assert made.assess(batch([(2, 0, 5.0), (2, 1, 5.1)])).quality.tolist() == [Quality.PASS] * 2


@pytest.fixture(scope="module")
def mexico() -> AssessmentTable:
    return load_assessment(pack_path("cdmx"))


def test_the_shipped_city_has_a_range_for_every_property_and_unit(mexico: AssessmentTable) -> None:
    unruled = [
        (name, unit)
        for name, units in CANONICAL_UNITS.items()
        for unit in units
        if (rule := mexico.rule_for(name, unit)) is None or rule.possible is None or not rule.source
    ]
    assert unruled == []


def test_at_the_altitude_of_the_city_sea_level_pressure_is_suspect(mexico: AssessmentTable) -> None:
    made = Assessor(mexico)
    made.meet(1, "pressure", "hPa", None, NO_PROPERTIES)
    judged = made.assess(batch([(1, 0, 781.0), (1, 60, 1013.0), (1, 120, 78.1)]))
    assert judged.quality.tolist() == [Quality.PASS, Quality.SUSPECT, Quality.FAIL]


def test_a_suffix_takes_the_rule_of_the_longest_name() -> None:
    table = AssessmentTable.model_validate(
        {
            "rule": [
                {"observed_property": "voltage", "possible": [0, 1]},
                {"observed_property": "voltage_l2", "possible": [0, 2]},
                {"observed_property": "uv_index", "unit": "1", "possible": [0, 20]},
            ]
        }
    )
    found = [table.rule_for(name, unit) for name, unit in (("voltage_l1", "V"), ("voltage_l2", "V"), ("uv_index", "1"))]
    assert [rule.possible for rule in found if rule is not None] == [(0, 1), (0, 2), (0, 20)]
    assert table.rule_for("no2", "ppb") is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[[rule]]\nobserved_property = "no2"\nunit = "ppm"\n', "no2: ppb, ug/m3"),
        ('[[rule]]\nobserved_property = "uv"\n', "needs a unit"),
        ('[[rule]]\nobserved_property = "speed"\npossible = [3, 1]\n', "no interval"),
        ('[[rule]]\nobserved_property = "speed"\nposible = [1, 3]\n', "posible"),
        ('[[rule]]\nobserved_property = "speed"\n[[rule]]\nobserved_property = "speed"\n', "two rules"),
        ('[[rule]]\nobserved_property = "speed"\nstuck = { times = 1, seconds = 5 }\n', "rule.0.stuck.times"),
        ("[[rule]\n", "assessment.toml"),
    ],
)
def test_a_faulty_table_is_refused_with_file_and_key(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "assessment.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_assessment(tmp_path)
    assert any(fault in each and each.startswith("assessment.toml: ") for each in refused.value.faults)


def test_a_city_without_the_file_judges_nothing(tmp_path: Path) -> None:
    assert load_assessment(tmp_path) == AssessmentTable()


def test_the_example_of_the_reference_is_a_table_and_its_flags_are_ours() -> None:
    text = (Path(__file__).parents[2] / "docs" / "reference" / "assessment.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```toml\n(.*?)```", text, flags=re.DOTALL)
    rule = AssessmentTable.model_validate(tomllib.loads(example)).rule[0]
    assert rule.model_fields_set == set(type(rule).model_fields)
    documented = re.findall(r"^\| (\w+) \| (\d+) \| (?:fail|suspect)", text, flags=re.MULTILINE)
    assert {name: int(bit) for name, bit in documented} == {str(flag.name).lower(): flag.value for flag in Flag}
