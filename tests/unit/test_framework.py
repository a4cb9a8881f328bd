"""The indicator framework: complete, consistent, true to its source, and the page that lists it."""

import csv
import importlib.util
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pulso.city import LocalText, load_pack
from pulso.errors import ConfigurationError, UnknownKpi
from pulso.framework import (
    FeedMode,
    KpiType,
    Level,
    Mark,
    Relation,
    Sense,
    Status,
    framework,
    normal_code,
    read_framework,
)
from pulso.framework.reading import FILES
from pulso.model import Family

ROOT = Path(__file__).parents[2]
DOMAIN = ROOT.parent / "shared" / "domain"
DATA = framework()
CODES = [kpi.code for kpi in DATA.kpis]


def source(name: str) -> list[dict[str, str]]:
    file = DOMAIN / name
    if not file.is_file():
        pytest.skip("no domain facts beside the repository")
    with file.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


# --- counts ----------------------------------------------------------------------------------------------------------


def test_there_are_91_kpis_in_three_dimensions_and_seven_sub_dimensions() -> None:
    assert len(DATA.kpis) == len(set(CODES)) == 91
    assert Counter(kpi.dimension for kpi in DATA.kpis) == {"EC": 45, "EN": 17, "SC": 29}
    assert Counter(kpi.sub_dimension for kpi in DATA.kpis) == {
        "EC: ICT": 17,
        "EC: P": 7,
        "EC: I": 21,
        "EN: EN": 13,
        "EN: E": 4,
        "SC: EH": 12,
        "SC: SH": 17,
    }
    assert len(DATA.sub_dimensions) == 7


def test_categories_are_27_pairs_with_22_names() -> None:
    assert {kpi.category_key for kpi in DATA.kpis} == set(DATA.category_by_key)
    assert len(DATA.categories) == len(DATA.category_by_key) == 27
    names = Counter(each.name.en for each in DATA.categories)
    assert len(names) == 22
    assert {name for name, n in names.items() if n > 1} == {
        "Water and Sanitation",
        "Electricity Supply",
        "Transport",
        "Waste",
    }


def test_levels_are_what_the_codes_say() -> None:
    assert Counter(kpi.level for kpi in DATA.kpis) == {Level.CORE: 55, Level.ADVANCED: 36}
    assert all((kpi.level is Level.CORE) == kpi.code.endswith("C") for kpi in DATA.kpis)


def test_types_are_20_32_and_39_of_which_69_are_recalled() -> None:
    found = Counter(kpi.type for kpi in DATA.kpis)
    assert found == {KpiType.SMART: 20, KpiType.STRUCTURAL: 32, KpiType.SUSTAINABLE: 39}
    assert sum(kpi.confidence.type is Mark.RECALLED for kpi in DATA.kpis) == 69
    smart = [kpi for kpi in DATA.kpis if kpi.type is KpiType.SMART]
    assert sum(kpi.confidence.type is Mark.VERIFIED for kpi in smart) == 12


def test_fifteen_kpis_are_reached_live_or_by_registry() -> None:
    found = Counter(kpi.feed for kpi in DATA.kpis)
    assert (found[FeedMode.LIVE_DIRECT], found[FeedMode.REGISTRY], found[FeedMode.LIVE_PROXY]) == (7, 5, 3)
    assert found[FeedMode.REPORTED] + found[FeedMode.SURVEY] == 76


def test_live_indicators_are_numbered_without_a_gap() -> None:
    letters = {Family.TRAFFIC: ("T", 15), Family.WASTE: ("W", 14), Family.ENERGY: ("E", 17), Family.AIR: ("A", 7)}
    for family, (letter, n) in letters.items():
        assert [each.id for each in DATA.indicators if each.family is family] == [f"{letter}{i + 1}" for i in range(n)]
    assert len(DATA.indicators) == 53


def test_seven_areas_count_the_themes_of_the_paper() -> None:
    counts = {theme.name.en: theme.printed_kpis or 0 for theme in DATA.themes}
    assert [area.code for area in DATA.areas] == [f"PA{n}" for n in range(1, 8)]
    for area in DATA.areas:
        assert area.counted_kpis == sum(counts[name] for name in area.iso37122_themes), area.code
    assert [area.code for area in DATA.areas if area.printed_kpis != area.counted_kpis] == ["PA5"]


def test_twenty_themes_of_which_ten_hold_each_kpi_once() -> None:
    assert len(DATA.themes) == 20
    assert sum(theme.partition for theme in DATA.themes) == 10
    members = Counter(theme for kpi in DATA.kpis for theme in kpi.iso37122_themes)
    assert all(members[theme.name.en] == (theme.printed_kpis or 0) for theme in DATA.themes)
    assert sum(members[theme.name.en] for theme in DATA.themes if theme.partition) == 91


# --- true to the source ----------------------------------------------------------------------------------------------


def test_kpis_are_those_of_the_source_with_its_marks() -> None:
    rows = source("itu_y4903_kpis.csv")
    assert [row["code"] for row in rows] == CODES
    for row in rows:
        kpi = DATA.kpi(row["code"])
        read = (kpi.name.en, kpi.level, kpi.type, kpi.unit.en, kpi.formula.en)
        assert read == tuple(row[key] for key in ("name", "core_or_advanced", "type", "unit", "formula"))
        assert DATA.category_by_key[kpi.category_key].name.en == row["category"]
        marks = tuple(kpi.confidence.model_dump(mode="json").values())
        assert marks == tuple(
            row[key]
            for key in (
                "confidence",
                "code_name_confidence",
                "type_confidence",
                "formula_confidence",
                "sdg_confidence",
            )
        )


def test_sdg_targets_and_pages_are_those_of_the_source() -> None:
    for row in source("itu_y4903_kpis.csv"):
        kpi = DATA.kpi(row["code"])
        numbers = re.findall(r"\d+\.\w+(?:\.\d+)?", row["sdg_targets"])
        assert Counter(numbers) == Counter([*kpi.sdg, *kpi.sdg_indicators]), kpi.code
        pages = [page for _, _, page in (each.partition(":") for each in kpi.sources) if page]
        assert pages == re.findall(r"/page(\d+)\.html", row["source"]), kpi.code
        assert ("memory" in kpi.sources) == ("from memory" in row["source"]), kpi.code


def test_directions_are_those_of_the_source() -> None:
    for row in source("itu_y4903_kpis.csv"):
        kpi = DATA.kpi(row["code"])
        match kpi.direction:
            case Sense.MIXED:
                assert row["direction"].startswith("up for")
            case Sense.TARGET:
                assert row["direction"] == f"toward {kpi.target}"
            case _:
                assert row["direction"] == kpi.direction


def test_priority_areas_of_kpis_are_the_inferred_ones() -> None:
    expected = {(row["priority_area"], row["kpi_code"]) for row in source("priority_area_kpis.csv")}
    assert {(area, kpi.code) for kpi in DATA.kpis for area in kpi.priority_areas} == expected


def test_areas_and_themes_are_those_of_the_source() -> None:
    for row, area in zip(source("priority_areas.csv"), DATA.areas, strict=True):
        assert (row["id"], row["name_en"], row["name_es"]) == (area.code, area.name.en, area.name.es)
        assert (row["itu_kpis_in_paper"], row["itu_kpis_recomputed_from_table4"]) == (
            str(area.printed_kpis),
            str(area.counted_kpis),
        )
        assert row["strategic_objective"].startswith(area.objective)
        roles = ("enablers", "providers", "utilizers", "users")
        assert [row[role] for role in roles] == ["; ".join(getattr(area, role)) for role in roles]
    names = {dimension.code: dimension.name.en for dimension in DATA.dimensions}
    for row, theme in zip(source("iso37122_crosswalk.csv"), DATA.themes, strict=True):
        assert row["iso37122_theme_as_printed"] == theme.name.en
        assert row["itu_kpis_as_printed"] == ("--" if theme.printed_kpis is None else str(theme.printed_kpis))
        assert row["dimension_as_printed"].strip("-") == names.get(theme.printed_dimension or "", "")
        assert row["dimension_inferred"].strip("-") == names.get(theme.dimension or "", "")


def live_source() -> str:
    file = DOMAIN / "live_indicators.md"
    if not file.is_file():
        pytest.skip("no domain facts beside the repository")
    return file.read_text(encoding="utf-8")


def test_feeding_is_that_of_the_source() -> None:
    last = live_source().split("## 5. KPIs of the 91")[1]
    code = re.compile(r"(?:EC|EN|SC): [A-Z]+: [A-Z]+: \d[AC]")
    direct, registry, proxy = (code.findall(last.split(f"{word}: ")[1]) for word in ("Direct", "Registry", "Proxy"))
    by_mode = {mode: {kpi.code for kpi in DATA.kpis if kpi.feed is mode} for mode in FeedMode}
    assert set(proxy) == by_mode[FeedMode.LIVE_PROXY]
    assert set(registry) - set(proxy) == by_mode[FeedMode.REGISTRY]
    assert set(direct) - set(registry) == by_mode[FeedMode.LIVE_DIRECT]


def test_units_and_directions_of_live_indicators_are_those_of_the_source() -> None:
    rows = re.findall(r"^\| ([TWEA]\d+) \|(.*)\|$", live_source(), re.MULTILINE)
    table = {name: [cell.strip() for cell in cells.split("|")] for name, cells in rows if cells.count("|") > 4}
    assert set(table) == set(DATA.indicator_by_id)
    for indicator in DATA.indicators:
        _, _, unit, _, direction, *_ = table[indicator.id]
        assert direction.split()[0].replace("-", "context") == indicator.direction, indicator.id
        if indicator.id not in {"T6", "E10"}:  # `ratio >= 1` and `int./customer` are written out
            assert indicator.unit.en == unit


def test_statuses_of_live_indicators_are_the_marks_of_the_source() -> None:
    words = {"V": Status.VERIFIED, "V2": Status.VERIFIED_SECONDARY, "R": Status.RECALLED, "D": Status.OWN_DESIGN}
    rows = re.findall(r"^\| ([TWE]\d+) \|(.*)\|$", live_source().replace("; formula R]", "] [R]"), re.MULTILINE)
    marked = {name: re.findall(r"\[(V2|V|R|D)(?=[,\]])", cells) for name, cells in rows if cells.count("|") > 4}
    assert len(marked) == 46
    for name, marks in marked.items():
        if name != "E14":  # the mark in its row is that of a national goal
            expected = {words[mark] for mark in marks} or {Status.UNMARKED}
            assert set(DATA.indicator_by_id[name].status) == expected, name


# --- texts -----------------------------------------------------------------------------------------------------------


def texts(value: object) -> Iterator[LocalText]:
    match value:
        case LocalText():
            yield value
        case BaseModel():
            for name in type(value).model_fields:
                yield from texts(getattr(value, name))
        case tuple():
            for each in value:
                yield from texts(each)


def test_every_text_speaks_both_languages() -> None:
    found = [text for part in vars(DATA).values() for text in texts(part)]
    assert len(found) > 3 * 91 + 4 * 53
    assert all(text.en.strip() == text.en != "" and text.es.strip() == text.es != "" for text in found)


def test_names_are_translated() -> None:
    parts = (DATA.kpis, DATA.indicators, DATA.categories, DATA.themes, DATA.areas, DATA.objectives)
    names = [each.name for part in parts for each in part]
    assert [name.en for name in names if name.en == name.es] == []
    notes = [each.note for part in (DATA.kpis, DATA.themes, DATA.areas) for each in part if each.note is not None]
    assert len(notes) == 5
    assert [note.en for note in notes if note.en == note.es] == []


def test_units_and_formulas_are_translated_where_they_have_words() -> None:
    alike = {kpi.unit.en for kpi in DATA.kpis if kpi.unit.en == kpi.unit.es}
    assert alike == {"%"}
    assert [kpi.code for kpi in DATA.kpis if kpi.formula.en == kpi.formula.es] == []


def test_one_text_has_one_translation() -> None:
    spanish: dict[str, set[str]] = {}
    for text in (text for kpi in DATA.kpis for text in (kpi.unit, kpi.formula)):
        spanish.setdefault(text.en, set()).add(text.es)
    assert {text: found for text, found in spanish.items() if len(found) > 1} == {}


# --- looking things up -----------------------------------------------------------------------------------------------


def test_electronic_health_records_belong_to_health() -> None:
    kpi = DATA.kpi("SC: EH: ED: 5A")
    assert DATA.category_by_key[kpi.category_key].name.en == "Health"


@pytest.mark.parametrize("printed", ["SC: EH: ED:1C", "SC: EH: ED:2C", "SC: EH: H:1C", "SC: EH: H:3C"])
def test_the_spelling_of_2017_finds_its_kpi(printed: str) -> None:
    assert DATA.kpi(printed).printed_as == printed


@given(st.sampled_from(CODES), st.lists(st.sampled_from(["", " ", "  ", "\t"]), min_size=8, max_size=8), st.booleans())
def test_spaces_and_case_make_no_other_code(code: str, spaces: list[str], lower: bool) -> None:
    parts = code.split(": ")
    spelt = ":".join(f"{spaces[2 * n]}{part}{spaces[2 * n + 1]}" for n, part in enumerate(parts))
    assert normal_code(spelt.lower() if lower else spelt) == code
    assert normal_code(code) == code


def test_an_unknown_code_is_named() -> None:
    with pytest.raises(UnknownKpi, match="'EC: ICT: ICT: 9C' is none of the 91"):
        DATA.kpi("EC: ICT: ICT: 9C")


def test_what_decides_comes_first_among_the_feeds() -> None:
    assert [feed.relation for feed in DATA.feeds_of("EC: I: T: 5A")] == [Relation.DIRECT, Relation.PROXY]
    assert DATA.indicators_of("EN: EN: AQ: 1C") == ("A3", "A1", "A4", "A5", "A6")
    assert DATA.indicators_of("SC: EH: H: 1C") == ()


def test_objectives_come_from_what_feeds_or_else_from_the_areas() -> None:
    assert DATA.objectives_of("EN: EN: AQ: 1C") == ("clean_environment",)  # its proxies serve quality of life
    assert DATA.objectives_of("EN: EN: WS: 2C") == ("quality_of_life", "clean_environment")  # PA3, PA5
    assert DATA.objectives_of("SC: EH: C: 1C") == ()


def test_themes_are_found_in_any_case() -> None:
    found = DATA.theme("solid waste")
    assert found is not None
    assert found.name.es == "Residuos sólidos"
    assert DATA.theme("Astronomy") is None


def test_what_is_not_marked_by_the_source_is_not_verified() -> None:
    for indicator in DATA.indicators:
        assert len(set(indicator.status)) == len(indicator.status)
        assert Status.UNMARKED not in indicator.status or indicator.status == (Status.UNMARKED,)


def test_the_default_city_refers_to_what_exists() -> None:
    for definition in load_pack("cdmx").kpis.values():
        assert definition.itu is None or DATA.kpi(definition.itu).code == definition.itu
        assert definition.indicator is None or definition.indicator in DATA.indicator_by_id
        assert definition.iso37122_theme is None or DATA.theme(definition.iso37122_theme) is not None
        assert set(definition.priority_areas) <= {area.code for area in DATA.areas}
        assert definition.strategic_objective in {None, *(each.code for each in DATA.objectives)}


# --- faults ----------------------------------------------------------------------------------------------------------

Change = tuple[str, str, str]


@pytest.fixture
def broken(tmp_path: Path) -> Callable[[Change], str]:
    """What is said of the files after the first occurrence of a text in one of them was changed."""

    def read(change: Change) -> str:
        name, old, new = change
        for file in FILES:
            shutil.copy(str(files("pulso.framework") / file), tmp_path / file)
        text = (tmp_path / name).read_text(encoding="utf-8")
        assert old in text
        (tmp_path / name).write_text(text.replace(old, new, 1), encoding="utf-8")
        with pytest.raises(ConfigurationError) as raised:
            read_framework(tmp_path)
        return str(raised.value)

    return read


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("themes.toml", "[[theme]]", "[[theme"), "themes.toml: "),
        (("themes.toml", "[[theme]]", "[[thema]]"), "themes.toml: no place for 'thema'"),
        (("sources.toml", "title =", "titel ="), "sources.toml, [[source]] 1 (U4SSC-2017): title: Field required"),
        (("kpis_economy.toml", 'es = "Patentes"', 'es = " "'), "(EC: P: IN: 2C): name: Value error, both"),
        (("kpis_economy.toml", 'level = "core"', 'level = "advanced"'), "1C is advanced, its last letter says"),
        (("kpis_economy.toml", ": ICT: 2C", ": ICT: 1C"), "kpi EC: ICT: ICT: 1C stands there 2 times"),
        (("kpis_economy.toml", ": ICT: 1C", ": ICT: 1B"), "code: String should match pattern"),
        (("kpis_economy.toml", 'category = "ICT"', 'category = "H"'), "there is no category 'H' in 'EC: ICT'"),
        (("kpis_economy.toml", '"PA2", "PA4"', '"PA2"'), "its priority_areas are ['PA2']"),
        (("kpis_economy.toml", '"Economy", "Tele', '"Tele'), "begin with the one broad theme"),
        (("kpis_economy.toml", '"U4SSC-2017:23"', '"U4SSC-2017"'), "source 'U4SSC-2017' needs a page number"),
        (("kpis_economy.toml", '"memory"', '"hearsay"'), "there is no source 'hearsay'"),
        (("kpis_economy.toml", 'feed = "survey"', 'feed = "registry"'), "makes it reported or survey"),
        (("kpis_economy.toml", 'type = "verified"', 'type = "recalled"'), "not verified as a whole"),
        (("kpis_economy.toml", 'direction = "up"', 'direction = "target"'), "'target' goes with direction 'target'"),
        (("kpis_economy.toml", 'direction = "up"', 'direction = "mixed"'), "'direction_note' goes with direction"),
        (("kpis_society.toml", '"SC: EH: ED:1C"', '"SC: EH: ED:2C"'), "not another spelling of SC: EH: ED: 1C"),
        (("feeds.toml", '"T6", "T7"', '"T6", "T77"'), "feed 1: there is no indicator 'T77'"),
        (("feeds.toml", 'relation = "direct"', 'relation = "quality"'), "relation 'quality' has no 'kpi'"),
        (("feeds.toml", 'kpi = "EC: I: T: 5A"\n', ""), "relation 'direct' needs 'kpi'"),
        (("feeds.toml", 'indicators = ["T6", "T7"]\n', ""), "'indicators', or 'from', or both"),
        (("feeds.toml", '"EC: I: T: 5A"', '"EC: I: T: 9A"'), "there is no kpi 'EC: I: T: 9A'"),
        (("structure.toml", 'code = "EN"', 'code = "SC"'), "sub_dimension EN: EN: there is no dimension 'EN'"),
        (("priority_areas.toml", '"Health"', '"Wealth"'), "PA1: there is no theme 'Wealth'"),
        (("priority_areas.toml", 'objective = "qual', 'objective = "equal'), "there is no objective 'equal"),
        (("live_indicators.toml", 'id = "T1"', 'id = "X1"'), "id: String should match pattern"),
    ],
    ids=lambda value: value[2] if isinstance(value, tuple) else None,
)
def test_a_fault_is_named(broken: Callable[[Change], str], change: Change, said: str) -> None:
    assert said in broken(change)


def test_all_faults_are_named_at_once(broken: Callable[[Change], str], tmp_path: Path) -> None:
    said = broken(("structure.toml", "[[dimension]]", "dimension = 1\n[[dimensions]]"))
    assert "structure.toml: " in said
    said = broken(("kpis_economy.toml", 'category = "ICT"', "category = 1\nlevle = 2"))
    assert "category: Input should be a valid string" in said
    assert "levle: Extra inputs are not permitted" in said


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"feeds\.toml: .*No such file"):
        read_framework(tmp_path)


def test_values_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        DATA.kpis[0].feed = FeedMode.SURVEY


# --- the page --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def writer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kpi_catalogue", ROOT / "scripts" / "kpi_catalogue.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date(writer: ModuleType) -> None:
    written = (ROOT / "docs" / "reference" / "kpi-catalogue.md").read_text(encoding="utf-8")
    assert written == writer.render(framework()), "run `make reference`"


def test_the_page_lists_everything_in_tables_of_even_rows(writer: ModuleType) -> None:
    page: str = writer.render(DATA)
    for kpi in DATA.kpis:
        assert page.count(f"\n| {kpi.code} | ") == 2, kpi.code
    for name in [each.name for part in (DATA.indicators, DATA.areas, DATA.themes) for each in part]:
        assert f"{name.en}<br>*{name.es}*" in page
    for table in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()}) == 1


def test_a_page_of_other_data_differs(writer: ModuleType) -> None:
    changed = DATA.kpis[0].model_copy(update={"feed": FeedMode.REPORTED})
    other = replace(DATA, kpis=(changed, *DATA.kpis[1:]))
    assert writer.render(other) != writer.render(DATA)
