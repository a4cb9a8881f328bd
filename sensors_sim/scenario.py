"""Scripted incidents: a TOML file that says what happens where, once or again and again."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from pulso.city.pack import CityPack
from pulso.errors import ConfigurationError
from pulso.model import EPOCH
from sensors_sim.incidents import RECOVERY, Incident, IncidentKind
from sensors_sim.plan import read_toml

Positive = Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(days=7))]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ScriptedIncident(_Strict):
    """One [[incident]] table. Without `every` it happens once, `after` the start of the simulator.

    With `every` it repeats on a grid that is fixed in UTC, shifted by `after`; so it does not depend on the start,
    and a restarted simulator plays on where it was.
    """

    kind: IncidentKind
    zone: str
    after: Annotated[timedelta, Field(ge=timedelta(0))] = timedelta(0)
    every: Positive | None = None
    lasts: Positive
    severity: float = Field(gt=0, le=1)

    def between(self, began: datetime, start: datetime, end: datetime) -> Iterator[Incident]:
        """Its occurrences that can be felt in [start, end), for a simulator that began at `began`."""
        if self.every is None:
            yield self._at(began + self.after)
            return
        tail = self.lasts * (1 + RECOVERY)
        number = (start - tail - EPOCH - self.after) // self.every
        while (moment := EPOCH + self.after + number * self.every) < end:
            yield self._at(moment)
            number += 1

    def _at(self, moment: datetime) -> Incident:
        return Incident(
            moment, self.kind, self.zone, self.lasts, self.severity, f"{self.kind}-{self.zone}-{moment:%Y%m%dT%H%M%S}"
        )


class Scenario(_Strict):
    """A whole script."""

    title: str = ""
    incident: tuple[ScriptedIncident, ...] = ()

    def between(self, began: datetime, start: datetime, end: datetime) -> list[Incident]:
        """All incidents that can be felt in [start, end)."""
        occurring = (each for script in self.incident for each in script.between(began, start, end))
        return [incident for incident in occurring if incident.start < end and incident.forgotten > start]


def load_scenario(name: str, pack: CityPack) -> Scenario:
    """A scenario of the city pack by name, or any TOML file; the empty one for "". Raises ConfigurationError."""
    if not name:
        return Scenario()
    for candidate in (pack.path / "scenarios" / f"{name}.toml", Path(name)):
        if candidate.is_file():
            scenario = read_toml(candidate, Scenario)
            _check_zones(scenario, pack, candidate)
            return scenario
    known = ", ".join(sorted(path.stem for path in (pack.path / "scenarios").glob("*.toml"))) or "none"
    raise ConfigurationError(f"no scenario {name!r}: neither one of the city pack ({known}) nor a file")


def _check_zones(scenario: Scenario, pack: CityPack, file: Path) -> None:
    zones = {zone.zone_id for zone in pack.zones}
    unknown = sorted({script.zone for script in scenario.incident} - zones)
    if unknown:
        raise ConfigurationError(f"{file}: no such zone in the city pack: {', '.join(unknown)}")
