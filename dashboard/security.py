"""What guards every answer: headers, and a bound on what is read; pure ASGI middleware."""

from collections.abc import Callable, Sequence
from types import MappingProxyType

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY = 64 * 1024  # bytes
LARGER_BODIES = MappingProxyType({"/api/v1/decode": 2 << 20})
"""Bytes, by path: a payload to try may be of 1 MiB, and takes a third more in base64."""


def content_security_policy(script_hashes: Sequence[str]) -> str:
    """Everything from this origin alone; inline scripts only those Dash itself writes, by their hash.

    Inline styles have to be allowed: Dash's components carry theirs in their scripts.
    """
    scripts = " ".join(["'self'", *script_hashes])
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src {scripts}",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            "object-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


def add_security_headers(headers: MutableHeaders, path: str, script_hashes: Sequence[str] = ()) -> None:
    """Set what every answer to `path` carries."""
    headers["Content-Security-Policy"] = content_security_policy(script_hashes)
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "no-referrer"
    headers["Permissions-Policy"] = "geolocation=(), camera=(), microphone=()"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    if path.startswith("/assets/"):
        # Modules import each other by plain names: let the browser ask each time, and answer 304.
        headers["Cache-Control"] = "no-cache"
    else:
        headers.setdefault("Cache-Control", "no-store")


class SmallBodies:
    """Refuses requests with more than MOST_BODY bytes, or LARGER_BODIES: bodies are read whole, and ours are small."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what says that it is small; a body of unknown length (chunked) is refused like a large one."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > _most(scope):
            await PlainTextResponse("the request is too large", 413)(scope, receive, send)
        else:
            await self._app(scope, receive, send)


def _most(scope: Scope) -> int:
    return LARGER_BODIES.get(scope.get("path", ""), MOST_BODY)


class SecurityHeaders:
    """Adds the headers; `script_hashes` is asked per answer: Dash knows its scripts only once it has started."""

    def __init__(self, app: ASGIApp, script_hashes: Callable[[], Sequence[str]]) -> None:
        self._app = app
        self._script_hashes = script_hashes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on, adding headers to the start of an HTTP answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_security_headers(MutableHeaders(scope=message), scope["path"], self._script_hashes())
            await send(message)

        await self._app(scope, receive, send_with_headers)
