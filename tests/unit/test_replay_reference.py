"""Recorded series against figures that somebody else computed from the same files."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sensors_sim.replay import Profile, Report, SeriesRow, Summary, detect_profile, read_series, summarise

MILE = 1.609344


class Recorded:
    """One file, read, beside its reference."""

    def __init__(self, directory: Path, name: str) -> None:
        self.reference: dict[str, Any] = json.loads((directory / "series" / "reference_stats.json").read_text())[name]
        path = directory / "series" / name
        self.profile: Profile = detect_profile(path)[1]
        self.report = Report()
        self.rows: list[SeriesRow] = list(read_series(path, self.profile, self.report))
        figures = summarise(self.rows)
        assert figures is not None
        self.figures: Summary = figures


@pytest.fixture
def recorded(real_data: Path, request: pytest.FixtureRequest) -> Recorded:
    return Recorded(real_data, request.param)


def read_as(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("recorded", names, indirect=True)


def local(row_time: datetime, zone: str) -> str:
    return f"{row_time.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


@read_as("traffic_mndot_speed_6005.csv", "traffic_mndot_occupancy_6005.csv", "traffic_mndot_TravelTime_387.csv")
def test_minnesota_detectors(recorded: Recorded):
    reference, figures, factor = recorded.reference, recorded.figures, recorded.profile.factor
    assert recorded.report.lines == figures.count == reference["rows"]
    assert figures.keys == reference["distinct_timestamps"]
    assert figures.mean / factor == pytest.approx(reference["mean"], abs=5e-7)
    assert (figures.minimum / factor, figures.maximum / factor) == pytest.approx((reference["min"], reference["max"]))
    assert local(figures.first, "America/Chicago") == reference["first"]
    assert local(figures.last, "America/Chicago") == reference["last"]


@read_as("traffic_la_loop_speed_mph_40sensors.csv.gz")
def test_los_angeles_loops(recorded: Recorded):
    reference, figures = recorded.reference, recorded.figures
    assert recorded.report.lines == reference["rows"]
    assert figures.things == reference["sensors"]
    assert figures.count == figures.keys == reference["rows"] * reference["sensors"]
    assert figures.mean == pytest.approx(reference["mean_kmh"], abs=5e-7)
    assert figures.mean / MILE == pytest.approx(reference["mean_mph"], abs=5e-7)
    below = sum(row.result < 40 * MILE for row in recorded.rows) / figures.count
    assert below == pytest.approx(reference["share_below_40mph"], abs=5e-7)
    speeds: dict[str, list[float]] = {}
    for row in recorded.rows:
        speeds.setdefault(row.thing, []).append(row.result)
    assert min(speeds, key=lambda thing: sum(speeds[thing])) == f"la-loop-{reference['slowest_sensor']}"
    assert figures.first == datetime.fromisoformat(reference["first"])
    assert figures.last == datetime.fromisoformat(reference["last"])


@read_as("traffic_melbourne_pedestrians_2015.csv.gz")
def test_melbourne_pedestrians(recorded: Recorded):
    reference, figures = recorded.reference, recorded.figures
    assert figures.count == figures.keys == reference["rows"]
    for sensor, total in reference["sum"].items():
        thing = f"mel-ped-{sensor.replace(' ', '-')}"
        rows = [row for row in recorded.rows if row.thing == thing]
        assert sum(row.result for row in rows) == total
        hours = (figures.last - figures.first) / timedelta(hours=1) + 1
        assert hours - len(rows) == reference["missing_hours"][sensor]
    assert figures.first == datetime.fromisoformat(reference["first_utc"])
    assert figures.last == datetime.fromisoformat(reference["last_utc"])


@read_as("waste_wyndham_bins_a.csv.gz")
def test_wyndham_bins(recorded: Recorded):
    reference, figures = recorded.reference, recorded.figures
    assert figures.count == figures.keys == reference["rows"]
    assert figures.things == reference["bins"]
    assert figures.mean == pytest.approx(reference["mean_fill_percent"], abs=5e-7)
    assert sorted({row.result for row in recorded.rows}) == [10 * level for level in reference["levels"]]
    assert sum(row.result >= 80 for row in recorded.rows) == reference["readings_at_or_over_threshold"]
    assert local(figures.first, "Australia/Melbourne") == f"{reference['first']} 00:00:00"
    assert local(figures.last, "Australia/Melbourne") == f"{reference['last']} 00:00:00"
    assert all(thing.latitude is not None for thing in recorded.report.things.values())


@read_as(*(f"energy_london_lcl_MAC0000{number}.csv.gz" for number in ("02", "03", "34")))
def test_london_meters(recorded: Recorded):
    reference, report, figures = recorded.reference, recorded.report, recorded.figures
    assert report.lines == reference["rows"]
    assert report.missing == reference["null_values"]
    assert figures.count == reference["rows"] - reference["null_values"]
    assert figures.count - figures.keys == reference["duplicate_timestamps"]
    assert figures.total == pytest.approx(reference["sum_kwh"], abs=1e-6)
    assert figures.mean * 2000 == pytest.approx(reference["mean_power_w"], abs=5e-7)
    assert figures.maximum == reference["max_half_hour_kwh"]
    assert local(figures.first, "UTC") == reference["first"]
    assert local(figures.last, "UTC") == reference["last"]
    off_grid = sum(row.phenomenon_time.minute % 30 != 0 for row in recorded.rows)
    assert off_grid == reference["off_grid_timestamps"] - reference["null_values"]  # the one off the grid is the Null


@read_as("air_cdmx_rama_2024_PM25_h1.csv.gz", "air_cdmx_rama_2024_O3_h1.csv.gz")
def test_mexico_city_air(recorded: Recorded):
    reference, report, figures = recorded.reference, recorded.report, recorded.figures
    assert report.lines == reference["rows"]
    assert report.missing == reference["missing_minus99"]
    assert report.values + report.missing == reference["values"]
    assert figures.keys == figures.count == report.values
    assert figures.mean == pytest.approx(reference["mean"], abs=5e-7)
    assert figures.maximum == reference["max"]
    highest = next(row for row in recorded.rows if row.result == figures.maximum)
    assert highest.thing == f"rama-{reference['max_station']}"
    ending = highest.phenomenon_time + timedelta(hours=1)  # we stamp the start of the hour
    assert local(ending, "UTC") == reference["max_hour_ending_utc"]


@read_as("air_cdmx_rama_2024_PM25_h1.csv.gz", "air_cdmx_rama_2024_O3_h1.csv.gz")
def test_mexico_city_air_daily_means(recorded: Recorded):
    """A day is the 24 hours within it: hour 1 to hour 24 of its date."""
    days: dict[str, list[float]] = {}
    for row in recorded.rows:
        if local(row.phenomenon_time, "Etc/GMT+6")[:10] == recorded.reference["daily_mean_day"]:
            days.setdefault(row.thing.removeprefix("rama-"), []).append(row.result)
    for station, mean in recorded.reference["daily_mean_by_station"].items():
        assert sum(days[station]) / len(days[station]) == pytest.approx(mean, abs=5e-5), station
