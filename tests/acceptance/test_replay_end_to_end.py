"""Recorded series of all four families, through the broker into the database, against figures others computed."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sensors_sim.replay import detect_profile, read_series, summarise
from tests.support.databases import TestDatabase
from tests.support.servers import MosquittoBroker
from tests.support.services import Service, environment_for
from tests.support.waiting import wait_until

MILE = 1.609344


@dataclass(frozen=True)
class Figures:
    """What a file's figures in the database have to be, in the unit we store."""

    count: int
    mean: float
    minimum: float | None
    maximum: float | None


def reference_figures(name: str, reference: dict[str, Any]) -> Figures:
    """The reference in our units. A key that stands twice in a file is stored once: see `duplicate_timestamps`."""
    if "distinct_timestamps" in reference:
        unit = MILE if "speed" in name else 1.0
        return Figures(
            reference["distinct_timestamps"],
            reference["mean"] * unit,
            reference["min"] * unit,
            reference["max"] * unit,
        )
    if "mean_kmh" in reference:
        return Figures(reference["rows"] * reference["sensors"], reference["mean_kmh"], None, None)
    if "sum_kwh" in reference:
        count = reference["rows"] - reference["null_values"]
        return Figures(count, reference["sum_kwh"] / count, None, reference["max_half_hour_kwh"])
    if "missing_minus99" in reference:
        count = reference["values"] - reference["missing_minus99"]
        return Figures(count, reference["mean"], None, reference["max"])
    if "mean_fill_percent" in reference:
        levels = reference["levels"]
        return Figures(reference["rows"], reference["mean_fill_percent"], levels[0] * 10, levels[-1] * 10)
    return Figures(reference["rows"], sum(reference["sum"].values()) / reference["rows"], None, None)


def stored_figures(database: TestDatabase, prefix: str, observed_property: str) -> Figures:
    ((count, mean, least, largest),) = database.query(
        "SELECT count(*), avg(result), min(result), max(result) FROM observation"
        " JOIN datastream USING (datastream_id) JOIN thing USING (thing_id)"
        " WHERE external_id LIKE %s AND observed_property = %s",
        f"{prefix}%",
        observed_property,
    )
    return Figures(int(str(count)), float(str(mean)), float(str(least)), float(str(largest)))


@pytest.mark.timeout(400)
def test_every_recorded_series_comes_back_from_the_database(
    broker: MosquittoBroker, database: TestDatabase, real_data: Path, tmp_path: Path
) -> None:
    references = json.loads((real_data / "series" / "reference_stats.json").read_text())
    environment = environment_for(broker, database)
    with Service("ingest", environment=environment, log=tmp_path / "ingest.log") as ingest:
        ingest.wait_ready()
        for name, reference in references.items():
            _replay(real_data / "series" / name, environment)
            _compare(database, real_data / "series" / name, reference)


def _replay(path: Path, environment: dict[str, str]) -> None:
    subprocess.run(
        [sys.executable, "-m", "pulso.cli", "replay", str(path)], env=os.environ | environment, check=True, timeout=120,
        capture_output=True,
    )  # fmt: skip


def _compare(database: TestDatabase, path: Path, reference: dict[str, Any]) -> None:
    rows = list(read_series(path, detect_profile(path)[1]))
    read = summarise(rows)
    assert read is not None
    prefix = os.path.commonprefix([row.thing for row in rows])  # noqa: RUF071 (letters, not folders)
    prop = rows[0].observed_property
    wait_until(
        lambda: stored_figures(database, prefix, prop).count == read.keys, within=60, what=f"{path.name} is stored"
    )
    stored = stored_figures(database, prefix, prop)
    expected = reference_figures(path.name, reference)

    assert stored.count == expected.count - reference.get("duplicate_timestamps", 0)
    if not reference.get("duplicate_timestamps"):
        assert stored.mean == pytest.approx(expected.mean, abs=2e-6), path.name
    assert stored.mean == pytest.approx(read.keys_mean, rel=1e-12), path.name
    assert stored.maximum == read.maximum
    assert stored.minimum == read.minimum
    if expected.maximum is not None:
        assert stored.maximum == pytest.approx(expected.maximum, rel=1e-12), path.name
    if expected.minimum is not None:
        assert stored.minimum == pytest.approx(expected.minimum, rel=1e-12), path.name
