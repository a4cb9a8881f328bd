"""The present state of the city as last read, and what follows from it at a given moment. No I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from dashboard.board import Board
from dashboard.live.frame import Activity, Cell, Incident, millis
from dashboard.live.judge import Expectation, judge
from pulso.city import CityPack
from pulso.db.reading import ActivityRow, ShownRow
from pulso.model import BandState, Family, ZoneKind

Key = tuple[str, str]

SEVERITY = {state: rank for rank, state in enumerate(BandState)}
INCIDENT_BANDS = (BandState.BAD, BandState.CRITICAL, BandState.EXTREME)
_DEFAULT_INTERVAL = timedelta(minutes=1)


@dataclass
class CityState:
    """What the feed has read; written by its reading task, read by its beat, both on one event loop."""

    pack: CityPack
    board: Board
    rows: dict[Key, ShownRow] = field(default_factory=dict)
    history: dict[str, dict[datetime, float | None]] = field(default_factory=dict)
    activity: dict[Family, ActivityRow] = field(default_factory=dict)
    intervals: dict[tuple[Family, str | None], timedelta] = field(default_factory=dict)
    since: dict[Key, datetime] = field(default_factory=dict)
    newest: datetime | None = None

    def set_rows(self, rows: Iterable[ShownRow], since: Mapping[str, datetime]) -> None:
        """Replace what is known of each KPI and zone by what was read of windows that end after the KPI's `since`."""
        self.rows = {(row.kpi_id, row.zone_id): self._with_older_value(row, since[row.kpi_id]) for row in rows}

    def add_history(self, points: Iterable[tuple[str, datetime, float | None]], now: datetime) -> None:
        """Add or replace points of the city's sparklines, and drop those grown too old."""
        for kpi_id, window_end, value in points:
            self.history.setdefault(kpi_id, {})[window_end] = value
        for kpi_id, known in self.history.items():
            oldest = now - self.board.history_of(self.pack.kpi(kpi_id))
            for window_end in [end for end in known if end <= oldest]:
                del known[window_end]

    def set_activity(self, rows: Iterable[ActivityRow]) -> None:
        """Replace what each family is doing."""
        self.activity = {row.family: row for row in rows}
        received = [row.last_received for row in self.activity.values() if row.last_received]
        self.saw_observation(max(received, default=None))

    def saw_observation(self, stored_at: datetime | None) -> None:
        """Take note of when the newest observation was stored."""
        if stored_at and (self.newest is None or stored_at > self.newest):
            self.newest = stored_at

    def cells(self, now: datetime) -> list[Cell]:
        """What is to be shown for each KPI and zone at `now`."""
        return [judge(row, self._expectation(row), now, self._difference(row)) for row in self.rows.values()]

    def points(self) -> dict[str, dict[int, float | None]]:
        """Window end and value of the city's sparklines, rounded as shown."""
        return {
            kpi_id: {
                millis(end): None if value is None else round(value, self.pack.kpi(kpi_id).decimals + 1)
                for end, value in sorted(known.items())
            }
            for kpi_id, known in self.history.items()
        }

    def incidents(self, cells: Iterable[Cell]) -> tuple[Incident, ...]:
        """Districts in a bad band, worst first, then the longest lasting first."""
        found = [
            Incident(cell.kpi, cell.zone, cell.band, cell.value, self._since(cell))
            for cell in cells
            if self._is_incident(cell) and cell.band and cell.value is not None
        ]
        return tuple(sorted(found, key=lambda one: (-SEVERITY[BandState(one.band)], one.since or 0, one.zone, one.kpi)))

    def unknown_since(self, cells: Iterable[Cell]) -> list[Key]:
        """Incidents whose beginning has yet to be read; forgets the beginnings of those that are over."""
        current = {(cell.kpi, cell.zone) for cell in cells if self._is_incident(cell)}
        self.since = {key: since for key, since in self.since.items() if key in current}
        return sorted(current - self.since.keys())

    def families(self, cells: Iterable[Cell]) -> tuple[Activity, ...]:
        """What each family is doing, in the order of the model; a family without things is left out."""
        judged = list(cells)
        return tuple(self._family(row, judged) for family in Family if (row := self.activity.get(family)))

    def _family(self, row: ActivityRow, cells: list[Cell]) -> Activity:
        mine = [
            (SEVERITY[BandState(cell.band)], cell.zone)
            for cell in cells
            if cell.band and cell.kpi in self.board.watched and self._is_district(cell.zone)
            and self.pack.kpi(cell.kpi).family == row.family
        ]  # fmt: skip
        worst = max((rank for rank, _ in mine), default=None)
        zones = sorted({zone for rank, zone in mine if rank == worst})
        return Activity(
            family=row.family,
            things=row.things,
            reporting=row.reporting,
            per_minute=row.per_minute,
            last_seen=millis(row.last_seen) if row.last_seen else None,
            worst=None if worst is None else list(BandState)[worst],
            zones=len(zones),
            zone=zones[0] if len(zones) == 1 else None,
        )

    def _with_older_value(self, row: ShownRow, since: datetime) -> ShownRow:
        """The row, with the value already known where that is older than what was read now."""
        known = self.rows.get((row.kpi_id, row.zone_id))
        if row.window_end is not None or known is None or known.window_end is None or known.window_end > since:
            return row
        return replace(
            known,
            running_end=row.running_end,
            running_value=row.running_value,
            running_coverage=row.running_coverage,
            running_until=row.running_until,
        )

    def _expectation(self, row: ShownRow) -> Expectation:
        """A zone is judged by its own things; the city, and a zone that has none, by all of the family."""
        definition = self.pack.kpi(row.kpi_id)
        whole = self.intervals.get((definition.family, None), _DEFAULT_INTERVAL)
        return Expectation(definition, self.intervals.get((definition.family, row.zone_id), whole))

    def _difference(self, row: ShownRow) -> float | None:
        """To the value one trend earlier; only the city has a history here."""
        if row.zone_id != self.pack.city_zone.zone_id or row.value is None or row.window_end is None:
            return None
        earlier = row.window_end - self.board.trend_of(self.pack.kpi(row.kpi_id))
        before = self.history.get(row.kpi_id, {}).get(earlier)
        return None if before is None else row.value - before

    def _since(self, cell: Cell) -> int | None:
        since = self.since.get((cell.kpi, cell.zone))
        return millis(since) if since else None

    def _is_incident(self, cell: Cell) -> bool:
        return cell.kpi in self.board.watched and cell.band in INCIDENT_BANDS and self._is_district(cell.zone)

    def _is_district(self, zone_id: str) -> bool:
        return self.pack.zone(zone_id).kind is ZoneKind.DISTRICT


def history_start(pack: CityPack, board: Board, now: datetime) -> dict[str, datetime]:
    """For each KPI that has a tile the moment its sparkline begins."""
    return {tile.kpi: now - board.history_of(pack.kpi(tile.kpi)) for tile in board.tile}
