"""Whether the tables of the framework agree with each other: nothing twice, and every reference leads somewhere."""

from collections import Counter
from collections.abc import Iterable, Iterator

from pulso.framework.catalogue import Framework
from pulso.framework.model import FeedMode, Kpi, Mark, Relation

_MODE_OF_RELATION = (
    (Relation.DIRECT, FeedMode.LIVE_DIRECT),
    (Relation.REGISTRY, FeedMode.REGISTRY),
    (Relation.PROXY, FeedMode.LIVE_PROXY),
)
_UNFED = (FeedMode.REPORTED, FeedMode.SURVEY)


def faults_of(framework: Framework) -> list[str]:
    """Every contradiction, in words."""
    return [
        *_repeated(framework),
        *_structure(framework),
        *_areas_and_themes(framework),
        *(fault for kpi in framework.kpis for fault in _kpi(framework, kpi)),
        *_feeds(framework),
    ]


def _repeated(framework: Framework) -> Iterator[str]:
    keys: dict[str, Iterable[object]] = {
        "dimension": [each.code for each in framework.dimensions],
        "sub_dimension": [each.code for each in framework.sub_dimensions],
        "category": [each.key for each in framework.categories],
        "theme": [each.name.en.casefold() for each in framework.themes],
        "area": [each.code for each in framework.areas],
        "objective": [each.code for each in framework.objectives],
        "source": [each.id for each in framework.sources],
        "kpi": [each.code for each in framework.kpis],
        "indicator": [each.id for each in framework.indicators],
    }
    for kind, values in keys.items():
        yield from (f"{kind} {value} stands there {n} times" for value, n in Counter(values).items() if n > 1)


def _structure(framework: Framework) -> Iterator[str]:
    dimensions = {each.code for each in framework.dimensions}
    sub_dimensions = {each.code for each in framework.sub_dimensions}
    for sub in framework.sub_dimensions:
        yield from _missing(f"sub_dimension {sub.code}", "dimension", [sub.dimension], dimensions)
    for category in framework.categories:
        where = f"category {category.code} of {category.sub_dimension}"
        yield from _missing(where, "sub_dimension", [category.sub_dimension], sub_dimensions)


def _areas_and_themes(framework: Framework) -> Iterator[str]:
    dimensions = {each.code for each in framework.dimensions}
    themes = {each.name.en for each in framework.themes}
    objectives = {each.code for each in framework.objectives}
    for theme in framework.themes:
        named = [each for each in (theme.dimension, theme.printed_dimension) if each is not None]
        yield from _missing(f"theme {theme.name.en}", "dimension", named, dimensions)
    for area in framework.areas:
        named = [each for each in (area.objective, area.secondary_objective) if each is not None]
        yield from _missing(area.code, "objective", named, objectives)
        yield from _missing(area.code, "theme", area.iso37122_themes, themes)


def _kpi(framework: Framework, kpi: Kpi) -> Iterator[str]:
    if kpi.category_key not in framework.category_by_key:
        yield f"{kpi.code}: there is no category {kpi.category!r} in {kpi.sub_dimension!r}"
    partition = {each.name.en for each in framework.themes if each.partition}
    yield from _missing(kpi.code, "theme", kpi.iso37122_themes, {each.name.en for each in framework.themes})
    if [theme in partition for theme in kpi.iso37122_themes] != [True] + [False] * (len(kpi.iso37122_themes) - 1):
        yield f"{kpi.code}: its themes have to begin with the one broad theme, of {sorted(partition)}"
    areas = tuple(a.code for a in framework.areas if not set(a.iso37122_themes).isdisjoint(kpi.iso37122_themes))
    if kpi.priority_areas != areas:
        yield f"{kpi.code}: its themes belong to {list(areas)}, its priority_areas are {list(kpi.priority_areas)}"
    addresses = {each.id: each.address for each in framework.sources}
    for source in kpi.sources:
        name, _, page = source.partition(":")
        if name not in addresses:
            yield f"{kpi.code}: there is no source {name!r}"
        elif (addresses[name] is not None) != page.isdigit():
            yield f"{kpi.code}: source {source!r} needs a page number if it has an address, and none if not"
    of_overall = {kpi.confidence.type, kpi.confidence.formula, kpi.confidence.code_name}
    if kpi.confidence.overall is Mark.VERIFIED and of_overall != {Mark.VERIFIED}:
        yield f"{kpi.code}: it is not verified as a whole while a part of it is not"


def _feeds(framework: Framework) -> Iterator[str]:
    areas = {each.code for each in framework.areas}
    objectives = {each.code for each in framework.objectives}
    relations: dict[str, set[Relation]] = {}
    for number, feed in enumerate(framework.feeds, 1):
        where = f"feed {number}"
        yield from _missing(where, "indicator", feed.indicators, framework.indicator_by_id)
        yield from _missing(where, "area", feed.priority_areas, areas)
        yield from _missing(where, "objective", [feed.objective] if feed.objective else [], objectives)
        if feed.kpi is not None:
            yield from _missing(where, "kpi", [feed.kpi], framework.kpi_by_code)
            relations.setdefault(feed.kpi, set()).add(feed.relation)
    for kpi in framework.kpis:
        found = relations.get(kpi.code, set())
        modes = tuple(mode for relation, mode in _MODE_OF_RELATION if relation in found)[:1] or _UNFED
        if kpi.feed not in modes:
            yield f"{kpi.code}: feed is {kpi.feed.value!r}, feeds.toml makes it {' or '.join(map(str, modes))}"


def _missing(where: str, kind: str, named: Iterable[str], known: Iterable[str]) -> Iterator[str]:
    existing = set(known)
    yield from (f"{where}: there is no {kind} {each!r}" for each in named if each not in existing)
