"""Zones and things."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from dashboard.api.models import DatastreamOut, Page, ThingDetail, ThingOut, ZoneOut
from dashboard.api.parameters import MOST_ROWS, PagingDep, ServicesDep, cut, decode_cursor, encode_cursor
from dashboard.problems import documented
from pulso.errors import UnknownThing
from pulso.model import Family

router = APIRouter(tags=["city"])


@router.get("/zones")
async def zones(services: ServicesDep) -> Page[ZoneOut]:
    """The city and its districts, the city first."""
    return Page[ZoneOut](items=[ZoneOut.of(zone) for zone in services.pack.zones], next=None)


@router.get("/zones/{zone_id}", responses=documented(404))
async def zone(zone_id: str, services: ServicesDep) -> ZoneOut:
    """One zone."""
    return ZoneOut.of(services.pack.zone(zone_id))


@router.get("/things", responses=documented(404, 422, 503))
async def things(
    services: ServicesDep,
    paging: PagingDep,
    family: Annotated[Family | None, Query(description="Only things of this family.")] = None,
    zone: Annotated[str | None, Query(description="Only things of this zone; a city holds its districts.")] = None,
) -> Page[ThingOut]:
    """Things by external id."""
    if zone is not None:
        services.pack.zone(zone)
    after = decode_cursor(paging.cursor) if paging.cursor else ""
    rows = await services.gate.reading.things(after=after, limit=paging.limit + 1, family=family, zone_id=zone)
    page, last = cut(rows, paging.limit)
    return Page[ThingOut](
        items=[ThingOut.of(row) for row in page], next=encode_cursor(last.external_id) if last else None
    )


@router.get("/things/{external_id:path}", responses=documented(404, 422, 503))
async def thing(
    external_id: Annotated[str, Path(max_length=200, examples=["cdmx-trf-coyoacan-03"])], services: ServicesDep
) -> ThingDetail:
    """One thing, with its datastreams and their latest observations."""
    if "\x00" in external_id:  # cannot be in the database, nor asked of it
        raise UnknownThing(f"no thing {external_id!r}")
    found = await services.gate.reading.things(limit=1, external_id=external_id)
    if not found:
        raise UnknownThing(f"no thing {external_id!r}")
    streams = await services.gate.reading.datastreams(limit=MOST_ROWS, external_id=external_id)
    return ThingDetail(
        **ThingOut.of(found[0]).model_dump(), datastreams=[DatastreamOut.of(stream) for stream in streams]
    )
