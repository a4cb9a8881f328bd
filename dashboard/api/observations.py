"""Datastreams and their observations."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from dashboard.api.models import DatastreamOut, ObservationOut, ObservationPage, Page
from dashboard.api.parameters import (
    LARGEST_ID,
    NO_NUL,
    IntervalDep,
    PagingDep,
    ServicesDep,
    continued,
    cut,
    decode_number,
    encode_cursor,
)
from dashboard.problems import BadRequest, documented
from dashboard.services import Services
from pulso.db.reading import DatastreamRow
from pulso.errors import UnknownDatastream

router = APIRouter(tags=["observations"])

DatastreamNumber = Annotated[int, Path(ge=1, le=LARGEST_ID)]
ThingQuery = Annotated[str | None, Query(max_length=128, pattern=NO_NUL, description="External id of a thing.")]
PropertyQuery = Annotated[
    str | None, Query(max_length=63, pattern=NO_NUL, description="Observed property.", examples=["speed"])
]


@dataclass(frozen=True, slots=True)
class DatastreamName:
    """How a request names a datastream: by its number, or by thing and property."""

    datastream_id: int | None = None
    thing: str | None = None
    observed_property: str | None = None

    def __str__(self) -> str:
        return f"{self.observed_property!r} of thing {self.thing!r}" if self.thing else str(self.datastream_id)


def datastream_name(
    datastream_id: Annotated[int | None, Query(ge=1, le=LARGEST_ID, examples=[12])] = None,
    thing: ThingQuery = None,
    observed_property: PropertyQuery = None,
) -> DatastreamName:
    """Check that a datastream is named in exactly one way. Raises BadRequest."""
    if (datastream_id is None) == (thing is None and observed_property is None):
        raise BadRequest("datastream_id", "give either datastream_id, or thing and observed_property")
    if datastream_id is None and not (thing and observed_property):
        raise BadRequest("observed_property", "thing and observed_property are needed together")
    return DatastreamName(datastream_id, thing, observed_property)


NameDep = Annotated[DatastreamName, Depends(datastream_name)]


@router.get("/datastreams", responses=documented(422, 503))
async def datastreams(
    services: ServicesDep,
    paging: PagingDep,
    thing: ThingQuery = None,
    observed_property: PropertyQuery = None,
) -> Page[DatastreamOut]:
    """Datastreams by id, each with its latest observation."""
    rows = await services.gate.reading.datastreams(
        after=decode_number(paging.cursor) if paging.cursor else 0,
        limit=paging.limit + 1,
        external_id=thing,
        observed_property=observed_property,
    )
    page, last = cut(rows, paging.limit)
    return Page[DatastreamOut](
        items=[DatastreamOut.of(row) for row in page], next=encode_cursor(str(last.datastream_id)) if last else None
    )


@router.get("/datastreams/{datastream_id}", responses=documented(404, 422, 503))
async def datastream(datastream_id: DatastreamNumber, services: ServicesDep) -> DatastreamOut:
    """One datastream with its latest observation."""
    return DatastreamOut.of(await _datastream(services, DatastreamName(datastream_id)))


@router.get("/observations", responses=documented(404, 422, 503))
async def observations(
    services: ServicesDep,
    interval: IntervalDep,
    name: NameDep,
    paging: PagingDep,
) -> ObservationPage:
    """Observations of one datastream within [start, end), newest first.

    Name the datastream by `datastream_id`, or by `thing` and `observed_property`.
    """
    stream = await _datastream(services, name)
    left = continued(interval, paging.cursor)
    rows = await services.gate.reading.observations(stream.datastream_id, left.start, left.end, paging.limit + 1)
    page, last = cut(rows, paging.limit)
    return ObservationPage(
        datastream=DatastreamOut.of(stream),
        items=[ObservationOut.of(row) for row in page],
        next=encode_cursor(last.phenomenon_time.isoformat()) if last else None,
    )


async def _datastream(services: Services, name: DatastreamName) -> DatastreamRow:
    found = await services.gate.reading.datastreams(
        limit=1,
        datastream_id=name.datastream_id,
        external_id=name.thing,
        observed_property=name.observed_property,
    )
    if not found:
        raise UnknownDatastream(f"no datastream {name}")
    return found[0]
