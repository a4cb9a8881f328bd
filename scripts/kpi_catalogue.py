"""Writes docs/reference/kpi-catalogue.md from the framework: every KPI, live indicator and priority area."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from pulso.city.definition import LocalText
from pulso.framework import (
    Feed,
    FeedMode,
    Framework,
    Kpi,
    KpiType,
    Level,
    LiveIndicator,
    Mark,
    Relation,
    Sense,
    Status,
    framework,
)
from pulso.model import Family

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "docs" / "reference" / "kpi-catalogue.md"

_HEAD = """\
# Catalogue of indicators

<!-- Written by `make reference` from pulso/framework/*.toml: edit those. -->

The {kpis} key performance indicators (KPIs) that ITU-T Y.4903 and the initiative U4SSC set for smart sustainable
cities, and beside them the {indicators} live indicators that sensors of the four families give. Sensors and inventories
reach {reached} of the {kpis}; the other {rest} come from records and surveys, by form or file. They are *not measured
live*, which is not the same as zero.

Each KPI stands in two tables: what it measures and how it is fed; then where it belongs and what that rests on. All
Spanish, here and in the data (which also have units and formulas in Spanish), is our own translation.
"""

_MODES = {
    FeedMode.LIVE_DIRECT: ("live, direct", "sensor values add up to the KPI as it is defined"),
    FeedMode.LIVE_PROXY: ("live, proxy", "sensors show movement, but what they show is not the KPI"),
    FeedMode.REGISTRY: ("registry", "counted in an inventory: meters, detectors, signals, data sets"),
    FeedMode.REPORTED: ("reported", "records of an authority or a utility, by form or file"),
    FeedMode.SURVEY: ("survey", "a census or a survey of households or persons, by form or file"),
}
_MARKS = {
    Mark.VERIFIED: ("V", "verified: codes and names in public lists, the rest on a page of the ITU"),
    Mark.DEFINITION_ONLY: ("D", "the definition is verified, the exact formula and unit are not"),
    Mark.RECALLED: ("R", "recalled: check before relying on it"),
}
_STATUSES = {
    Status.VERIFIED: "verified",
    Status.VERIFIED_SECONDARY: "verified through secondary material",
    Status.RECALLED: "recalled",
    Status.OWN_DESIGN: "our own design",
    Status.UNMARKED: "no mark in our source",
}
_SENSES = {
    Sense.UP: "higher",
    Sense.DOWN: "lower",
    Sense.TARGET: "near the target",
    Sense.MIXED: "by part",
    Sense.CONTEXT: "neither",
}
_RELATIONS = {
    Relation.DIRECT: "direct",
    Relation.PROXY: "proxy",
    Relation.REGISTRY: "registry",
    Relation.OPERATIONS: "operations only",
    Relation.QUALITY: "quality",
}
_FAMILIES = {Family.TRAFFIC: "Traffic", Family.WASTE: "Waste bins", Family.ENERGY: "Energy", Family.AIR: "Air quality"}

_LIMITS = """\
What is not settled:

- The list is the set of 2016/2017; the 2022 text of Y.4903 and the Mexican NMX-I-4903 could not be read.
- {types} of the {kpis} types are recalled. The totals {smart} smart, {structural} structural and {sustainable}
  sustainable match the published ones, but were used to decide the doubtful types, so the match proves little.
- The last letters of the codes give {core} core and {advanced} advanced KPIs; the usual quotation is 54 and 37. One
  flag may differ from its letter, or the quotation may be off by one.
- Some codes of the 2017 text lack a space (`SC: EH: ED:1C`); here all are written in one way. `SC: EH: ED: 5A` is
  numbered with Education but belongs to Health.
- How each KPI is fed, its ISO 37122 themes, priority areas and strategic objective are our own assignment or inference,
  not statements of the standard or of the source paper (smart cities in Mexico, seven priority areas).
"""

_AREAS = """\
Names, themes and printed counts are the source paper's (verified). *Counted* adds up the themes of Table 4, which may
share KPIs; *distinct* says how many KPIs these are. Objectives, sensors and the Spanish names are our own.

"""
_THEMES = """\
From Table 4 of the source paper, whose dimension column looks shifted by one row. The repair, and which KPI belongs
where, are our inference. The broad themes hold each KPI exactly once; the others lie within them.

"""


def render(data: Framework) -> str:
    """The text of the page."""
    parts = [
        _head(data),
        _feeding(data),
        _verified(data),
        *(_dimension(data, each.code) for each in data.dimensions),
        _live(data),
        _links(data),
        _areas(data),
        _themes(data),
        _categories(data),
        _sources(data),
    ]
    return "\n".join(parts)


def _head(data: Framework) -> str:
    rest = sum(kpi.feed in {FeedMode.REPORTED, FeedMode.SURVEY} for kpi in data.kpis)
    numbers = {"kpis": len(data.kpis), "indicators": len(data.indicators), "rest": rest}
    return _HEAD.format(**numbers, reached=len(data.kpis) - rest)


def _feeding(data: Framework) -> str:
    counts = Counter((kpi.dimension, kpi.feed) for kpi in data.kpis)
    codes = [each.code for each in data.dimensions]
    lines = [(name, meaning, [counts[code, mode] for code in codes]) for mode, (name, meaning) in _MODES.items()]
    lines.append(("all", "", [sum(counts[code, mode] for mode in _MODES) for code in codes]))
    rows = [[name, meaning, *numbers, sum(numbers)] for name, meaning, numbers in lines]
    names = [each.name.en for each in data.dimensions]
    return "## How they are fed\n\n" + _table(["fed", "from", *names, "all"], rows)


def _verified(data: Framework) -> str:
    parts = {
        "as a whole": "overall",
        "code and name": "code_name",
        "type": "type",
        "formula and unit": "formula",
        "SDG target": "sdg",
    }
    rows = [
        [
            f"{letter} {meaning}",
            *(sum(getattr(kpi.confidence, part) is mark for kpi in data.kpis) for part in parts.values()),
        ]
        for mark, (letter, meaning) in _MARKS.items()
    ]
    types = {each.value: sum(kpi.type is each for kpi in data.kpis) for each in KpiType}
    levels = {each.value: sum(kpi.level is each for kpi in data.kpis) for each in Level}
    recalled = sum(kpi.confidence.type is Mark.RECALLED for kpi in data.kpis)
    limits = _LIMITS.format(kpis=len(data.kpis), types=recalled, **types, **levels)
    head = "A KPI is verified as a whole only if a page of the ITU with its type, unit and formula was read.\n\n"
    return f"## What is verified, and what is not\n\n{head}{_table(['mark', *parts], rows)}\n{limits}"


def _dimension(data: Framework, code: str) -> str:
    name = next(each.name for each in data.dimensions if each.code == code)
    kpis = [kpi for kpi in data.kpis if kpi.dimension == code]
    what = _table(
        ["code", "indicator", "unit and formula", "better", "fed"],
        [
            [kpi.code, _both(kpi.name), f"*{kpi.unit.en}*: {kpi.formula.en}", _better(kpi), _fed(data, kpi)]
            for kpi in kpis
        ],
    )
    rests = _table(
        ["code", "category", "level, type", "SDG", "ISO 37122", "areas", "objective", "marks", "sources"],
        [_belongs(data, kpi) for kpi in kpis],
    )
    notes = "".join(f"- {kpi.code}: {kpi.note.en}\n" for kpi in kpis if kpi.note is not None)
    lead = "Where each belongs and what it rests on. Marks: code and name, type, formula and unit, SDG target.\n\n"
    return f"## {name.en} ({name.es})\n\n{what}\n{lead}{rests}" + (f"\n{notes}" if notes else "")


def _belongs(data: Framework, kpi: Kpi) -> list[str]:
    marks = (kpi.confidence.code_name, kpi.confidence.type, kpi.confidence.formula, kpi.confidence.sdg)
    sub_dimension = next(each.name.en for each in data.sub_dimensions if each.code == kpi.sub_dimension)
    return [
        kpi.code,
        f"{sub_dimension}: {data.category_by_key[kpi.category_key].name.en}",
        f"{kpi.level.value}, {kpi.type.value}",
        _list(kpi.sdg) + (f" (indicator {_list(kpi.sdg_indicators)})" if kpi.sdg_indicators else ""),
        "; ".join(kpi.iso37122_themes),
        _list(kpi.priority_areas),
        _list(_objective(data, each) for each in data.objectives_of(kpi.code)),
        " ".join(_MARKS[mark][0] for mark in marks),
        _list(_cited(data, source) for source in kpi.sources),
    ]


def _better(kpi: Kpi) -> str:
    if kpi.direction_note is not None:
        return kpi.direction_note.en
    return _SENSES[kpi.direction] + (f" ({kpi.target:g})" if kpi.target is not None else "")


def _fed(data: Framework, kpi: Kpi) -> str:
    origins = [each.origin.en for each in data.feeds_of(kpi.code) if each.origin is not None]
    named = _list([*data.indicators_of(kpi.code), *origins])
    return _MODES[kpi.feed][0] + (f": {named}" if named else "")


def _live(data: Framework) -> str:
    parts = [f"## Live indicators\n\nStatus of the standards: {'; '.join(_STATUSES.values())}.\n"]
    for family, name in _FAMILIES.items():
        rows = [_live_row(data, each) for each in data.indicators if each.family is family]
        head = ["id", "indicator", "formula", "unit", "window", "better", "status", "standard", "feeds"]
        parts.append(f"### {name}\n\n{_table(head, rows)}")
    return "\n".join(parts)


def _live_row(data: Framework, each: LiveIndicator) -> list[str]:
    kpis = dict.fromkeys(feed.kpi for feed in data.feeds if each.id in feed.indicators and feed.kpi is not None)
    better = _SENSES[each.direction] + (f" ({each.target})" if each.target is not None else "")
    status = _list(_STATUSES[one] for one in each.status)
    return [
        each.id,
        _both(each.name),
        each.formula.en,
        each.unit.en,
        each.window.en,
        better,
        status,
        each.standard,
        _list(kpis),
    ]


def _links(data: Framework) -> str:
    head = "What the live sources give, with our own assignment of priority areas, objectives and SDG targets.\n\n"
    columns = ["from", "to", "relation", "condition", "areas", "objective", "SDG"]
    return f"## What feeds what\n\n{head}{_table(columns, [_link_row(data, feed) for feed in data.feeds])}"


def _link_row(data: Framework, feed: Feed) -> list[str]:
    origin = [feed.origin.en] if feed.origin is not None else []
    return [
        _list([*feed.indicators, *origin]),
        feed.kpi or "none of the KPIs",
        _RELATIONS[feed.relation],
        feed.condition.en if feed.condition is not None else "",
        _list(feed.priority_areas),
        _objective(data, feed.objective) if feed.objective is not None else "",
        _list(feed.sdg),
    ]


def _areas(data: Framework) -> str:
    rows = [
        [
            each.code,
            _both(each.name),
            "; ".join(each.iso37122_themes),
            each.printed_kpis,
            each.counted_kpis,
            sum(each.code in kpi.priority_areas for kpi in data.kpis),
            _list(_objective(data, one) for one in (each.objective, each.secondary_objective) if one is not None),
            _list(_FAMILIES[family].lower() for family in each.families),
        ]
        for each in data.areas
    ]
    columns = ["code", "area", "ISO 37122 themes", "printed", "counted", "distinct", "objectives", "sensors"]
    notes = "".join(f"- {each.code}: {each.note.en}\n" for each in data.areas if each.note is not None)
    return f"## Priority areas\n\n{_AREAS}{_table(columns, rows)}\n{notes}"


def _themes(data: Framework) -> str:
    names = {each.code: each.name.en for each in data.dimensions}
    rows = [
        [
            _both(each.name),
            names.get(each.printed_dimension or "", ""),
            names.get(each.dimension or "", ""),
            "" if each.printed_kpis is None else each.printed_kpis,
            sum(each.name.en in kpi.iso37122_themes for kpi in data.kpis),
            "yes" if each.partition else "",
        ]
        for each in data.themes
    ]
    columns = ["theme", "dimension as printed", "dimension, repaired", "KPIs as printed", "KPIs here", "broad"]
    notes = "".join(f"- {each.name.en}: {each.note.en}\n" for each in data.themes if each.note is not None)
    return f"## ISO 37122 themes\n\n{_THEMES}{_table(columns, rows)}\n{notes}"


def _categories(data: Framework) -> str:
    counts = Counter(kpi.category_key for kpi in data.kpis)
    names = {each.code: each.name for each in data.sub_dimensions}
    rows = [
        [each.sub_dimension, _both(names[each.sub_dimension]), each.code, _both(each.name), counts[each.key]]
        for each in data.categories
    ]
    different = len({each.name.en for each in data.categories})
    head = f"{len(data.categories)} pairs of sub-dimension and category, with {different} different names.\n\n"
    return f"## Categories\n\n{head}{_table(['sub-dimension', '', 'category', '', 'KPIs'], rows)}"


def _sources(data: Framework) -> str:
    lines = [f"- **{each.id}**: {each.title.en}\n" for each in data.sources]
    return "## Sources\n\nPages are those of the address of the online edition.\n\n" + "".join(lines)


def _cited(data: Framework, source: str) -> str:
    name, _, page = source.partition(":")
    address = next(each.address for each in data.sources if each.id == name)
    return name if address is None else f"[{name} p. {page}]({address.format(page=page)})"


def _objective(data: Framework, code: str) -> str:
    return next(each.name.en for each in data.objectives if each.code == code)


def _both(text: LocalText) -> str:
    return f"{text.en}<br>*{text.es}*"


def _list(values: Iterable[str]) -> str:
    return ", ".join(values)


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    TARGET.write_text(render(framework()), encoding="utf-8")
