"""Incidents: what goes wrong in a zone for a while, and how strongly it is felt at a site and a moment."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pulso.errors import UnknownZone
from pulso.model import Zone, ZoneKind, to_micros
from sensors_sim.city import SimulatedCity, Sites, distance_km
from sensors_sim.noise import Floats, key_of, smooth, uniform
from sensors_sim.rhythm import Micros


class IncidentKind(StrEnum):
    """What can go wrong."""

    CONGESTION = "congestion"
    OVERFLOW = "overflow"
    OUTAGE = "outage"
    POLLUTION = "pollution"


RAMP = {
    IncidentKind.CONGESTION: timedelta(minutes=3),
    IncidentKind.OVERFLOW: timedelta(minutes=2),
    IncidentKind.OUTAGE: timedelta(0),
    IncidentKind.POLLUTION: timedelta(minutes=15),
}
"""How long an incident takes to build up, and as long to fade before its end; never more than a third of it."""

REACH_KM = {IncidentKind.CONGESTION: 2.0, IncidentKind.POLLUTION: 4.0}
"""How far beyond its zone an incident is felt: the standard deviation of a bell around the seat."""

RECOVERY = 3
"""After an outage the missed energy is consumed within this many times its duration (cold-load pick-up)."""


@dataclass(frozen=True, slots=True, order=True)
class Incident:
    """One incident in [start, start + duration). `severity` in (0, 1]: depth, or the share of things it befalls."""

    start: datetime
    kind: IncidentKind
    zone_id: str
    duration: timedelta
    severity: float
    incident_id: str = field(default="", compare=False)

    @property
    def end(self) -> datetime:
        """The first moment it is over."""
        return self.start + self.duration

    @property
    def forgotten(self) -> datetime:
        """The first moment nothing of it is left in any signal."""
        return self.end + RECOVERY * self.duration if self.kind is IncidentKind.OUTAGE else self.end


@dataclass(frozen=True)
class Incidents:
    """A set of incidents in one city. Immutable: a new one makes a new set."""

    listed: tuple[Incident, ...]
    zones: tuple[Zone, ...]
    """City first, then the districts in the order of `Sites.district`."""

    @classmethod
    def of(cls, city: SimulatedCity, listed: Iterable[Incident] = ()) -> "Incidents":
        """Check and order incidents. Raises UnknownZone."""
        zones = (city.city_zone, *city.districts)
        known = {zone.zone_id for zone in zones}
        ordered = tuple(sorted(set(listed)))
        for incident in ordered:
            if incident.zone_id not in known:
                raise UnknownZone(f"no zone {incident.zone_id!r}; known: {', '.join(sorted(known))}")
        return cls(ordered, zones)

    def between(self, start: datetime, end: datetime) -> "Incidents":
        """Those that can be felt somewhere in [start, end), also through a later outage that found them not made up."""
        kept: list[Incident] = []
        felt_from = start
        for incident in sorted(self.listed, key=lambda one: one.forgotten, reverse=True):
            if incident.start < end and incident.forgotten > felt_from:
                kept.append(incident)
                if incident.kind is IncidentKind.OUTAGE:
                    felt_from = min(felt_from, incident.start)
        return Incidents(tuple(sorted(kept)), self.zones)

    def intensity(self, kind: IncidentKind, sites: Sites, micros: Micros) -> Floats:
        """How strongly incidents of a kind are felt, 0 to 1, row by row; of several the strongest."""
        felt = np.zeros(micros.shape)
        for incident in self._of_kind(kind):
            strength = incident.severity * self._weight(incident, sites) * envelope(incident, micros)
            np.maximum(felt, strength, out=felt)
        return felt

    def struck(self, kind: IncidentKind, sites: Sites) -> Sequence[tuple[Incident, NDArray[np.bool_]]]:
        """Each incident of a kind, oldest first, with the rows it befalls: a `severity` share of its zone's things."""
        return [
            (incident, self._inside(incident, sites) & (uniform(_key(incident), sites.key) < incident.severity))
            for incident in self._of_kind(kind)
        ]

    def _of_kind(self, kind: IncidentKind) -> Sequence[Incident]:
        return self._by_kind.get(kind, ())

    @cached_property
    def _by_kind(self) -> dict[IncidentKind, list[Incident]]:
        return {kind: [i for i in self.listed if i.kind is kind] for kind in IncidentKind}

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {zone.zone_id: number for number, zone in enumerate(self.zones)}

    def _inside(self, incident: Incident, sites: Sites) -> NDArray[np.bool_]:
        number = self._numbers[incident.zone_id]
        if self.zones[number].kind is ZoneKind.CITY:
            return np.ones(sites.district.shape, bool)
        return np.asarray(sites.district == number - 1)

    def _weight(self, incident: Incident, sites: Sites) -> Floats:
        inside = self._inside(incident, sites)
        reach = REACH_KM.get(incident.kind)
        if reach is None:
            return inside.astype(np.float64)
        seat = self.zones[self._numbers[incident.zone_id]]
        away = distance_km(sites.latitude, sites.longitude, seat.latitude, seat.longitude)
        near = np.exp(-0.5 * (away / reach) ** 2)
        return np.where(inside, 1.0, np.where(near > 0.05, near, 0.0))


def envelope(incident: Incident, micros: Micros) -> Floats:
    """The course of an incident, 0 to 1: it builds up, holds and fades within [start, end); 0 outside."""
    start, end = to_micros(incident.start), to_micros(incident.end)
    ramp = min(RAMP[incident.kind], incident.duration / 3) / timedelta(microseconds=1)
    inside = (micros >= start) & (micros < end)
    if not ramp:
        return inside.astype(np.float64)
    return np.where(inside, smooth((micros - start) / ramp) * smooth((end - micros) / ramp), 0.0)


def _key(incident: Incident) -> np.uint64:
    return key_of(f"{incident.kind}/{incident.zone_id}/{to_micros(incident.start)}")
