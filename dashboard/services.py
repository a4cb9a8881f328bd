"""What every route and page works with, built once by the composition root."""

from dataclasses import dataclass

from dashboard.board import Board
from dashboard.gate import DatabaseGate
from dashboard.i18n import Catalogues
from dashboard.live.hub import Hub
from dashboard.metrics import WebMetrics
from pulso.city import CityPack
from pulso.clock import Clock


@dataclass(frozen=True)
class Services:
    """The parts of one web process."""

    pack: CityPack
    board: Board
    catalogues: Catalogues
    gate: DatabaseGate
    hub: Hub
    metrics: WebMetrics
    clock: Clock
    build: str
