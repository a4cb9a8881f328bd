"""The live stream and the health of the process."""

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import StreamingResponse

from dashboard.api.models import HealthOut, RootOut
from dashboard.api.parameters import ServicesDep
from dashboard.live.hub import MOST_VIEWERS
from dashboard.problems import documented
from dashboard.services import Services

router = APIRouter(tags=["system"])

_STREAM = {
    "description": "Server-sent events named `frame`; see docs/reference/api.md.",
    "content": {"text/event-stream": {}},
}


@router.get("", include_in_schema=False)
async def root(request: Request) -> RootOut:
    """What there is, for whoever opens the address by hand."""
    description = str(request.app.openapi_url)
    return RootOut(description=description, paths=sorted(request.app.openapi()["paths"]))


@router.get("/live", response_class=StreamingResponse, responses={200: _STREAM, **documented(503)})
async def live(services: ServicesDep) -> StreamingResponse:
    """What the wall shows, as it changes: a whole state first, then at least one frame per second."""
    if services.hub.is_full:
        raise HTTPException(503, f"{MOST_VIEWERS} live streams are open, the most there may be", {"Retry-After": "5"})
    return StreamingResponse(
        services.hub.frames(),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},  # proxies must not hold frames back
    )


@router.get("/health")
async def health(services: ServicesDep) -> HealthOut:
    """How the web process is; answers 200 as long as it lives."""
    return health_of(services)


def health_of(services: Services) -> HealthOut:
    """The health of the process, as the live feed last saw it."""
    away = services.gate.away_since
    return HealthOut(
        status="ok" if away is None else "degraded",
        database=away is None,
        database_away_since=away,
        build=services.build,
        city=services.pack.city.id,
    )
