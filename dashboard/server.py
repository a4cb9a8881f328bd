"""Putting the web process together, and running it under uvicorn."""

import logging
import socket
from pathlib import Path
from types import FrameType

import uvicorn

from dashboard.app import build_app
from dashboard.board import load_board
from dashboard.build import build_id
from dashboard.gate import DatabaseGate
from dashboard.i18n import load_catalogues
from dashboard.live.hub import Hub
from dashboard.metrics import WebMetrics
from dashboard.services import Services
from pulso.city import load_pack
from pulso.clock import Clock, SystemClock
from pulso.settings import CitySettings, DatabaseSettings


def compose(city: CitySettings, database: DatabaseSettings, clock: Clock | None = None) -> Services:
    """Build the services of one process; touches no network. Raises ConfigurationError."""
    clock = clock or SystemClock()
    pack = load_pack(city.pack)
    board = load_board(pack)
    metrics = WebMetrics()
    build = build_id(Path(__file__).parent, pack.path)
    return Services(
        pack=pack,
        board=board,
        catalogues=load_catalogues(),
        gate=DatabaseGate(database, clock),
        hub=Hub(build, metrics),
        metrics=metrics,
        clock=clock,
        build=build,
    )


class Server(uvicorn.Server):
    """uvicorn, leaving as our services do.

    It waits for open answers before it leaves, and live streams never end by themselves: the hub ends them first.
    It also raises the signal again when it has left, so that the exit code would not be 0: nothing is kept to raise.
    """

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 (uvicorn's signature)
        """Stop on SIGINT and SIGTERM; at once when asked twice."""
        self._services.hub.close()
        self.force_exit = self.should_exit
        self.should_exit = True


def serve(services: Services, listener: socket.socket) -> None:
    """Run until SIGINT or SIGTERM."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the application warms itself up with it
    config = uvicorn.Config(
        build_app(services),
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        timeout_keep_alive=30,
    )
    Server(config, services).run(sockets=[listener])
