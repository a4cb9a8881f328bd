"""What the browser needs to know once, beside the live stream: names, words, bands, shapes. Pure."""

from dataclasses import asdict

from dashboard.board import Board
from dashboard.figures.district_map import DistrictMap
from dashboard.i18n import Catalogue
from dashboard.live.city_state import SEVERITY
from pulso.city import Band, CityPack, KpiDefinition
from pulso.units import display, normalise


def page_data(
    pack: CityPack, board: Board, drawing: DistrictMap, catalogue: Catalogue, build: str
) -> dict[str, object]:
    """Everything as JSON-compatible data, in one language."""
    return {
        "build": build,
        "language": catalogue.language,
        "locale": catalogue.locale,
        "timezone": pack.city.timezone,
        "messages": dict(catalogue.texts),
        "states": list(SEVERITY),
        "zones": {zone.zone_id: {"name": zone.name, "short": zone.short_name} for zone in pack.zones},
        "kpis": {kpi_id: _kpi(definition, board, catalogue) for kpi_id, definition in pack.kpis.items()},
        "map": {
            **asdict(drawing),
            "kpis": list(board.map.kpis),
            "rotate": round(board.map.rotate.total_seconds() * 1000),
        },
    }


def _kpi(definition: KpiDefinition, board: Board, catalogue: Catalogue) -> dict[str, object]:
    title = definition.title.get(catalogue.language)
    short = definition.short_title.get(catalogue.language) if definition.short_title else title
    return {
        "title": title,
        "short": short,
        "unit": display(normalise(definition.unit)),
        "decimals": definition.decimals,
        "direction": definition.direction.value,
        "step": round(definition.window.step.total_seconds() * 1000),
        "history": round(board.history_of(definition).total_seconds() * 1000),
        "trend": round(board.trend_of(definition).total_seconds() * 1000),
        "bands": _bands(definition, catalogue),
    }


def _bands(definition: KpiDefinition, catalogue: Catalogue) -> list[dict[str, str]]:
    """State, name and range of each band, as the definition orders them; none where it has none."""
    return [
        {"state": band.state, "label": band.label.get(catalogue.language), "range": band_range(band, catalogue)}
        for band in definition.bands
    ]


def band_range(band: Band, catalogue: Catalogue) -> str:
    """The ends of a band for people, signed where one is open: `< 12`, `12–25`, `≥ 25`; empty if both are open."""
    low = band.at_least if band.at_least is not None else band.above
    high = band.at_most if band.at_most is not None else band.below
    if low is not None and high is not None:
        return f"{_number(low, catalogue)}–{_number(high, catalogue)}"
    if low is not None:
        return f"{'≥' if band.at_least is not None else '>'} {_number(low, catalogue)}"
    if high is not None:
        return f"{'≤' if band.at_most is not None else '<'} {_number(high, catalogue)}"
    return ""


def _number(value: float, catalogue: Catalogue) -> str:
    decimals = next((digits for digits in range(4) if round(value, digits) == value), 3)
    return catalogue.number(value, decimals)
