"""What the wall shows: the layout of the city pack, checked against the definitions that exist."""

import tomllib
from collections.abc import Iterator
from datetime import timedelta
from enum import StrEnum
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pulso.city import CityPack, KpiDefinition
from pulso.errors import ConfigurationError
from pulso.model import Family, KpiId

log = structlog.get_logger()

_LEAST_POINTS = 12


class Show(StrEnum):
    """What a tile writes large: the number, or the name of the band it lies in."""

    VALUE = "value"
    BAND = "band"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Tile(_Table):
    """One tile of the wall, for the whole city."""

    kpi: KpiId
    show: Show = Show.VALUE


class MapPanel(_Table):
    """The map: its KPIs, shown for `rotate` each."""

    kpis: tuple[KpiId, ...] = ()
    rotate: Annotated[timedelta, Field(ge=timedelta(seconds=5))] = timedelta(seconds=20)


class Board(_Table):
    """The file wall.toml."""

    history: timedelta = timedelta(hours=2)
    trend: timedelta = timedelta(minutes=15)
    tile: tuple[Tile, ...] = ()
    map: MapPanel = MapPanel()

    @property
    def watched(self) -> frozenset[KpiId]:
        """The KPIs on show; only their districts make incidents."""
        return frozenset((*(tile.kpi for tile in self.tile), *self.map.kpis))

    def history_of(self, definition: KpiDefinition) -> timedelta:
        """How far back the sparkline of a KPI reaches."""
        return max(self.history, _LEAST_POINTS * definition.window.step)

    def trend_of(self, definition: KpiDefinition) -> timedelta:
        """How old the value is that the present one is compared with."""
        return max(self.trend, definition.window.step)


def load_board(pack: CityPack) -> Board:
    """The board of a pack; without a wall.toml, its first eight KPIs and one map per family.

    Raises ConfigurationError naming every fault of the file.
    """
    file = pack.path / "wall.toml"
    if not file.is_file():
        return _default(pack)
    try:
        board = Board.model_validate(tomllib.loads(file.read_text(encoding="utf-8")))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"wall.toml cannot be read: {error}") from error
    except ValidationError as error:
        faults = [f"wall.toml: {'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise ConfigurationError("the layout of the wall is not usable:", faults=faults) from error
    return _without_unknown(board, pack)


def _default(pack: CityPack) -> Board:
    return Board(
        tile=tuple(Tile(kpi=kpi_id) for kpi_id in list(pack.kpis)[:8]),
        map=MapPanel(kpis=tuple(_first_of_each_family(pack))),
    )


def _first_of_each_family(pack: CityPack) -> Iterator[KpiId]:
    for family in Family:
        yield from [kpi.id for kpi in pack.kpis.values() if kpi.family == family][:1]


def _without_unknown(board: Board, pack: CityPack) -> Board:
    wanted = [*(tile.kpi for tile in board.tile), *board.map.kpis]
    for kpi_id in dict.fromkeys(wanted):
        if kpi_id not in pack.kpis:
            log.warning("wall_kpi_without_definition", kpi_id=kpi_id)
    return board.model_copy(
        update={
            "tile": tuple(tile for tile in board.tile if tile.kpi in pack.kpis),
            "map": board.map.model_copy(update={"kpis": tuple(k for k in board.map.kpis if k in pack.kpis)}),
        }
    )
