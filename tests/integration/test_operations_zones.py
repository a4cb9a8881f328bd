"""Boundaries in the database, things placed by them, and packs for other cities."""

import json
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pulso.city import load_pack
from tests.support.command import Command
from tests.support.databases import TestDatabase


def square(west: float, south: float, size: float) -> dict[str, Any]:
    east, north = west + size, south + size
    return {
        "type": "Polygon",
        "coordinates": [[[west, south], [east, south], [east, north], [west, north], [west, south]]],
    }


def geojson(file: Path, **areas: dict[str, Any]) -> str:
    features = [{"type": "Feature", "properties": {"name": name.replace("_", " ")}, "geometry": area}
                for name, area in areas.items()]  # fmt: skip
    file.write_text(json.dumps({"type": "FeatureCollection", "features": features}), encoding="utf-8")
    return str(file)


@pytest.fixture
def pulso(database: TestDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    return Command(database, tmp_path / "home", capsys)


@pytest.mark.all_databases
def test_zones_get_their_boundaries_and_things_their_zones(
    pulso: Command, database: TestDatabase, tmp_path: Path
) -> None:
    file = geojson(tmp_path / "zones.geojson", COYOACAN=square(-99.2, 19.3, 0.1), Tlalpan=square(-99.2, 19.2, 0.1),
                   Atlantis=square(0, 0, 1))  # fmt: skip
    assert pulso("db", "migrate").code == 0
    database.query(
        "INSERT INTO thing (external_id, zone_id, latitude, longitude) VALUES ('in coyoacan', NULL, 19.35, -99.15),"
        " ('in tlalpan', NULL, 19.25, -99.15), ('outside', NULL, 40, 0), ('nowhere', NULL, NULL, NULL),"
        " ('told', 'xochimilco', 19.35, -99.15)"
    )
    with psycopg.connect(database.dsn, autocommit=True) as worker:
        worker.execute("LISTEN pulso_devices")
        done = pulso("city", "import-zones", file)
        assert [note.channel for note in worker.notifies(timeout=2, stop_after=1)] == ["pulso_devices"]

    assert done.code == 0, done.err
    assert "no zone for 'Atlantis'" in done.out
    assert "stored 2 boundaries; 2 things found their zone" in done.out
    assert "outside of every boundary: outside" in done.out
    assert database.query("SELECT external_id, zone_id FROM thing ORDER BY 1") == [
        ("in coyoacan", "coyoacan"), ("in tlalpan", "tlalpan"), ("nowhere", None), ("outside", None),
        ("told", "xochimilco"),
    ]  # fmt: skip
    assert database.query("SELECT zone_id, boundary ->> 'type' FROM zone WHERE boundary IS NOT NULL ORDER BY 1") == [
        ("coyoacan", "Polygon"), ("tlalpan", "Polygon"),
    ]  # fmt: skip


def test_boundaries_outlive_the_zones_being_written_again(
    pulso: Command, database: TestDatabase, tmp_path: Path
) -> None:
    pulso("city", "import-zones", geojson(tmp_path / "a.geojson", Tlalpan=square(-99.2, 19.2, 0.1)))
    pulso("city", "import-zones", geojson(tmp_path / "b.geojson", Coyoacan=square(-99.2, 19.3, 0.1)))
    pulso("db", "migrate")
    assert database.query("SELECT zone_id FROM zone WHERE boundary IS NOT NULL ORDER BY 1") == [
        ("coyoacan",), ("tlalpan",),
    ]  # fmt: skip


def test_a_dry_run_needs_no_database(tmp_path: Path, capsys: pytest.CaptureFixture[str], real_data: Path) -> None:
    pulso = Command(None, tmp_path, capsys)
    file = str(real_data / "geo" / "cdmx_alcaldias_2022.geojson")
    done = pulso("city", "import-zones", file, "--dry-run", PULSO_DB_URL="postgresql://127.0.0.1:1/none")
    assert done.code == 0, done.err
    assert "16 areas, named by NOMGEO; 16 match zones" in done.out


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"\xff\xfe\x00", "not text in UTF-8"),
        (b"name,geometry\n", "not even JSON"),
        (b'{"type": "FeatureCollection", "features": []}', "empty"),
        (json.dumps({"type": "FeatureCollection", "features": [
            {"type": "Feature", "properties": {"name": "Oz"}, "geometry": square(0, 0, 1)}]}).encode(), "--new-pack"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, says: str
) -> None:
    file = tmp_path / "zones.geojson"
    file.write_bytes(content)
    done = Command(None, tmp_path, capsys)("city", "import-zones", str(file))
    assert done.code == 2
    assert says in done.err
    assert "Traceback" not in done.err


def test_another_city_gets_a_pack_that_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], real_data: Path
) -> None:
    pulso = Command(None, tmp_path, capsys)
    file = str(real_data / "geo" / "tijuana_region_municipios_2021.geojson")
    directory = tmp_path / "tijuana"
    named = ("--id", "tijuana", "--name", 'Tijuana "y" región', "--timezone", "America/Tijuana")
    done = pulso("city", "import-zones", file, "--new-pack", str(directory), *named)
    assert done.code == 0, done.err

    pack = load_pack(str(directory))
    assert (pack.city.name, pack.city.timezone) == ('Tijuana "y" región', "America/Tijuana")
    # the city has a municipio of its own name: that one gets another id
    assert [zone.zone_id for zone in pack.districts] == ["mexicali", "playas_de_rosarito", "tecate", "tijuana_2"]
    assert [zone.name for zone in pack.districts][-1] == "Tijuana"
    assert "in order" in pulso("city", "check", str(directory)).out
    again = pulso("city", "import-zones", file, "--dry-run", PULSO_CITY_PACK=str(directory))
    assert again.code == 0, again.err
    assert "4 match zones" in again.out

    refused = pulso("city", "import-zones", file, "--new-pack", str(directory), *named)
    assert refused.code == 2
    assert "exists already" in refused.err


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--id, --name and --timezone"),
        (("--id", "Tijuana!", "--name", "T", "--timezone", "America/Tijuana"), "city.id"),
        (("--id", "t", "--name", "T", "--timezone", "Mars/Base"), "not an IANA time zone"),
    ],
)
def test_a_pack_that_would_not_load_is_not_left_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, ...], says: str
) -> None:
    file = geojson(tmp_path / "zones.geojson", North=square(-99, 20, 0.1))
    done = Command(None, tmp_path, capsys)("city", "import-zones", file, "--new-pack", str(tmp_path / "new"), *options)
    assert done.code == 2
    assert says in done.err
    assert not (tmp_path / "new" / "city.toml").exists()


def test_a_pack_with_faults_is_refused_with_all_of_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pulso = Command(None, tmp_path, capsys)
    assert "in order" in pulso("city", "check").out
    directory = tmp_path / "broken"
    (directory / "mappings").mkdir(parents=True)
    shipped = load_pack("cdmx").path / "city.toml"
    (directory / "city.toml").write_bytes(shipped.read_bytes())
    (directory / "mappings" / "plant.toml").write_text('[[mapping]]\nname = "x"\ncolour = 1\n', encoding="utf-8")
    done = pulso("city", "check", str(directory))
    assert done.code == 2
    assert "plant.toml" in done.err
    assert "colour" in done.err
