"""The values all packages speak of. Words follow OGC SensorThings; see docs/glossary.md."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import IntEnum, IntFlag, StrEnum
from typing import NewType

ZoneId = NewType("ZoneId", str)
ThingId = NewType("ThingId", int)
DatastreamId = NewType("DatastreamId", int)
KpiId = NewType("KpiId", str)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def to_micros(moment: datetime) -> int:
    """Microseconds since 1970-01-01T00:00Z of an aware datetime, exactly (no float in between)."""
    return (moment - EPOCH) // MICROSECOND


def from_micros(micros: int) -> datetime:
    """The UTC datetime of microseconds since 1970-01-01T00:00Z."""
    return EPOCH + timedelta(microseconds=int(micros))


class Family(StrEnum):
    """The four families of sensors."""

    TRAFFIC = "traffic"
    WASTE = "waste"
    ENERGY = "energy"
    AIR = "air"


class FamilyBasis(IntEnum):
    """What the family of a thing rests on; `thing.family_basis`. More takes the place of less."""

    INCIDENTAL = 0  # what stands in many devices beside something else: a temperature
    OBSERVED = 1  # what only one family measures
    TOLD = 2  # by a message, a profile or a person


class Quality(IntEnum):
    """Trust in one observation; the primary flags of QARTOD (IOOS, Manual for the Use of Data Flags)."""

    PASS = 1
    NOT_EVALUATED = 2
    SUSPECT = 3
    FAIL = 4
    MISSING = 9


class Flag(IntFlag):
    """Why an observation's quality is not pass; bits of `observation.flags`."""

    RANGE = 1
    RATE = 2
    SPIKE = 4
    STUCK = 8
    NEIGHBOURS = 16
    CLOCK = 32
    RESET = 64
    ROLLOVER = 128
    EXCHANGE = 256


class ThingState(StrEnum):
    """Whether a thing's observations count."""

    ACTIVE = "active"
    QUARANTINED = "quarantined"
    RETIRED = "retired"


class ZoneKind(StrEnum):
    """City or one of its districts."""

    CITY = "city"
    DISTRICT = "district"


class KpiStatus(StrEnum):
    """How settled a KPI value is: window open, watermark passed, changed afterwards."""

    PROVISIONAL = "provisional"
    FINAL = "final"
    REVISED = "revised"


class BandState(StrEnum):
    """The five states a band can stand for, best first; each has one colour and one shape on screen."""

    GOOD = "good"
    WATCH = "watch"
    BAD = "bad"
    CRITICAL = "critical"
    EXTREME = "extreme"


@dataclass(frozen=True, slots=True)
class Zone:
    """A city or a district. `latitude`, `longitude` are its seat in degrees, WGS 84."""

    zone_id: ZoneId
    kind: ZoneKind
    name: str
    short_name: str
    latitude: float
    longitude: float
    parent_id: ZoneId | None = None


@dataclass(frozen=True, slots=True)
class ThingDescription:
    """What is told about a thing by itself or by its installer. Position in degrees, WGS 84.

    `properties` are the numbers formulas need: `length_m` and `free_flow_kmh` of a traffic detector's
    segment, `capacity_l` of a bin, `register_max_kwh` of a meter.
    """

    external_id: str
    family: Family
    name: str = ""
    zone_id: ZoneId | None = None
    latitude: float | None = None
    longitude: float | None = None
    expected_interval: timedelta = timedelta(minutes=1)
    properties: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open interval [start, end) in UTC."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """Duration of the window."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class KpiValue:
    """One value of one KPI for one zone and window, in the unit of its definition.

    `value` is None below the definition's minimum coverage, or where the formula has nothing to divide by;
    `coverage` is the present share of the expected inputs over the whole window; `observed_until` the phenomenon
    time of the newest observation that counted; `detail` what the formula adds, for instance the responsible pollutant.
    """

    kpi_id: KpiId
    zone_id: ZoneId
    window: Window
    value: float | None
    band: BandState | None
    coverage: float
    status: KpiStatus
    revision: int
    observed_until: datetime | None
    version: str
    detail: Mapping[str, object] = field(default_factory=dict)
