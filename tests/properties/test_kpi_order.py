"""Order of arrival, cutting into frames and merging change nothing."""

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from kpi_engine.evaluate import Computed, evaluate
from kpi_engine.panes import aggregate, coarsen, combine
from kpi_engine.ring import LoadedPanes, PaneRing
from kpi_engine.windows import HOUR, SlidingWindows
from pulso.panes import FIELDS, Panes
from tests.support.panes import INDICATORS, Bench

LAST = 29_867_000  # a minute
OBSERVATION = st.tuples(
    st.integers(1, 4),  # datastream
    st.integers(0, 90 * 60),  # seconds before the end
    st.decimals(-50, 150, places=2).map(float),  # as sensors send: few decimals, whose sums need rounding
)
STREAM = st.lists(OBSERVATION, min_size=1, max_size=120, unique_by=lambda each: each[:2])
CUTS = st.lists(st.integers(1, 30), min_size=1, max_size=8)


def panes_of(observations: list[tuple[int, int, float]]) -> Panes:
    ids, ago, results = zip(*observations, strict=True)
    times = (LAST * 60 - np.array(ago, np.int64)) * 1_000_000
    return aggregate(np.array(ids, np.int64), times, np.array(results, float))


def frames(observations: list[tuple[int, int, float]], cuts: list[int]) -> list[list[tuple[int, int, float]]]:
    """The observations cut into frames of these sizes, over and over."""
    parts, place, turn = [], 0, 0
    while place < len(observations):
        parts.append(observations[place : place + cuts[turn % len(cuts)]])
        place += cuts[turn % len(cuts)]
        turn += 1
    return parts


def same(one: Panes, other: Panes) -> bool:
    """Equal but for the last bits of the sums."""
    exact = [name for name in ("datastream_id", "start", *FIELDS) if not name.startswith("sum")]
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in exact) and np.allclose(
        one.sum, other.sum, rtol=1e-12, atol=1e-9
    )


@given(STREAM, CUTS, st.randoms(use_true_random=False))
def test_panes_do_not_depend_on_order_or_frames(
    observations: list[tuple[int, int, float]], cuts: list[int], random: Random
) -> None:
    shuffled = random.sample(observations, len(observations))
    parts = [panes_of(frame) for frame in frames(shuffled, cuts)]
    assert same(combine(Panes.concatenate(*parts)), panes_of(observations))


@given(STREAM, CUTS, st.randoms(use_true_random=False))
def test_a_ring_fed_in_any_order_holds_the_same_panes(
    observations: list[tuple[int, int, float]], cuts: list[int], random: Random
) -> None:
    ring = PaneRing(1, 120, end=LAST)
    for frame in frames(random.sample(observations, len(observations)), cuts):
        ring.merge(panes_of(frame))
    loaded = LoadedPanes(panes_of(observations))
    starts, ids = np.arange(LAST - 100, LAST + 1), np.arange(1, 5)
    for name in ("count", "min", "max", "first", "first_time", "last", "last_time"):
        assert np.array_equal(ring.look_up(starts, ids)(name), loaded.look_up(starts, ids)(name))


KPIS = ("traffic_mean_speed", "traffic_travel_time_index", "waste_overflow_rate", "energy_demand", "air_pm25_hourly")


def things_for(kpi_id: str) -> Bench:
    bench = Bench(kpi_id)
    properties = {wanted.property: [] for wanted in INDICATORS[kpi_id].definition.inputs.values()}  # type: ignore[index,var-annotated]
    for number, zone in enumerate(("coyoacan", "tlalpan", "coyoacan", "tlalpan")):
        bench.thing(f"t{number}", properties, zone=zone, properties={"length_m": 300, "free_flow_kmh": 60})
    return bench


def values(kpi_id: str, parts: list[list[tuple[int, int, float]]]) -> list[Computed]:
    """Values of the windows of the last half hour after taking up frames one by one, live as the engine does."""
    indicator = INDICATORS[kpi_id]  # type: ignore[index]
    hourly = indicator.formula.resolution == HOUR
    ring = PaneRing(60, 30, 0, LAST) if hourly else PaneRing(1, 180, 0, LAST)
    for frame in parts:
        panes = panes_of(frame)
        ring.merge(coarsen(panes, HOUR, 0) if hourly else panes)
    definition = indicator.definition
    things = things_for(kpi_id).roster().things(definition.family, definition.inputs, all_inputs=True)
    ends = indicator.windows.ends_touching(np.arange(LAST - 30, LAST))
    return evaluate(indicator, things, ring, ends)


@settings(max_examples=60)
@given(st.sampled_from(KPIS), STREAM, CUTS, st.randoms(use_true_random=False))
def test_values_are_identical_for_any_order_and_any_frames(
    kpi_id: str, observations: list[tuple[int, int, float]], cuts: list[int], random: Random
) -> None:
    shuffled = random.sample(observations, len(observations))
    assert values(kpi_id, frames(shuffled, cuts)) == values(kpi_id, [observations])


SHAPES = st.sampled_from([1, 5, 15, 30, 60]).flatmap(
    lambda step: st.builds(SlidingWindows, st.integers(1, 6).map(lambda n: n * step), st.just(step), st.integers(0, 59))
)


@given(SHAPES, st.integers(0, 10**8))
def test_windows_cover_time_exactly(windows: SlidingWindows, minute: int) -> None:
    """Each minute lies in length / step windows, and windows follow each other without gap."""
    assigned = windows.assign(minute)
    assert len(assigned) == windows.length // windows.step
    assert all(int(each.length.total_seconds()) == windows.length * 60 for each in assigned)
    assert windows.end_after(windows.end_after(minute)) == windows.end_after(minute) + windows.step


@given(SHAPES, st.lists(st.integers(0, 500), min_size=1, max_size=20), st.integers(0, 10))
def test_touched_windows_are_those_that_contain_a_minute(
    windows: SlidingWindows, minutes: list[int], reach: int
) -> None:
    touched = set(windows.ends_touching(np.array(minutes), reach).tolist())
    grid = [end for end in range(-100, 1000) if (end - windows.phase) % windows.step == 0]
    expected = {end for end in grid if any(end - windows.length - reach <= minute < end + reach for minute in minutes)}
    assert touched == expected
