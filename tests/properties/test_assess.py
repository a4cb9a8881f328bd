"""What holds for the assessment of any stream of observations."""

import math
from dataclasses import dataclass
from random import Random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ingest.assess import Assessor
from pulso.city.assessment import AssessmentTable
from pulso.model import Quality
from pulso.registers import derived_energy

NOON = 1_700_000_000_000_000
MINUTE = 60_000_000
STREAMS = 8  # seven temperatures of one zone, and a meter

TABLE = AssessmentTable.model_validate(
    {
        "rule": [
            {
                "observed_property": "temperature",
                "possible": [-80, 80],
                "plausible": [-10, 45],
                "rate": {"per_minute": 3, "slack": 2, "longest_gap": 1200},
                "spike": {"height": 10, "longest_gap": 1800},
                "stuck": {"times": 3, "seconds": 300},
                "neighbours": {"deviations": 3, "floor": 4, "within": 900},
            }
        ]
    }
)
Row = tuple[int, int, float]
rows = st.lists(
    st.tuples(
        st.integers(1, STREAMS + 1),  # the last was never met
        st.integers(0, 40),
        st.sampled_from([20.0, 20.0, 20.5, 21.0, 26.0, 35.0, 46.0, 79.0, 81.0, -127.0, 0.0]),
    ),
    max_size=60,
)


@dataclass(frozen=True)
class Batch:
    datastream_id: NDArray[np.int32]
    phenomenon_time: NDArray[np.int64]
    result: NDArray[np.float64]
    received_at: NDArray[np.int64]


def batch(part: list[Row]) -> Batch:
    times = np.array([NOON + minutes * MINUTE for _, minutes, _ in part], np.int64)
    streams = np.array([stream for stream, _, _ in part], np.int32)
    return Batch(streams, times, np.array([value for _, _, value in part], np.float64), times)


def assessor() -> Assessor:
    made = Assessor(TABLE)
    for stream in range(1, STREAMS):
        made.meet(stream, "temperature", "Cel", "centre", {})
    made.meet(STREAMS, "energy_import", "kWh", None, {"max_power_kw": 100})
    return made


def judge(*parts: list[Row]) -> list[tuple[int, int]]:
    made = assessor()
    judged = [made.assess(batch(part)) for part in parts]
    return [pair for each in judged for pair in zip(each.quality.tolist(), each.flags.tolist(), strict=True)]


@given(rows, st.data())
def test_batches_cut_anywhere_give_the_same_flags_as_one(arrived: list[Row], data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(arrived)), max_size=6)))
    parts = [arrived[start:end] for start, end in zip([0, *cuts], [*cuts, len(arrived)], strict=True)]
    assert judge(*parts) == judge(arrived) == judge(*([row] for row in arrived))


@given(rows, st.randoms())
def test_the_order_of_arrival_never_changes_what_fails(arrived: list[Row], random: Random) -> None:
    def failed(order: list[Row]) -> list[Row]:
        judged = judge(order)
        return sorted(row for row, (quality, _) in zip(order, judged, strict=True) if quality == Quality.FAIL)

    assert failed(random.sample(arrived, len(arrived))) == failed(arrived)


@given(rows, rows)
def test_what_arrives_late_changes_nothing_for_those_after(before: list[Row], after: list[Row]) -> None:
    everyone: list[Row] = [(stream, 40, 20.0) for stream in range(1, STREAMS + 1)]
    newer = [(stream, minutes + 41, value) for stream, minutes, value in after]
    late = [(stream, minutes, -value) for stream, minutes, value in before]
    undisturbed = judge(before + everyone, newer)[-len(newer) :] if newer else []
    disturbed = judge(before + everyone, late, newer)[-len(newer) :] if newer else []
    assert disturbed == undisturbed


@given(rows)
def test_flags_and_quality_agree(arrived: list[Row]) -> None:
    for quality, flags in judge(arrived):
        assert (quality in (Quality.SUSPECT, Quality.FAIL)) == (flags != 0)


readings = st.lists(st.tuples(st.integers(0, 10_000), st.floats(0, 1e6)), max_size=30)


@given(readings, st.floats(0.1, 1000), st.randoms())
def test_derived_energy_is_never_negative_nor_more_than_the_meter_can_count(
    points: list[tuple[int, float]], max_kw: float, random: Random
) -> None:
    times = np.array([minutes * MINUTE for minutes, _ in points], np.int64)
    derived = derived_energy(times, np.array([kwh for _, kwh in points], np.float64), max_kw)
    for start, end, kwh in zip(derived.starts.tolist(), derived.ends.tolist(), derived.kwh.tolist(), strict=True):
        assert end > start
        assert math.isnan(kwh) or 0 <= kwh <= max_kw * (end - start) / (60 * MINUTE) * 1.05 + 0.1 + 1e-6


@given(st.lists(st.floats(0, 50), min_size=2, max_size=30), st.randoms())
def test_derived_energy_does_not_depend_on_the_order_of_readings(used: list[float], random: Random) -> None:
    register = np.cumsum(used)
    times = np.arange(len(used)) * 60 * MINUTE
    order = np.array(random.sample(range(len(used)), len(used)))
    assert (
        derived_energy(times[order], register[order], 100).kwh.tolist()
        == derived_energy(times, register, 100).kwh.tolist()
    )
