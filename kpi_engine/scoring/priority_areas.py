"""Scores of the priority areas: the same KPIs, looked at across the tree."""

from collections.abc import Iterable, Mapping

from kpi_engine.scoring.combine import combine
from kpi_engine.scoring.score import Score, State


def priority_area_scores(mapping: Iterable[tuple[str, str]], scores: Mapping[str, Score]) -> dict[str, Score]:
    """Equal mean of the distinct KPIs of each area, from pairs (area, KPI); our own design.

    Themes of an area overlap, so pairs repeat; a KPI counts once. Below two thirds of its KPIs an area is
    `insufficient`. Which KPIs an area has is inferred from a source paper, not stated by it.
    """
    areas: dict[str, dict[str, Score]] = {}
    for area, kpi in mapping:
        areas.setdefault(area, {})[kpi] = scores.get(kpi, Score.missing(kpi, State.NOT_REPORTED))
    return {area: combine(area, list(kpis.values()), [1.0] * len(kpis)) for area, kpis in areas.items()}
