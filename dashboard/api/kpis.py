"""KPI definitions and values."""

from typing import Annotated

from fastapi import APIRouter, Path, Query

from dashboard.api.models import KpiOut, KpiValueOut, KpiValuePage, Page
from dashboard.api.parameters import IntervalDep, PagingDep, ServicesDep, continued, cut, encode_cursor
from dashboard.problems import documented

router = APIRouter(tags=["kpis"])

KpiName = Annotated[str, Path(max_length=63, examples=["traffic_mean_speed"])]


@router.get("/kpis")
async def kpis(services: ServicesDep) -> Page[KpiOut]:
    """The definitions in force."""
    return Page[KpiOut](items=[KpiOut.of(definition) for definition in services.pack.kpis.values()], next=None)


@router.get("/kpis/{kpi_id}", responses=documented(404, 422))
async def kpi(kpi_id: KpiName, services: ServicesDep) -> KpiOut:
    """One definition."""
    return KpiOut.of(services.pack.kpi(kpi_id))


@router.get("/kpis/{kpi_id}/values", responses=documented(404, 422, 503))
async def kpi_values(
    kpi_id: KpiName,
    services: ServicesDep,
    interval: IntervalDep,
    paging: PagingDep,
    zone: Annotated[str | None, Query(description="The city, if not given.", examples=["coyoacan"])] = None,
) -> KpiValuePage:
    """Values whose windows end within [start, end), newest first, the latest revision of each window."""
    definition = services.pack.kpi(kpi_id)
    place = services.pack.zone(zone) if zone is not None else services.pack.city_zone
    left = continued(interval, paging.cursor)
    rows = await services.gate.reading.kpi_values(kpi_id, place.zone_id, left.start, left.end, paging.limit + 1)
    page, last = cut(rows, paging.limit)
    return KpiValuePage(
        kpi=definition.id,
        zone=place.zone_id,
        unit=definition.unit,
        items=[KpiValueOut.of(row) for row in page],
        next=encode_cursor(last.window_end.isoformat()) if last else None,
    )
