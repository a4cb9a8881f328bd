"""What the API answers. Read-only; times are ISO 8601 in UTC; field names are the words of docs/glossary.md."""

from datetime import datetime, timedelta
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from pulso.city import Direction, KpiDefinition, LocalText
from pulso.db.reading import DatastreamRow, KpiValueRow, ObservationRow, ThingRow
from pulso.model import BandState, Family, Flag, KpiStatus, Quality, Zone, ZoneKind

Item = TypeVar("Item")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True)


class Page(_Answer, Generic[Item]):
    """One page of a list."""

    items: list[Item]
    next: str | None = Field(
        description="Give it as `cursor` to get the next page; null on the last.", examples=["MTI"]
    )


class ZoneOut(_Answer):
    """A city or one of its districts."""

    id: str = Field(examples=["coyoacan"])
    kind: ZoneKind
    name: str = Field(examples=["Coyoacán"])
    short_name: str
    parent: str | None = Field(description="Zone it lies in.", examples=["cdmx"])
    latitude: float = Field(description="Seat, degrees WGS 84.", examples=[19.328])
    longitude: float = Field(description="Seat, degrees WGS 84.", examples=[-99.151])

    @classmethod
    def of(cls, zone: Zone) -> "ZoneOut":
        """Shape a zone."""
        return cls(
            id=zone.zone_id,
            kind=zone.kind,
            name=zone.name,
            short_name=zone.short_name,
            parent=zone.parent_id,
            latitude=zone.latitude,
            longitude=zone.longitude,
        )


class DatastreamOut(_Answer):
    """One observed property of one thing. The latest observation is null where there is none yet."""

    id: int = Field(examples=[12])
    thing: str = Field(examples=["cdmx-trf-coyoacan-03"])
    observed_property: str = Field(examples=["speed"])
    unit: str = Field(description="UCUM code of every result.", examples=["km/h"])
    latest_time: datetime | None
    latest_result: float | None = Field(description="In `unit`.", examples=[31.4])
    latest_quality: Quality | None = Field(description="QARTOD: 1 pass, 2 not evaluated, 3 suspect, 4 fail, 9 missing.")

    @classmethod
    def of(cls, row: DatastreamRow) -> "DatastreamOut":
        """Shape a datastream."""
        return cls(
            id=row.datastream_id,
            thing=row.external_id,
            observed_property=row.observed_property,
            unit=row.unit,
            latest_time=row.latest_time,
            latest_result=row.latest_result,
            latest_quality=None if row.latest_quality is None else Quality(row.latest_quality),
        )


class ThingOut(_Answer):
    """Something that observes: a traffic detector, a bin, a meter, a station."""

    id: str = Field(description="External id, as in its topic.", examples=["cdmx-trf-coyoacan-03"])
    family: Family | None = Field(description="Null while nothing has told it.")
    name: str
    zone: str | None = Field(examples=["coyoacan"])
    latitude: float | None = Field(description="Degrees WGS 84.")
    longitude: float | None = Field(description="Degrees WGS 84.")
    expected_interval: float = Field(description="Seconds between two observations while healthy.", examples=[60])
    state: str = Field(description="active, quarantined or retired.", examples=["active"])
    properties: dict[str, float] = Field(description="Numbers formulas need; the unit is in the name.")
    unread_fields: list[str] = Field(
        description="Numbers in its messages, beside what is stored, that nothing gives a meaning.", examples=[["lvl"]]
    )

    @classmethod
    def of(cls, row: ThingRow) -> "ThingOut":
        """Shape a thing."""
        return cls(
            id=row.external_id,
            family=None if row.family is None else Family(row.family),
            name=row.name,
            zone=row.zone_id,
            latitude=row.latitude,
            longitude=row.longitude,
            expected_interval=row.expected_interval,
            state=row.state,
            properties=dict(row.properties),
            unread_fields=list(row.unread_fields),
        )


class ThingDetail(ThingOut):
    """A thing with its datastreams."""

    datastreams: list[DatastreamOut]


class SentOut(_Answer):
    """What stood in the message, before it was converted."""

    result: float = Field(examples=[88])
    unit: str = Field(description="As the message spelt it.", examples=["°F"])


class ObservationOut(_Answer):
    """One observation."""

    phenomenon_time: datetime = Field(description="When it was so.")
    result: float = Field(description="In the unit of the datastream.", examples=[31.4])
    quality: Quality
    flags: list[str] = Field(
        description="The tests that found it odd: range, rate, spike, stuck, neighbours, clock; for meters reset,"
        " rollover, exchange.",
        examples=[["spike"]],
    )
    received_at: datetime = Field(description="When it reached us.")
    result_time: datetime | None = Field(description="When the result was produced, if the message told.")
    sent: SentOut | None = Field(description="What stood in the message; null if nothing was converted.")

    @classmethod
    def of(cls, row: ObservationRow) -> "ObservationOut":
        """Shape an observation."""
        return cls(
            phenomenon_time=row.phenomenon_time,
            result=row.result,
            quality=Quality(row.quality),
            flags=[str(flag.name).lower() for flag in Flag(row.flags)],
            received_at=row.received_at,
            result_time=row.result_time,
            sent=_sent(row),
        )


def _sent(row: ObservationRow) -> SentOut | None:
    if row.sent_result is None or row.sent_unit is None:
        return None
    return SentOut(result=row.sent_result, unit=row.sent_unit)


class ObservationPage(Page[ObservationOut]):
    """Observations of one datastream, newest first."""

    datastream: DatastreamOut


class BandOut(_Answer):
    """One interval of a KPI's values."""

    state: BandState
    label: LocalText
    above: float | None = Field(description="Exclusive lower end.")
    at_least: float | None = Field(description="Inclusive lower end.")
    below: float | None = Field(description="Exclusive upper end.")
    at_most: float | None = Field(description="Inclusive upper end.")


class KpiOut(_Answer):
    """What a KPI is, in the version in force."""

    id: str = Field(examples=["traffic_mean_speed"])
    version: str = Field(description="Changes with any change of the definition.", examples=["9c1f0a5be2d7"])
    title: LocalText
    family: Family
    unit: str = Field(examples=["km/h"])
    decimals: int = Field(description="Digits after the point that are worth showing.")
    formula: str
    window: timedelta = Field(description="Length of a window, ISO 8601.", examples=["PT5M"])
    step: timedelta = Field(description="Time from one window to the next, ISO 8601.", examples=["PT1M"])
    minimum_coverage: float = Field(description="Below it a value is null.", examples=[0.5])
    direction: Direction = Field(description="Which way is better.")
    bands: list[BandOut]
    source: str

    @classmethod
    def of(cls, definition: KpiDefinition) -> "KpiOut":
        """Shape a definition."""
        return cls(
            id=definition.id,
            version=definition.version,
            title=definition.title,
            family=definition.family,
            unit=definition.unit,
            decimals=definition.decimals,
            formula=definition.formula,
            window=definition.window.length,
            step=definition.window.step,
            minimum_coverage=definition.minimum_coverage,
            direction=definition.direction,
            bands=[BandOut.model_validate(band.model_dump()) for band in definition.bands],
            source=definition.source,
        )


class KpiValueOut(_Answer):
    """The latest revision of one window."""

    window_start: datetime
    window_end: datetime = Field(description="Exclusive.")
    value: float | None = Field(description="In the unit of the KPI; null below its minimum coverage.", examples=[31.4])
    band: BandState | None
    coverage: float = Field(description="Present share of expected inputs over the whole window, 0 to 1.")
    status: KpiStatus
    revision: int = Field(description="0, and one more for every change after the window was final.")
    observed_until: datetime | None = Field(description="Phenomenon time of the newest observation that counted.")
    detail: dict[str, object]
    version: str = Field(description="Version of the definition it was computed with.")
    known_at: datetime

    @classmethod
    def of(cls, row: KpiValueRow) -> "KpiValueOut":
        """Shape a value."""
        return cls(
            window_start=row.window_start,
            window_end=row.window_end,
            value=row.value,
            band=BandState(row.band) if row.band else None,
            coverage=row.coverage,
            status=KpiStatus(row.status),
            revision=row.revision,
            observed_until=row.observed_until,
            detail=dict(row.detail),
            version=row.version,
            known_at=row.known_at,
        )


class KpiValuePage(Page[KpiValueOut]):
    """Values of one KPI in one zone, newest window first."""

    kpi: str
    zone: str
    unit: str


class RootOut(_Answer):
    """Where to go on from here."""

    description: str = Field(description="The OpenAPI document.", examples=["/api/v1/openapi.json"])
    paths: list[str]


class HealthOut(_Answer):
    """How the web process is."""

    status: str = Field(description="ok, or degraded while the database is not reachable.", examples=["ok"])
    database: bool = Field(description="Whether the database answers.")
    database_away_since: datetime | None
    build: str = Field(description="Changes with the program or the city pack.")
    city: str = Field(examples=["cdmx"])
