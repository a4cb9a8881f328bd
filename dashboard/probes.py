"""/healthz, /readyz and /metrics: for the supervisor, the container engine and Prometheus."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST

from dashboard.api.parameters import ServicesDep

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """Alive: the event loop answers."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(services: ServicesDep) -> JSONResponse:
    """Ready: the database is reachable (StorageError, 503, otherwise) and has every migration this version needs."""
    missing = await services.gate.pending_migrations()
    if missing:
        return JSONResponse({"status": "not ready", "pending_migrations": missing}, status_code=503)
    return JSONResponse({"status": "ready"})


@router.get("/metrics")
async def metrics(services: ServicesDep) -> Response:
    """Counters in Prometheus' text format."""
    return Response(services.metrics.text(), media_type=CONTENT_TYPE_LATEST)
