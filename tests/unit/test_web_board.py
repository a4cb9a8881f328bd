"""The layout of the wall, and the texts that come with it."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from dashboard.board import load_board
from dashboard.build import build_id
from dashboard.components.wall_data import band_range, page_data
from dashboard.figures.district_map import district_map
from dashboard.i18n import load_catalogues
from pulso.city import Band, CityPack, LocalText, load_pack
from pulso.city.pack import pack_path
from pulso.errors import ConfigurationError

SPANISH = load_catalogues().get("es")


@pytest.fixture
def copied_pack(tmp_path: Path) -> Path:
    return Path(shutil.copytree(pack_path("cdmx"), tmp_path / "city"))


def load(path: Path) -> CityPack:
    return load_pack(str(path))


def test_shipped_board_uses_only_kpis_that_exist() -> None:
    pack = load_pack("cdmx")
    board = load_board(pack)
    assert len(board.tile) == 8
    assert board.watched <= pack.kpis.keys()


def test_unknown_kpi_is_left_out(copied_pack: Path) -> None:
    (copied_pack / "wall.toml").write_text('[[tile]]\nkpi = "nonsense"\n[[tile]]\nkpi = "traffic_mean_speed"\n')
    assert [tile.kpi for tile in load_board(load(copied_pack)).tile] == ["traffic_mean_speed"]


def test_pack_without_a_board_shows_its_first_kpis(copied_pack: Path) -> None:
    (copied_pack / "wall.toml").unlink()
    board = load_board(load(copied_pack))
    assert len(board.tile) == 8
    assert len(board.map.kpis) == 4


def test_every_fault_of_the_board_is_named(copied_pack: Path) -> None:
    (copied_pack / "wall.toml").write_text('histroy = "PT1H"\n[map]\nrotate = "PT1S"\n')
    with pytest.raises(ConfigurationError) as error:
        load_board(load(copied_pack))
    assert len(error.value.faults) == 2


def test_sparkline_of_an_hourly_kpi_reaches_back_twelve_steps() -> None:
    pack = load_pack("cdmx")
    board = load_board(pack)
    assert board.history_of(pack.kpi("air_pm25_12h")) == timedelta(hours=12)
    assert board.history_of(pack.kpi("traffic_mean_speed")) == timedelta(hours=2)


def test_page_data_is_json_and_speaks_its_language() -> None:
    pack = load_pack("cdmx")
    drawing = district_map(pack.map, pack.districts)
    data = page_data(pack, load_board(pack), drawing, load_catalogues().get("en"), "b")
    again = json.loads(json.dumps(data))
    assert again["kpis"]["traffic_mean_speed"]["short"] == "Mean speed"
    assert again["kpis"]["air_pm25_12h"]["unit"] == "µg/m³"
    assert again["locale"] == "en-GB"


@pytest.mark.parametrize(
    ("ends", "text"),
    [
        ({"above": 15, "at_most": 25}, "15–25"),
        ({"at_most": 1.5}, "≤ 1.5"),
        ({"below": 8}, "< 8"),
        ({"at_least": 1000}, "≥ 1,000"),
        ({"above": 2.5}, "> 2.5"),
        ({}, ""),
    ],
)
def test_band_ranges_are_written_for_people(ends: dict[str, float], text: str) -> None:
    band = Band(state="good", label=LocalText(es="Bueno", en="Good"), **ends)
    assert band_range(band, SPANISH) == text


def test_build_id_changes_with_any_file(copied_pack: Path) -> None:
    before = build_id(copied_pack)
    assert build_id(copied_pack) == before
    (copied_pack / "wall.toml").write_text('history = "PT3H"\n')
    assert build_id(copied_pack) != before
