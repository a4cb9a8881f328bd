"""The routes of /api/v1: parse, call, shape. Errors become problems in dashboard.problems."""

from fastapi import APIRouter, HTTPException, Request
from starlette.routing import Match

from dashboard.api import city, kpis, observations, operations, system

API_PREFIX = "/api/v1"
# operations before city: a thing's id may hold slashes, so `/things/{id}/adopt` has to be looked at first
_PARTS = (operations.router, city.router, observations.router, kpis.router, system.router)


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
    allowed = ", ".join(_methods(request))
    if allowed:
        raise HTTPException(405, f"/api/{path} takes {allowed} only", headers={"Allow": allowed})
    raise HTTPException(404, f"there is nothing at /api/{path}")


def _methods(request: Request) -> list[str]:
    """The methods that this address takes; none if there is nothing."""
    looked_at = {**request.scope, "root_path": "", "path": request.url.path.removeprefix(API_PREFIX)}
    return sorted(
        method
        for method in ("GET", "POST")
        if any(
            route.matches({**looked_at, "method": method})[0] is Match.FULL for part in _PARTS for route in part.routes
        )
    )
