"""The engine's two stages on one core, beside a plain Python loop that keeps one mean per zone and minute.

    python -m bench.engine [--things 2000] [--observations 3000000]

Both take the same frames, as ingest hands them over: traffic detectors of 16 districts, speed and vehicle count, of
which a share arrives minutes late and a share twice. The loop finds the zone of each observation and keeps a running
mean per zone and minute, and nothing else; duplicates count twice. The engine drops duplicates, keeps minute and hour
panes with nine statistics of every datastream, and evaluates both traffic indicators of every window a frame touches,
for each district and the city. Storing is not part of it on either side. The bar: engine at least 3 times the
observations per second of the loop.
"""

import argparse
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kpi_engine.catalogue import Indicator, load_catalogue
from kpi_engine.evaluate import evaluate
from kpi_engine.keeper import HOUR_SLOTS, MINUTE_SLOTS
from kpi_engine.panes import aggregate, coarsen
from kpi_engine.ring import PaneRing
from kpi_engine.things import Roster, Things
from kpi_engine.windows import HOUR, Horizon
from pulso.city import CityPack, load_pack
from pulso.db.things import RegisteredDatastream
from pulso.frame import ObservationFrame, decode, encode
from pulso.model import DatastreamId, Family, KpiId, Quality, ThingId
from pulso.panes import MINUTE_MICROS

BAR = 3.0
KPIS = ("traffic_mean_speed", "traffic_travel_time_index")
FRAME = 500_000  # observations of one step: a saturated engine takes 64 batches of ingest, up to 768,000
LATE_SHARE, LATE_MINUTES, DUPLICATE_SHARE = 0.05, 10, 0.05
FIRST_MINUTE = 29_800_000


@dataclass(frozen=True)
class Stream:
    """One stream in the two shapes the contestants take."""

    frames: list[bytes]
    observations: int
    last_minute: int


def registry(pack: CityPack, things: int) -> tuple[RegisteredDatastream, ...]:
    """Detectors spread over the districts, each with speed and vehicle count."""
    districts = pack.districts
    properties = {"length_m": 800.0, "free_flow_kmh": 50.0}
    return tuple(
        RegisteredDatastream(
            DatastreamId(2 * number + which), name, unit, ThingId(number), f"detector-{number}", Family.TRAFFIC,
            districts[number % len(districts)].zone_id, 5.0, properties,
        )
        for number in range(things)
        for which, (name, unit) in enumerate((("speed", "km/h"), ("vehicle_count", "1")), start=1)
    )  # fmt: skip


def make_stream(things: int, observations: int, seed: int = 1) -> Stream:
    """Observations every five seconds per detector, some late, some twice."""
    random = np.random.default_rng(seed)
    streams = 2 * things
    place = np.arange(observations)
    ids = place % streams + 1
    micros = FIRST_MINUTE * MINUTE_MICROS + (place // streams) * 5_000_000 + ids * 7  # each key once
    results = np.round(random.uniform(5, 60, observations), 1)
    late = random.random(observations) < LATE_SHARE
    # Late rows go to where the stream stands `LATE_MINUTES` or less after their own time.
    delay = np.where(late, random.integers(1, LATE_MINUTES * 12 * streams, observations), 0)
    arrival = np.argsort(place + delay, kind="stable")
    twice = np.sort(
        np.concatenate([np.arange(observations), random.integers(0, observations, int(observations * DUPLICATE_SHARE))])
    )
    order = arrival[twice]
    ids, micros, results = ids[order], micros[order], results[order]
    frames = [
        encode(_frame(ids[first : first + FRAME], micros[first : first + FRAME], results[first : first + FRAME]))
        for first in range(0, len(order), FRAME)
    ]
    return Stream(frames, len(order), int(micros.max() // MINUTE_MICROS))


def _frame(ids: NDArray[np.int64], micros: NDArray[np.int64], results: NDArray[np.float64]) -> ObservationFrame:
    quality = np.full(len(ids), Quality.NOT_EVALUATED, np.int16)
    return ObservationFrame(ids.astype(np.int32), micros, results, quality, np.zeros(len(ids), bool))


def plain_loop(frames: Sequence[bytes], zone_of: Mapping[int, str]) -> dict[tuple[str, int], list[float]]:
    """What is to be beaten: one mean per zone and minute, observation by observation."""
    means: dict[tuple[str, int], list[float]] = {}
    for data in frames:
        frame = decode(data)
        columns = frame.datastream_id.tolist(), frame.phenomenon_time.tolist(), frame.result.tolist()
        for datastream_id, micros, result in zip(*columns, strict=True):
            key = (zone_of[datastream_id], micros // 60_000_000)
            state = means.get(key)
            if state is None:
                means[key] = [1, result]
            else:
                state[0] += 1
                state[1] += (result - state[1]) / state[0]
    return means


class Pipeline:
    """The engine without its database."""

    def __init__(self, pack: CityPack, things: int, last_minute: int) -> None:
        roster = Roster(tuple(zone.zone_id for zone in pack.zones), registry(pack, things))
        catalogue = {each.definition.id: each for each in load_catalogue(pack)}
        self.indicators: list[Indicator] = [catalogue[KpiId(kpi_id)] for kpi_id in KPIS]
        self.things: list[Things] = [
            roster.things(each.definition.family, each.definition.inputs, all_inputs=True) for each in self.indicators
        ]
        self.minutes = PaneRing(1, MINUTE_SLOTS, end=last_minute)
        self.hours = PaneRing(HOUR, HOUR_SLOTS, end=last_minute)
        self.horizon = Horizon()
        self.values = 0

    def take(self, data: bytes) -> None:
        """One step: stage 1 and stage 2 of a frame."""
        frame = decode(data)
        panes = aggregate(frame.datastream_id.astype(np.int64), frame.phenomenon_time, frame.result)
        self.minutes.merge(panes)
        self.hours.merge(coarsen(panes, HOUR, 0))
        newest = max(self.horizon.newest or 0, int(panes.start.max()))
        before, self.horizon = self.horizon, Horizon(newest, newest)
        dirty = np.unique(panes.start)
        for indicator, things in zip(self.indicators, self.things, strict=True):
            windows = indicator.windows
            ends = np.union1d(windows.ends_touching(dirty), windows.ends_opened(before, self.horizon))
            ends = ends[ends <= windows.end_after(newest)]
            self.values += len(evaluate(indicator, things, self.minutes, ends))


def run(things: int = 2000, observations: int = 3_000_000, rounds: int = 3) -> dict[str, float]:
    """Measure both on the same stream, in turns on one core; the best of `rounds` each."""
    affinity = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(affinity)})
    try:
        return _measure(things, observations, rounds)
    finally:
        os.sched_setaffinity(0, affinity)


def _measure(things: int, observations: int, rounds: int) -> dict[str, float]:
    pack = load_pack("cdmx")
    stream = make_stream(things, observations)
    zone_of = {each.datastream_id: str(each.zone_id) for each in registry(pack, things)}
    loop, engine, values, per_datastream = [], [], 0, 0
    for _ in range(rounds):
        began = time.perf_counter()
        plain_loop(stream.frames, zone_of)
        loop.append(time.perf_counter() - began)
        pipeline = Pipeline(pack, things, stream.last_minute)
        began = time.perf_counter()
        for data in stream.frames:
            pipeline.take(data)
        engine.append(time.perf_counter() - began)
        values = pipeline.values
        per_datastream = pipeline.minutes.bytes_per_datastream + pipeline.hours.bytes_per_datastream
    return {
        "observations": stream.observations,
        "loop_per_second": stream.observations / min(loop),
        "engine_per_second": stream.observations / min(engine),
        "ratio": min(loop) / min(engine),
        "values_evaluated": values,
        "bytes_per_datastream": per_datastream,
    }


def main() -> None:
    """Print a small table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--things", type=int, default=2000, help="detectors, two datastreams each")
    parser.add_argument("--observations", type=int, default=3_000_000, help="length of the stream")
    parser.add_argument("--rounds", type=int, default=3, help="times each contestant runs; the best one counts")
    given = parser.parse_args()
    found = run(given.things, given.observations, given.rounds)
    print(f"{'observations':32} {found['observations']:>14,.0f}")
    print(f"{'plain loop, per second':32} {found['loop_per_second']:>14,.0f}")
    print(f"{'engine, per second':32} {found['engine_per_second']:>14,.0f}")
    print(f"{'ratio (bar 3)':32} {found['ratio']:>14.2f}   {'met' if found['ratio'] >= BAR else 'MISSED'}")
    print(f"{'KPI values evaluated':32} {found['values_evaluated']:>14,.0f}")
    print(f"{'memory per datastream, kB':32} {found['bytes_per_datastream'] / 1000:>14.1f}")


if __name__ == "__main__":
    main()
