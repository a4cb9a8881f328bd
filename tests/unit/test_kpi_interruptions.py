"""Reliability of supply: SAIFI, CAIDI, SAIDI, ASAI."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kpi_engine.formulas.interruptions import (
    Interruptions,
    MajorEventDays,
    Period,
    Reliability,
    ReliabilityReport,
    reliability,
)
from pulso.errors import ConfigurationError

VECTORS = Path(__file__).parents[3] / "shared" / "domain" / "test_vectors.json"

YEAR = 8760.0
NAN = float("nan")

Row = tuple[float, float, bool]  # customers, minutes, on a major-event day


def vectors(name: str) -> Any:
    if not VECTORS.is_file():
        pytest.skip("no domain test vectors beside the repository")
    return json.loads(VECTORS.read_text(encoding="utf-8"))[name]


def interruptions(*rows: Row) -> Interruptions:
    customers, minutes, major = zip(*rows, strict=True) if rows else ((), (), ())
    return Interruptions(np.array(customers, float), np.array(minutes, float), np.array(major, bool))


def report(*rows: Row, served: float = 1000.0, momentary: float = 5.0, major: str = "included") -> ReliabilityReport:
    return reliability(
        interruptions(*rows),
        Period(served, YEAR),
        momentary_minutes=momentary,
        major_event_days=MajorEventDays(major),
    )


def indices(*rows: Row, **options: Any) -> Reliability:
    return report(*rows, **options).indices


def test_reliability_passes_the_domain_vectors() -> None:
    example = vectors("energy")["reliability"]
    rows = [(customers, minutes, False) for customers, minutes in example["events_customers_minutes"]]
    found = indices(*rows, served=example["customers"])
    assert found.saifi == pytest.approx(example["saifi"])
    assert found.saidi == pytest.approx(example["saidi_min"])
    assert found.caidi == pytest.approx(example["caidi_min"])
    assert found.asai == pytest.approx(example["asai_year_pct"], abs=5e-7)
    assert (found.sustained, found.momentary, found.unusable) == (3, 0, 0)


def test_without_interruptions_nobody_waited_and_there_is_no_mean_duration() -> None:
    found = indices()
    assert (found.saifi, found.saidi, found.asai) == (0.0, 0.0, 100.0)
    assert np.isnan(found.caidi)


def test_one_interruption_of_everybody() -> None:
    found = indices((1000, 60, False))
    assert (found.saifi, found.saidi, found.caidi) == (1.0, 60.0, 60.0)


@pytest.mark.parametrize(
    ("minutes", "limit", "sustained", "momentary"),
    [(5.0, 5.0, 0, 1), (5.001, 5.0, 1, 0), (3.0, 1.0, 1, 0), (0.0, 0.0, 0, 1)],
)
def test_an_interruption_exactly_as_long_as_the_limit_is_momentary(
    minutes: float, limit: float, sustained: int, momentary: int
) -> None:
    found = indices((500, minutes, False), momentary=limit)
    assert (found.sustained, found.momentary) == (sustained, momentary)
    assert found.saifi == 0.5 * sustained
    assert found.saidi == pytest.approx(0.5 * minutes * sustained)


def test_a_supply_restored_in_stages_is_one_interruption_of_each_customer() -> None:
    found = indices((600, 30, False), (400, 90, False))
    assert (found.saifi, found.saidi, found.caidi) == (1.0, 54.0, 54.0)


@pytest.mark.parametrize("row", [(NAN, 30.0), (100.0, NAN), (-1.0, 30.0), (100.0, -0.5), (100.0, np.inf)])
def test_an_interruption_without_usable_figures_is_counted_and_left_out(row: tuple[float, float]) -> None:
    found = indices((100, 30, False), (*row, False))
    assert (found.saifi, found.saidi, found.sustained, found.unusable) == (0.1, 3.0, 1, 1)


def test_major_event_days_are_included_excluded_or_reported_separately() -> None:
    rows: list[Row] = [(100, 60, False), (900, 600, True)]
    included, excluded, separate = (report(*rows, major=how) for how in ("included", "excluded", "separate"))
    assert (included.indices.saifi, included.indices.saidi, included.major_days) == (1.0, 546.0, None)
    assert (excluded.indices.saifi, excluded.indices.saidi, excluded.major_days) == (0.1, 6.0, None)
    assert separate.indices == excluded.indices
    assert separate.major_days is not None
    assert (separate.major_days.saifi, separate.major_days.saidi, separate.major_days.caidi) == (0.9, 540.0, 600.0)


def test_major_event_days_without_interruptions_have_indices_of_their_own() -> None:
    found = report((100, 60, False), major="separate").major_days
    assert found is not None
    assert (found.saifi, found.asai, found.sustained) == (0.0, 100.0, 0)


def test_availability_refers_to_the_hours_of_the_period() -> None:
    day = reliability(interruptions((1000, 144, False)), Period(1000, 24))
    assert day.indices.asai == pytest.approx(90.0)


@pytest.mark.parametrize(("served", "hours"), [(0, YEAR), (-1, YEAR), (NAN, YEAR), (1000, 0), (1000, NAN)])
def test_a_period_has_customers_and_a_length(served: float, hours: float) -> None:
    with pytest.raises(ConfigurationError, match="no reliability of"):
        Period(served, hours)


rows_of_events = st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 3000), st.booleans()), max_size=20)


@given(rows_of_events, st.integers(0, 60))
def test_saidi_is_saifi_times_caidi(rows: list[Row], momentary: int) -> None:
    found = indices(*rows, momentary=float(momentary))
    assert found.saidi == pytest.approx(found.saifi * found.caidi if found.saifi else 0.0)
    assert np.isnan(found.caidi) or found.caidi > momentary


@given(rows_of_events)
def test_everyday_and_major_days_add_up_to_all(rows: list[Row]) -> None:
    separate, included = report(*rows, major="separate"), indices(*rows)
    major = separate.major_days
    assert major is not None
    assert separate.indices.saifi + major.saifi == pytest.approx(included.saifi)
    assert separate.indices.saidi + major.saidi == pytest.approx(included.saidi)
    assert separate.indices.momentary + major.momentary == included.momentary
