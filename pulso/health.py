"""Liveness, readiness and metrics of a service without a web interface of its own."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Mapping
from types import TracebackType
from typing import Self

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pulso.errors import ConfigurationError
from pulso.settings import HealthSettings

log = structlog.get_logger()

Check = Callable[[], bool]


class _Server(uvicorn.Server):
    """Uvicorn inside a service that has its own signal handling."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave the signals to the service."""
        yield


class HealthServer:
    """Serves /healthz (the process runs), /readyz (every check holds) and /metrics (Prometheus text).

    An asynchronous context manager; `address` is known inside it.
    """

    def __init__(self, settings: HealthSettings, service: str, checks: Mapping[str, Check]) -> None:
        self._settings = settings
        self._service = service
        self._checks = checks
        self.address = ""

    async def __aenter__(self) -> Self:
        listener = self._listen()
        host, port = listener.getsockname()[:2]
        self.address = f"http://{host}:{port}"
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
        ]
        self._server = _Server(uvicorn.Config(Starlette(routes=routes), log_config=None, lifespan="off"))
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name="health")
        log.info("health_listening", address=self.address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        await self._task

    def _listen(self) -> socket.socket:
        try:
            return socket.create_server((self._settings.host, self._settings.port))
        except OSError as error:
            where = f"{self._settings.host}:{self._settings.port}"
            raise ConfigurationError(f"cannot listen on {where} (PULSO_HEALTH_PORT): {error.strerror}") from error

    async def _healthz(self, _request: Request) -> Response:
        return JSONResponse({"service": self._service, "status": "alive"})

    async def _readyz(self, _request: Request) -> Response:
        results = {name: check() for name, check in self._checks.items()}
        ready = all(results.values())
        body = {"service": self._service, "status": "ready" if ready else "not ready", "checks": results}
        return JSONResponse(body, status_code=200 if ready else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
