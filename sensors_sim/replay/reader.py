"""Reading a recorded series with its profile: rows with a UTC time, a thing and a number in the canonical unit."""

import csv
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

from pulso.errors import ConfigurationError
from pulso.model import ThingDescription
from sensors_sim.replay.profile import Profile, TimeRule
from sensors_sim.replay.source import open_text

_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._:-]+")
FAULTS_KEPT = 20
LONGEST_ID = 128  # characters of a thing's id, as docs/reference/pulso-json.md says


@dataclass(frozen=True, slots=True)
class SeriesRow:
    """One value: `result` in the profile's unit; `phenomenon_time` is the start of what it stands for, in UTC."""

    thing: str
    observed_property: str
    phenomenon_time: datetime
    result: float
    line: int


@dataclass
class Report:
    """What was met while reading; filled by `read_series`."""

    lines: int = 0
    values: int = 0
    missing: int = 0
    bad: int = 0
    faults: list[str] = field(default_factory=list)
    """The first bad ones, with line number and reason."""
    things: dict[str, ThingDescription] = field(default_factory=dict)

    def fault(self, line: int, reason: str) -> None:
        """Count something that cannot be used."""
        self.bad += 1
        if len(self.faults) < FAULTS_KEPT:
            self.faults.append(f"line {line}: {reason}")


def read_series(path: Path, profile: Profile, report: Report | None = None) -> Iterator[SeriesRow]:
    """All values of a file, in its order, missing ones left out; a bad one is counted in `report` and skipped.

    Raises ConfigurationError if the file or a column of the profile is not there.
    """
    report = report if report is not None else Report()
    stations = _read_stations(path, profile)
    with open_text(path) as file:
        lines = csv.reader(file, delimiter=profile.delimiter)
        header = next(lines, [])
        lost = [column for column in profile.required_columns if column not in header]
        if lost:
            raise ConfigurationError(f"{path.name}: the profile needs columns that are not there: {', '.join(lost)}")
        columns = _Columns(profile, header, stations, report)
        for cells in lines:
            if cells:
                report.lines += 1
                yield from columns.rows(cells, lines.line_num)


class _Columns:
    """The header of one file, understood once."""

    def __init__(
        self,
        profile: Profile,
        header: Sequence[str],
        stations: Mapping[str, tuple[str, float, float]],
        report: Report,
    ) -> None:
        self._profile = profile
        self._place = {name: number for number, name in enumerate(header)}
        self._width = len(header)
        self._stations = stations
        self._report = report
        self._time = time_reader(profile.time)
        self._time_places = [self._place[column] for column in profile.time.columns]
        wide = [name for name in header if name not in profile.time.columns] if profile.shape == "wide" else []
        self._wide = [(self._place[name], name) for name in wide]
        self._missing = {marker.strip().casefold() for marker in profile.missing}

    def rows(self, cells: list[str], line: int) -> Iterator[SeriesRow]:
        """The values of one line."""
        if len(cells) != self._width:
            self._report.fault(line, f"{len(cells)} columns where the header has {self._width}")
            return
        try:
            moment = self._time(*(cells[place] for place in self._time_places))
        except (ValueError, OverflowError) as error:
            self._report.fault(line, f"not a time: {error}")
            return
        for place, name in self._values(cells):
            try:
                thing = self._thing(name, cells)
            except ValueError as error:
                self._report.fault(line, f"not a thing: {error}")
                continue
            result = self._number(cells[place], line)
            if result is not None:
                yield SeriesRow(thing, self._profile.observed_property, moment, result, line)

    def _values(self, cells: list[str]) -> Sequence[tuple[int, str]]:
        if self._profile.shape == "wide":
            return self._wide
        rule, value = self._profile.thing, self._profile.value
        name = cells[self._place[rule.column]] if rule.column else rule.id
        return [(self._place[value or ""], name or "")]

    def _number(self, cell: str, line: int) -> float | None:
        text = cell.strip()
        if text.casefold() in self._missing:
            self._report.missing += 1
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number):
            self._report.fault(line, f"not a number: {text[:40]!r}")
            return None
        self._report.values += 1
        return number if self._profile.factor == 1.0 else number * self._profile.factor

    def _thing(self, name: str, cells: list[str]) -> str:
        """The id of the thing a value belongs to, described when it is met first. Raises ValueError."""
        if not name.strip():
            raise ValueError("no name")
        thing = self._profile.thing.prefix + _NOT_IN_IDS.sub("-", name.strip())
        if len(thing) > LONGEST_ID:
            raise ValueError(f"an id of {len(thing)} characters, at most {LONGEST_ID} may be")
        if thing not in self._report.things:
            self._report.things[thing] = self._describe(thing, name.strip(), cells)
        return thing

    def _describe(self, thing: str, name: str, cells: list[str]) -> ThingDescription:
        rule = self._profile.thing
        title, latitude, longitude = self._stations.get(name, (name, None, None))
        if rule.name:
            title = cells[self._place[rule.name]]
        if rule.latitude and rule.longitude:
            latitude, longitude = _position(cells[self._place[rule.latitude]], cells[self._place[rule.longitude]])
        return ThingDescription(
            external_id=thing,
            family=self._profile.family,
            name=title,
            latitude=latitude,
            longitude=longitude,
            expected_interval=self._profile.interval,
        )


def _position(latitude: str, longitude: str) -> tuple[float, float] | tuple[None, None]:
    """Degrees WGS 84, or nothing where the cells hold no place on Earth."""
    try:
        north, east = float(latitude), float(longitude)
    except ValueError:
        return None, None
    return (north, east) if abs(north) <= 90 and abs(east) <= 180 else (None, None)


def time_reader(rule: TimeRule) -> Callable[..., datetime]:
    """A function from the time cells of a line to UTC. It raises ValueError for text that is no time."""

    def from_stamp(cell: str) -> datetime:
        text = cell.strip()
        stamp = datetime.fromisoformat(text) if rule.format == "iso" else datetime.strptime(text, rule.format)  # noqa: DTZ007
        return _to_utc(stamp, rule)

    def from_date_and_hour(day: str, hour: str) -> datetime:
        midnight = datetime.combine(date.fromisoformat(day.strip()), time())
        return _to_utc(midnight + timedelta(hours=int(hour)), rule)

    return from_stamp if rule.column else from_date_and_hour


def _to_utc(stamp: datetime, rule: TimeRule) -> datetime:
    aware = stamp if stamp.tzinfo else stamp.replace(tzinfo=rule.tzinfo)
    return aware.astimezone(UTC) + rule.shift


def _read_stations(path: Path, profile: Profile) -> dict[str, tuple[str, float, float]]:
    """Name and position by station; empty if the profile names no file, or the file is not there."""
    rule = profile.stations
    file = path.with_name(rule.file) if rule else None
    if rule is None or file is None or not file.is_file():
        return {}
    with open_text(file) as text:
        rows = csv.DictReader(text)
        try:
            return {
                row[rule.id]: (row[rule.name], float(row[rule.latitude]), float(row[rule.longitude])) for row in rows
            }
        except (KeyError, ValueError) as error:
            raise ConfigurationError(
                f"{file.name} is not the list of stations its profile describes: {error}"
            ) from error
