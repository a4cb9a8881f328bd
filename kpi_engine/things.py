"""What formulas know of the things: as columns, grouped by zone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from pulso.city.definition import KpiInput
from pulso.db.things import RegisteredDatastream
from pulso.model import Family, ZoneId
from pulso.units import canonical_units

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

# Reference-condition factors of the U4SSC verification manual (ITU 2022), p. 95: µg/m³ per ppb. At the altitude of
# Mexico City nothing else may be derived from ambient pressure for reporting.
_PER_PPB = MappingProxyType({"no2": 1.9, "so2": 2.62, "o3": 1.96})


def conversion(observed_property: str, unit: str, wanted: str) -> float | None:
    """The factor from `unit` to `wanted` (UCUM codes); None where there is none that may be used."""
    if unit == wanted:
        return 1.0
    per_ppb = _PER_PPB.get(observed_property)
    if per_ppb is None:
        return None
    return {("ug/m3", "ppb"): 1 / per_ppb, ("ppb", "ug/m3"): per_ppb}.get((unit, wanted))


@dataclass(frozen=True)
class Zoning:
    """The zones of a city, the city itself first, and which run of the things' columns belongs to each district."""

    zone_ids: tuple[ZoneId, ...]
    bounds: tuple[tuple[int, int], ...]  # [first, end) per zone; the city has all columns

    def total(self, values: Floats) -> Floats:
        """Sum over the things of each zone: (windows, things) to (windows, zones). The city sums all things."""
        return np.stack([values[:, first:end].sum(axis=1) for first, end in self.bounds], axis=1)

    def largest(self, values: Floats) -> Floats:
        """Maximum over the things of each zone; -inf where there are none."""
        return np.stack([values[:, first:end].max(axis=1, initial=-np.inf) for first, end in self.bounds], axis=1)

    def newest(self, moments: Ints) -> Ints:
        """Maximum over the things of each zone, of integers; the smallest integer where there are none."""
        nothing = np.iinfo(np.int64).min
        return np.stack([moments[:, first:end].max(axis=1, initial=nothing) for first, end in self.bounds], axis=1)


@dataclass(frozen=True)
class Things:
    """Things as columns, ordered by zone. `interval` is the expected time between observations, in seconds.

    `streams` and `factors` give per input the datastream of each thing (-1: it has none) and what to multiply its
    results by to get them in the unit of the input.
    """

    external_ids: tuple[str, ...]
    interval: Floats
    zoning: Zoning
    streams: Mapping[str, Ints]
    factors: Mapping[str, Floats]
    properties: Sequence[Mapping[str, float]]

    def __len__(self) -> int:
        return len(self.external_ids)

    def property(self, name: str) -> Floats:
        """One number per thing; NaN where it is not known."""
        return np.array([properties.get(name, np.nan) for properties in self.properties], float)

    @cached_property
    def datastream_ids(self) -> Ints:
        """All datastreams that feed the inputs, ascending."""
        ids = np.unique(np.concatenate([*self.streams.values(), np.empty(0, np.int64)]))
        return ids[ids >= 0]


@dataclass(frozen=True)
class Roster:
    """Everything the engine knows of things and datastreams at one version of the registry."""

    zone_ids: tuple[ZoneId, ...]
    datastreams: tuple[RegisteredDatastream, ...]

    def things(self, family: Family, inputs: Mapping[str, KpiInput], *, all_inputs: bool) -> Things:
        """The things of a family that have all (or any) of `inputs`, in a unit that can be used."""
        found: dict[str, dict[str, tuple[int, float]]] = {}
        about: dict[str, RegisteredDatastream] = {}
        for stream in self.datastreams:
            if stream.family != family:
                continue
            for name, factor in _uses(stream, inputs):
                found.setdefault(stream.external_id, {})[name] = (stream.datastream_id, factor)
                about[stream.external_id] = stream
        needed = len(inputs) if all_inputs else 1
        chosen = [about[thing] for thing, streams in found.items() if len(streams) >= needed]
        return _things(sorted(chosen, key=self._place), found, inputs, self.zone_ids)

    def _place(self, stream: RegisteredDatastream) -> tuple[int, str]:
        known = stream.zone_id in self.zone_ids
        return (
            self.zone_ids.index(stream.zone_id) if known and stream.zone_id else len(self.zone_ids),
            stream.external_id,
        )


def _uses(stream: RegisteredDatastream, inputs: Mapping[str, KpiInput]) -> Iterable[tuple[str, float]]:
    for name, wanted in inputs.items():
        if wanted.property == stream.observed_property:
            unit = wanted.unit or (canonical_units(wanted.property) or (stream.unit,))[0]
            factor = conversion(stream.observed_property, stream.unit, unit)
            if factor is not None:
                yield name, factor


def _things(
    chosen: Sequence[RegisteredDatastream],
    found: Mapping[str, Mapping[str, tuple[int, float]]],
    inputs: Mapping[str, KpiInput],
    zone_ids: tuple[ZoneId, ...],
) -> Things:
    rows = [found[stream.external_id] for stream in chosen]
    zones = [stream.zone_id for stream in chosen]
    nothing = (-1, 1.0)
    return Things(
        external_ids=tuple(stream.external_id for stream in chosen),
        interval=np.array([stream.expected_interval for stream in chosen], float),
        zoning=Zoning(zone_ids, ((0, len(chosen)), *(_run(zones, zone_id) for zone_id in zone_ids[1:]))),
        streams={name: np.array([row.get(name, nothing)[0] for row in rows], np.int64) for name in inputs},
        factors={name: np.array([row.get(name, nothing)[1] for row in rows], float) for name in inputs},
        properties=[stream.properties for stream in chosen],
    )


def _run(zones: Sequence[ZoneId | None], zone_id: ZoneId) -> tuple[int, int]:
    if zone_id not in zones:
        return (0, 0)
    first = zones.index(zone_id)
    return (first, first + zones.count(zone_id))
