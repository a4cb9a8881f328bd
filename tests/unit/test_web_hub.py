"""The hub: whole state first, then changes; nothing is queued for a viewer."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest

from dashboard.live.frame import Activity, Cell, CellState, Incident
from dashboard.live.hub import RETRY, Hub, Update
from dashboard.metrics import WebMetrics

NOW = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


def cell(value: float, zone: str = "cdmx") -> Cell:
    return Cell("speed", zone, CellState.OK, value=value)


def update(*cells: Cell, seconds: int = 0, **more: object) -> Update:
    return Update(NOW + timedelta(seconds=seconds), cells, **more)


def frame(event: bytes) -> dict[str, object]:
    name, number, data = event.decode().rstrip("\n").split("\n")
    assert name == "event: frame"
    body: dict[str, object] = json.loads(data.removeprefix("data: "))
    assert number == f"id: {body['sequence']}"
    return body


async def first_frame(hub: Hub) -> tuple[object, dict[str, object]]:
    viewer = hub.frames()
    assert await anext(viewer) == RETRY
    return viewer, frame(await anext(viewer))


def count(metrics: WebMetrics, name: str) -> float:
    return metrics.registry.get_sample_value(name) or 0.0


async def test_first_frame_is_the_whole_state_with_reset_and_build() -> None:
    hub = Hub("build-7", WebMetrics())
    hub.publish(update(cell(1.0), cell(2.0, "coyoacan")))
    hub.publish(update(cell(1.0), cell(3.0, "coyoacan")))
    _, first = await first_frame(hub)
    assert first["reset"] is True
    assert first["build"] == "build-7"
    assert {one["zone"]: one["value"] for one in first["cells"]} == {"cdmx": 1.0, "coyoacan": 3.0}


async def test_following_frames_hold_only_what_changed() -> None:
    hub = Hub("b", WebMetrics())
    hub.publish(update(cell(1.0), cell(2.0, "coyoacan"), points={"speed": {1: 5.0, 2: 6.0}}))
    viewer, _ = await first_frame(hub)
    hub.publish(update(cell(1.0), cell(4.0, "coyoacan"), points={"speed": {1: 5.0, 2: 6.5, 3: 7.0}}))
    second = frame(await anext(viewer))
    assert "reset" not in second
    assert [one["zone"] for one in second["cells"]] == ["coyoacan"]
    assert second["points"] == {"speed": [[2, 6.5], [3, 7.0]]}


async def test_a_frame_goes_out_although_nothing_changed() -> None:
    hub = Hub("b", WebMetrics())
    hub.publish(update(cell(1.0)))
    viewer, _ = await first_frame(hub)
    hub.publish(update(cell(1.0), seconds=1))
    beat = frame(await anext(viewer))
    assert beat["now"] == round((NOW + timedelta(seconds=1)).timestamp() * 1000)
    assert beat.keys() == {"sequence", "now", "build"}


async def test_slow_viewer_skips_to_the_latest_values() -> None:
    hub = Hub("b", WebMetrics())
    hub.publish(update(cell(0.0), points={"speed": {0: 0.0}}))
    viewer, _ = await first_frame(hub)
    for n in range(1, 1000):
        hub.publish(update(cell(float(n)), points={"speed": {k: float(k) for k in range(max(0, n - 3), n + 1)}}))
    caught_up = frame(await anext(viewer))
    assert [one["value"] for one in caught_up["cells"]] == [999.0]
    assert [end for end, _ in caught_up["points"]["speed"]] == [996, 997, 998, 999]


async def test_a_frame_is_serialised_once_for_all_viewers() -> None:
    metrics = WebMetrics()
    hub = Hub("b", metrics)
    hub.publish(update(cell(1.0)))
    viewers = [(await first_frame(hub))[0] for _ in range(50)]
    hub.publish(update(cell(2.0)))
    frames = [await anext(viewer) for viewer in viewers]
    assert len(set(frames)) == 1
    assert count(metrics, "pulso_web_frames_encoded_total") == 2
    assert count(metrics, "pulso_web_frames_total") == 100
    assert count(metrics, "pulso_web_viewers") == 50


async def test_viewers_that_leave_are_not_counted() -> None:
    metrics = WebMetrics()
    hub = Hub("b", metrics)
    hub.publish(update())
    viewer, _ = await first_frame(hub)
    await viewer.aclose()
    assert count(metrics, "pulso_web_viewers") == 0


async def test_closing_ends_every_stream() -> None:
    hub = Hub("b", WebMetrics())
    hub.publish(update())
    viewer, _ = await first_frame(hub)
    waiting = asyncio.ensure_future(anext(viewer, b"ended"))
    await asyncio.sleep(0)
    hub.close()
    assert await waiting == b"ended"


async def test_lists_are_sent_when_they_change_and_emptied_when_they_end() -> None:
    hub = Hub("b", WebMetrics())
    bad = Incident("speed", "coyoacan", "bad", 9.0)
    family = Activity("traffic", 10, 9, 30)
    hub.publish(update(incidents=(bad,), families=(family,)))
    viewer, first = await first_frame(hub)
    assert first["incidents"][0]["zone"] == "coyoacan"
    hub.publish(update(families=(family,)))
    second = frame(await anext(viewer))
    assert second["incidents"] == []
    assert "families" not in second


async def test_a_hub_is_full_when_so_many_watch_and_has_room_when_one_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.live.hub.MOST_VIEWERS", 2)
    hub = Hub("build", WebMetrics())
    hub.publish(update(cell(1.0)))
    one, _ = await first_frame(hub)
    assert not hub.is_full
    _other = await first_frame(hub)
    assert hub.is_full
    await one.aclose()
    assert not hub.is_full
