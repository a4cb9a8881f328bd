"""The wall: one screen for the operations centre. The server draws it once; values come over the live stream."""

import json
from functools import cache

import dash
from dash import html
from dash.development.base_component import Component

from dashboard.components import wall_data, wall_parts
from dashboard.figures.district_map import district_map
from dashboard.services import Services


def register(services: Services) -> None:
    """Make the wall a page of the Dash application."""
    drawing = district_map(services.pack.map, services.pack.districts)

    @cache
    def draw(language: str) -> Component:
        catalogue = services.catalogues.get(language)
        data = wall_data.page_data(services.pack, services.board, drawing, catalogue, services.build)
        return html.Div(
            [
                wall_parts.header(services.pack, catalogue),
                html.Main(
                    [
                        wall_parts.networks(catalogue),
                        wall_parts.map_panel(catalogue),
                        wall_parts.tiles(services.pack, services.board, catalogue),
                    ],
                    className="columns",
                ),
                wall_parts.ticker(catalogue),
            ],
            id="wall",
            className="wall",
            lang=catalogue.language,
            **wall_parts.data(page=json.dumps(data, ensure_ascii=False)),
        )

    def layout(lang: str | None = None, **_query: str) -> Component:
        return draw(services.catalogues.get(lang).language)

    title = services.catalogues.get(None).text("wall.title", city=services.pack.city.short_name)
    dash.register_page(  # type: ignore[no-untyped-call]
        "dashboard.pages.wall", path="/wall", title=title, name="wall", layout=layout
    )
