"""Reader profiles: what the columns of a recorded series mean, as TOML."""

import csv
import re
from collections.abc import Mapping, Sequence
from datetime import timedelta, timezone, tzinfo
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pulso.errors import ConfigurationError
from pulso.model import Family
from pulso.units import canonical_units
from sensors_sim.plan import read_toml
from sensors_sim.replay.source import open_text

SHIPPED = Path(__file__).with_name("profiles")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Match(_Strict):
    """How a file is recognised: a pattern for its name, and columns its header has."""

    file_name: str = Field("*", description="Pattern with * and ?, for the name without directory.")
    header: tuple[str, ...] = Field(min_length=1)


class TimeRule(_Strict):
    """Where the time stands and which instant is meant.

    `column` with `format` (strptime, or "iso"), or `date` with `hour` for an hour number of its own. `zone` is the
    clock of stamps that do not say (IANA name, or ±hh:mm). `shift` is added to the stamp, to arrive at the START
    of the interval a value stands for: windows are [start, end), and a value stamped at its end would fall into
    the next one.
    """

    column: str | None = None
    format: str = "iso"
    date: str | None = None
    hour: str | None = None
    zone: str = "UTC"
    shift: timedelta = timedelta(0)

    @model_validator(mode="after")
    def _one_way_to_tell_time(self) -> Self:
        if (self.column is None) == (self.date is None or self.hour is None):
            raise ValueError("give either column, or date and hour")
        _ = self.tzinfo
        return self

    @cached_property
    def tzinfo(self) -> tzinfo:
        """The clock of stamps that do not say."""
        offset = re.fullmatch(r"([+-])(\d\d):(\d\d)", self.zone)
        if offset:
            length = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
            return timezone(-length if offset[1] == "-" else length)
        try:
            return ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"{self.zone!r} is neither an IANA time zone nor ±hh:mm") from error

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns the time is read from."""
        return tuple(column for column in (self.column, self.date, self.hour) if column)


class ThingRule(_Strict):
    """Which thing a value belongs to: a column, or one `id` for all; wide files name their things in the header."""

    prefix: str = Field(default="", pattern=r"^[A-Za-z0-9._:-]*$")
    column: str | None = None
    id: str | None = None
    name: str | None = Field(default=None, description="Column with a name for people.")
    latitude: str | None = None
    longitude: str | None = None


class Stations(_Strict):
    """A file beside the series that says where its things stand."""

    file: str
    id: str
    name: str
    latitude: str
    longitude: str


class Profile(_Strict):
    """How to read one kind of file. Values become `number × factor` in `unit`."""

    title: str
    source: str = ""
    family: Family
    observed_property: str
    unit: str
    factor: float = 1.0
    interval: Annotated[timedelta, Field(gt=timedelta(0))]
    shape: Literal["wide", "long"]
    delimiter: str = Field(",", min_length=1, max_length=1)
    value: str | None = Field(None, description="Column of the value, in a long file.")
    missing: tuple[str, ...] = ("",)
    match: Match
    time: TimeRule
    thing: ThingRule = ThingRule()
    stations: Stations | None = None

    @model_validator(mode="after")
    def _shape_is_told_in_full(self) -> Self:
        if self.shape == "long" and not (self.value and (self.thing.column or self.thing.id)):
            raise ValueError("a long file needs value, and thing.column or thing.id")
        units = canonical_units(self.observed_property)
        if units is None or self.unit not in units:
            raise ValueError(
                f"{self.observed_property} is stored in {' or '.join(units or ['nothing known'])}, not {self.unit}"
            )
        return self

    @property
    def required_columns(self) -> tuple[str, ...]:
        """The columns without which no row can be read."""
        rule = self.thing
        facts = (self.value, rule.column, rule.name, rule.latitude, rule.longitude)
        return (*self.time.columns, *filter(None, facts))

    def fits(self, file_name: str, header: Sequence[str]) -> bool:
        """Whether a file looks like one of this kind."""
        return fnmatch(file_name, self.match.file_name) and set(self.match.header) <= set(header)


def shipped_profiles() -> Mapping[str, Profile]:
    """All profiles that come with Pulso, by name. Raises ConfigurationError."""
    return {path.stem: read_toml(path, Profile) for path in sorted(SHIPPED.glob("*.toml"))}


def load_profile(name: str) -> Profile:
    """A shipped profile by name, or one from a TOML file. Raises ConfigurationError."""
    for candidate in (SHIPPED / f"{name}.toml", Path(name)):
        if candidate.is_file():
            return read_toml(candidate, Profile)
    raise ConfigurationError(f"no profile {name!r}: neither a file nor one of {', '.join(shipped_profiles())}")


def detect_profile(path: Path) -> tuple[str, Profile]:
    """The one shipped profile that fits a file, with its name.

    Raises ConfigurationError, with the profiles there are, if none or several fit.
    """
    header = _header(path)
    profiles = shipped_profiles()
    fitting = {name: profile for name, profile in profiles.items() if profile.fits(path.name, header)}
    if len(fitting) == 1:
        return fitting.popitem()
    problem = f"several profiles fit ({', '.join(fitting)})" if fitting else "no profile fits"
    known = "\n".join(f"  {name:<22} {profile.title}" for name, profile in profiles.items())
    raise ConfigurationError(
        f"{path.name}: {problem}; its columns are {', '.join(header[:8]) or 'none'}{' …' if len(header) > 8 else ''}\n"
        f"Say which with --profile, one of\n{known}\n"
        "or write your own: a TOML file as docs/reference/replay.md describes, given as --profile FILE.toml"
    )


def _header(path: Path) -> list[str]:
    with open_text(path) as file:
        line = file.readline()
    delimiter = max(",;\t|", key=line.count)
    return next(csv.reader([line], delimiter=delimiter), [])
