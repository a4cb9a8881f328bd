"""The routes of /api/v1: parse, call, shape. Errors become problems in dashboard.problems."""

from fastapi import APIRouter, HTTPException

from dashboard.api import city, kpis, observations, system

API_PREFIX = "/api/v1"


def api_router() -> APIRouter:
    """All routes under /api; the last one answers 404 for whatever is not there, before Dash's own catch-all."""
    router = APIRouter()
    for part in (city.router, observations.router, kpis.router, system.router):
        router.include_router(part, prefix=API_PREFIX)
    router.add_api_route(
        "/api/{path:path}",
        not_there,
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
    return router


async def not_there(path: str) -> None:
    """Answer 404."""
    raise HTTPException(404, f"there is nothing at /api/{path}")
