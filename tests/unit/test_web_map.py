"""The schematic map."""

import re
from itertools import combinations

import pytest
from shapely import Polygon, box

from dashboard.figures.district_map import Cell, DistrictMap, district_map
from pulso.city import load_pack

PACK = load_pack("cdmx")


@pytest.fixture(scope="module")
def drawing() -> DistrictMap:
    return district_map(PACK.map, PACK.districts)


def shape(cell: Cell) -> Polygon:
    return Polygon([(float(x), float(y)) for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)", cell.path)])


def test_every_district_has_one_cell(drawing: DistrictMap) -> None:
    assert [cell.zone_id for cell in drawing.cells] == [zone.zone_id for zone in PACK.districts]


def test_cells_lie_within_the_drawing_and_do_not_touch(drawing: DistrictMap) -> None:
    frame = box(0, 0, drawing.width, drawing.height)
    assert all(shape(cell).is_valid and shape(cell).within(frame) for cell in drawing.cells)
    assert all(shape(one).distance(shape(other)) > 5 for one, other in combinations(drawing.cells, 2))


def test_labels_lie_within_their_cells(drawing: DistrictMap) -> None:
    for cell in drawing.cells:
        label = cell.label
        width = max(len(line) for line in label.lines) * label.size * 0.5
        height = len(label.lines) * label.size + drawing.value_size * 0.7
        text = box(label.x - width / 2, label.y - height / 2, label.x + width / 2, label.y + height / 2)
        assert text.difference(shape(cell)).area < 0.02 * text.area, cell.zone_id


def test_names_are_readable(drawing: DistrictMap) -> None:
    assert min(cell.label.size for cell in drawing.cells) >= 20  # 15 px at 1920 x 1080
