"""One FastAPI application: API, live stream, and Dash with its pages."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import dash
import httpx
import structlog
from dash import Dash
from fastapi import FastAPI, Request
from fastapi.responses import RedirectResponse
from starlette.middleware import Middleware

from dashboard import probes, problems
from dashboard.api import API_PREFIX, api_router
from dashboard.live.city_state import CityState
from dashboard.live.feed import Feed
from dashboard.pages import KnownPaths, wall
from dashboard.security import SecurityHeaders, SmallBodies
from dashboard.services import Services

log = structlog.get_logger()

ASSETS = Path(__file__).parent / "assets"

_DESCRIPTION = """Read access to zones, things, observations and indicators of one city.

Times are ISO 8601 with an offset; answers are in UTC. Intervals are half-open, [start, end). Lists are paged: give the
`next` of a page as `cursor` of the following request. Errors are application/problem+json (RFC 9457)."""

_INDEX = """<!DOCTYPE html>
<html lang="es" translate="no">
<head>
{%metas%}
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/favicon.svg">
<link rel="preload" href="/assets/fonts/inter-latin-wght-normal.woff2" as="font" type="font/woff2" crossorigin>
{%css%}
<script type="module" src="/assets/wall/main.js"></script>
</head>
<body>
{%app_entry%}
<footer>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>
"""


def build_app(services: Services) -> FastAPI:
    """The application; its lifespan runs the live feed."""
    hashes: list[str] = []

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await _warm_up(app)
        hashes[:] = dash_app.csp_hashes()
        feed = asyncio.create_task(_feed(services).run(), name="live-feed")
        feed.add_done_callback(_leave_if_failed)
        try:
            yield
        finally:
            services.hub.close()
            feed.cancel()
            await asyncio.gather(feed, return_exceptions=True)
            await services.gate.close()

    app = FastAPI(
        title="Pulso",
        version="1",
        description=_DESCRIPTION,
        openapi_url=f"{API_PREFIX}/openapi.json",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        middleware=[Middleware(KnownPaths)],
    )
    app.state.services = services
    problems.install(app)
    app.include_router(probes.router)
    app.include_router(api_router())
    app.add_api_route("/", _to_the_wall, include_in_schema=False)
    dash_app = _dash(app, services)
    # Added last to be outermost: Dash puts a middleware of its own in front, which reads bodies and answers errors.
    app.add_middleware(SmallBodies)
    app.add_middleware(SecurityHeaders, script_hashes=lambda: hashes)
    return app


def _feed(services: Services) -> Feed:
    state = CityState(services.pack, services.board)
    return Feed(state, services.gate, services.hub, services.clock, services.metrics)


def _dash(app: FastAPI, services: Services) -> Dash:
    dash_app = Dash(
        "dashboard",
        server=app,  # type: ignore[arg-type]  # any backend's application; the annotation knows only some
        use_pages=True,
        pages_folder="",
        assets_folder=str(ASSETS),
        assets_ignore=r".*\.js$",  # modules: the page asks for the first, they import each other
        index_string=_INDEX,
        title="Pulso",
        update_title="",
        suppress_callback_exceptions=True,
    )
    dash_app.backend.websocket_capability = False  # no callback uses the socket every page would open otherwise
    wall.register(services)
    dash_app.layout = dash.page_container
    return dash_app


def _leave_if_failed(feed: asyncio.Task[None]) -> None:
    """A feed that ends has met a bug: walls without it would stand still, so the process ends and is started anew."""
    if not feed.cancelled():
        log.error("live_feed_failed", exc_info=feed.exception())
        signal.raise_signal(signal.SIGTERM)


async def _to_the_wall(request: Request) -> RedirectResponse:
    query = f"?{request.url.query}" if request.url.query else ""
    return RedirectResponse(f"/wall{query}", status_code=307)


async def _warm_up(app: FastAPI) -> None:
    """Dash finishes its set-up on the first request it sees: let that be ours, not the first visitor's."""
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://warm-up") as client:
        for path in ("/_dash-layout", "/_dash-dependencies", "/wall"):
            (await client.get(path)).raise_for_status()
