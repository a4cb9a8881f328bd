"""The pages of the Dash application."""

import dash
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_SINGLE = frozenset({"/", "/healthz", "/readyz", "/metrics", "/_dash-layout", "/_dash-dependencies",
                     "/_dash-update-component"})  # fmt: skip
_BELOW = ("/api/", "/assets/", "/_dash-component-suites/")
_NOT_THERE = '<!DOCTYPE html><title>404</title><p>404 · <a href="/wall">Pulso</a></p>'


class KnownPaths:
    """Answers 404 where no page is: Dash itself answers any path with 200 and an empty page."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is known."""
        if scope["type"] != "http" or self._is_known(scope["path"]):
            await self._app(scope, receive, send)
        else:
            await HTMLResponse(_NOT_THERE, status_code=404)(scope, receive, send)

    @staticmethod
    def _is_known(path: str) -> bool:
        pages = {page["path"] for page in dash.page_registry.values()}
        return path in _SINGLE or path in pages or path.startswith(_BELOW)
