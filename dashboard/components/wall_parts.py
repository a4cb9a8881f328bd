"""The parts of the wall as the server draws them: complete but for the values, which the live stream fills in.

Elements carry `data-part` for what the browser writes into, and `data-state` for colour and shape.
"""

from typing import Any

from dash import html
from dash.development.base_component import Component

from dashboard.board import Board, Show, Tile
from dashboard.i18n import Catalogue
from pulso.city import CityPack
from pulso.model import Family
from pulso.units import display, normalise

HIDDEN_FROM_READERS: dict[str, Any] = {"aria-hidden": "true"}


def data(**attributes: str) -> dict[str, Any]:
    """`data-` attributes, which Dash takes by any name."""
    return {f"data-{name}": value for name, value in attributes.items()}


def part(name: str, **properties: Any) -> Component:
    """An empty element that the browser writes into."""
    return html.Span(className=name, **data(part=name), **properties)


def shape() -> Component:
    """The mark that says a state by its form; the word beside it says it to a screen reader."""
    return html.Span(className="shape", **HIDDEN_FROM_READERS)


def header(pack: CityPack, catalogue: Catalogue) -> Component:
    """City, live mark, date and clock."""
    return html.Header(
        [
            html.H1(
                [
                    html.Span(pack.city.name, className="city"),
                    html.Span(catalogue.text("wall.subtitle"), className="subtitle"),
                ]
            ),
            html.P(
                [html.Span(className="beacon"), part("live-text", children=catalogue.text("live.connecting"))],
                className="live",
                role="status",
                **data(live="connecting"),
            ),
            html.P([part("date"), part("clock")], className="time"),
        ],
        className="top",
    )


def networks(catalogue: Catalogue) -> Component:
    """The left column: how each family of things is doing."""
    families = [_network(family, catalogue.text(f"family.{family}")) for family in Family]
    title = html.H2([html.Span(catalogue.text("wall.network")), part("total")])
    return html.Section([title, html.Div(families, className="network-list")], className="networks")


def _network(family: Family, name: str) -> Component:
    return html.Article(
        [
            html.Div([shape(), html.H3(name), part("share", children="—")], className="line"),
            html.Div(html.Div(className="fill"), className="bar"),
            html.Div([part("worst"), part("age")], className="line small"),
            html.Div([part("reporting"), part("rate")], className="line small faint"),
        ],
        className="network",
        **data(family=family.value, state="none"),
    )


def map_panel(catalogue: Catalogue) -> Component:
    """The middle: an empty frame for the drawing, its legend, and the word that it is schematic."""
    return html.Section(
        [
            html.H2([part("map-title"), part("map-steps")]),
            html.Div(className="map", **data(part="map")),
            html.Div(className="legend", **data(part="legend")),
            html.P(catalogue.text("wall.schematic"), className="schematic"),
        ],
        className="map-panel",
    )


def tiles(pack: CityPack, board: Board, catalogue: Catalogue) -> Component:
    """The right: one tile per indicator."""
    drawn = [tile(pack, one, catalogue) for one in board.tile]
    empty = html.P(catalogue.text("wall.no_kpis"), className="empty")
    return html.Section(
        [
            html.H2(catalogue.text("wall.now")),
            html.Div(drawn or empty, className="tile-grid", **data(rows=str(min(4, max(1, -(-len(drawn) // 2)))))),
        ],
        className="tiles",
    )


def tile(pack: CityPack, one: Tile, catalogue: Catalogue) -> Component:
    """One indicator of the whole city, before its first value."""
    definition = pack.kpi(one.kpi)
    title = (definition.short_title or definition.title).get(catalogue.language)
    family = html.Span(catalogue.text(f"family.{definition.family}"), className="family")
    unit = "" if one.show is Show.BAND else display(normalise(definition.unit))
    change = [part("trend"), html.Span([html.Span(className="arrow"), part("difference")])]
    covered = [html.Span(html.Span(className="fill"), className="bar"), part("coverage")]
    state = [shape(), part("word", children=catalogue.text("wall.waiting"))]
    return html.Article(
        [
            # The age comes first in the source: where there is no room for both, the family gives way.
            html.Div([html.H3(title), html.Div([part("age"), family], className="meta")], className="line"),
            html.Div(
                [part("value", children="—"), part("unit", children=unit), html.Span(change, className="change")],
                className="figure",
            ),
            html.Div(className="spark", **data(part="spark")),
            html.Div(
                [html.Span(state, className="state"), html.Span(covered, className="covered")], className="line foot"
            ),
        ],
        className="tile",
        **data(kpi=definition.id, zone=pack.city_zone.zone_id, show=one.show.value, state="none"),
    )


def ticker(catalogue: Catalogue) -> Component:
    """The line of incidents."""
    return html.Footer(
        [
            html.H2([html.Span(catalogue.text("ticker.title")), part("count")]),
            html.Div(className="incidents", **data(part="incidents")),
            part("pages"),
        ],
        className="ticker",
    )
