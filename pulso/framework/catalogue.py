"""The framework as one value, to look things up in."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from pulso.errors import UnknownKpi
from pulso.framework.model import (
    Category,
    CategoryKey,
    Dimension,
    Feed,
    FeedMode,
    Kpi,
    LiveIndicator,
    Objective,
    PriorityArea,
    Relation,
    Source,
    SubDimension,
    Theme,
    normal_code,
)

_RELATION_OF_MODE = MappingProxyType(
    {
        FeedMode.LIVE_DIRECT: Relation.DIRECT,
        FeedMode.LIVE_PROXY: Relation.PROXY,
        FeedMode.REGISTRY: Relation.REGISTRY,
    }
)


@dataclass(frozen=True)
class Framework:
    """Everything, in the order of the files. Not checked by itself: `read_framework` is."""

    dimensions: tuple[Dimension, ...]
    sub_dimensions: tuple[SubDimension, ...]
    categories: tuple[Category, ...]
    themes: tuple[Theme, ...]
    areas: tuple[PriorityArea, ...]
    objectives: tuple[Objective, ...]
    sources: tuple[Source, ...]
    kpis: tuple[Kpi, ...]
    indicators: tuple[LiveIndicator, ...]
    feeds: tuple[Feed, ...]

    @cached_property
    def kpi_by_code(self) -> Mapping[str, Kpi]:
        """The KPIs by their code."""
        return MappingProxyType({kpi.code: kpi for kpi in self.kpis})

    @cached_property
    def indicator_by_id(self) -> Mapping[str, LiveIndicator]:
        """The live indicators by their id."""
        return MappingProxyType({indicator.id: indicator for indicator in self.indicators})

    @cached_property
    def category_by_key(self) -> Mapping[CategoryKey, Category]:
        """The categories by their pair."""
        return MappingProxyType({category.key: category for category in self.categories})

    def kpi(self, code: str) -> Kpi:
        """The KPI of `code`, however it is spaced. Raises UnknownKpi."""
        try:
            return self.kpi_by_code[normal_code(code)]
        except KeyError:
            raise UnknownKpi(f"{code!r} is none of the {len(self.kpis)} KPIs of the framework") from None

    def feeds_of(self, code: str) -> tuple[Feed, ...]:
        """The live sources of a KPI, those that decide how it is fed first; empty where there are none."""
        kpi = self.kpi(code)
        decisive = _RELATION_OF_MODE.get(kpi.feed)
        return tuple(sorted((f for f in self.feeds if f.kpi == kpi.code), key=lambda feed: feed.relation != decisive))

    def indicators_of(self, code: str) -> tuple[str, ...]:
        """The ids of the live indicators that feed a KPI, directly or not."""
        return tuple(dict.fromkeys(each for feed in self.feeds_of(code) for each in feed.indicators))

    def objectives_of(self, code: str) -> tuple[str, ...]:
        """The strategic objectives of a KPI: our own assignment, empty where nothing gives one.

        Those of the feeds that decide how it is fed; otherwise the first objective of each of its priority areas.
        """
        kpi = self.kpi(code)
        decisive = _RELATION_OF_MODE.get(kpi.feed)
        of_feeds = [f.objective for f in self.feeds_of(code) if f.relation == decisive and f.objective is not None]
        return tuple(dict.fromkeys(of_feeds or [a.objective for a in self.areas if a.code in kpi.priority_areas]))

    def theme(self, name: str) -> Theme | None:
        """The ISO 37122 theme of that English name, in letters of any case."""
        return next((theme for theme in self.themes if theme.name.en.casefold() == name.casefold()), None)
