"""The routes of /api/v1: parse, call, shape. Errors become problems in dashboard.problems."""

from fastapi import APIRouter, HTTPException, Request
from starlette.routing import Match

from dashboard.api import city, kpis, observations, system

API_PREFIX = "/api/v1"
_PARTS = (city.router, observations.router, kpis.router, system.router)


def api_router() -> APIRouter:
    """All routes under /api; the last one answers 404 for whatever is not there, before Dash's own catch-all."""
    router = APIRouter()
    for part in _PARTS:
        router.include_router(part, prefix=API_PREFIX)
    router.add_api_route(
        "/api/{path:path}",
        not_there,
        methods=["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
        include_in_schema=False,
    )
    return router


async def not_there(request: Request, path: str) -> None:
    """Answer 404, or 405 if it is there and only the method is wrong."""
    if request.method != "GET" and _is_there(request):
        raise HTTPException(405, f"/api/{path} is read-only: GET", headers={"Allow": "GET"})
    raise HTTPException(404, f"there is nothing at /api/{path}")


def _is_there(request: Request) -> bool:
    """Whether reading this address would be answered."""
    reading = {**request.scope, "method": "GET", "root_path": "", "path": request.url.path.removeprefix(API_PREFIX)}
    return any(route.matches(reading)[0] is Match.FULL for part in _PARTS for route in part.routes)
