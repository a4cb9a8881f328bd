"""`pulso replay` with a real broker."""

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulso.settings import MqttSettings
from sensors_sim.publish import Publisher
from sensors_sim.replay import detect_profile, read_series
from tests.support.servers import MosquittoBroker
from tests.support.waiting import eventually

FILE = """FECHA,HORA,AAA,BBB
2024-01-01,1,12,-99
2024-01-01,2,13,40
2024-01-01,x,1,1
2024-01-01,24,14.5,41
"""


@pytest.fixture
def series(tmp_path: Path) -> Path:
    path = tmp_path / "net_PM25_2024.csv"
    path.write_text(FILE)
    return path


async def replay(broker: MosquittoBroker, *arguments: object) -> tuple[int, str, str]:
    command = (sys.executable, "-m", "sensors_sim.replay", "--port", str(broker.port), *map(str, arguments))
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=pipe)
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), errors.decode()


async def heard(broker: MosquittoBroker, count: int, *arguments: object) -> tuple[list[tuple[str, bytes]], str, str]:
    """The `count` messages that a replay publishes, and what it prints."""
    messages: list[tuple[str, bytes]] = []
    subscriptions = {"pulso/v1/#": lambda topic, payload: messages.append((topic, payload))}
    async with Publisher(MqttSettings(port=broker.port), "listener", subscriptions=subscriptions) as listener:
        await listener.wait_connected(timedelta(seconds=10))
        code, out, errors = await replay(broker, *arguments)
        assert code == 0, errors
        await eventually(lambda: len(messages) >= count)
    assert len(messages) == count
    return messages, out, errors


async def test_a_series_is_published_with_its_own_times_in_order(broker: MosquittoBroker, series: Path):
    messages, out, errors = await heard(broker, 2 + 5, series, "--zone", "tlalpan")
    about = {topic: json.loads(payload) for topic, payload in messages if topic.endswith("/about")}
    assert about["pulso/v1/air/rama-AAA/about"]["zone"] == "tlalpan"
    assert about["pulso/v1/air/rama-AAA/about"]["expected_interval"] == 3600
    ends = datetime.fromtimestamp(about["pulso/v1/air/rama-AAA/about"]["properties"]["in_service_until"], UTC)
    assert ends == datetime(2024, 1, 2, 6, tzinfo=UTC), "one interval after the last value"
    values = [(topic, json.loads(payload)) for topic, payload in messages if not topic.endswith("/about")]
    assert [(topic.split("/")[3], document["phenomenon_time"]) for topic, document in values] == [
        ("rama-AAA", "2024-01-01T06:00:00Z"),
        ("rama-AAA", "2024-01-01T07:00:00Z"),
        ("rama-BBB", "2024-01-01T07:00:00Z"),
        ("rama-AAA", "2024-01-02T05:00:00Z"),
        ("rama-BBB", "2024-01-02T05:00:00Z"),
    ]
    assert values[3][1]["observations"] == {"pm2_5": {"result": 14.5, "unit": "ug/m3"}}
    assert "5 values, 1 missing, 1 bad" in out
    assert "line 4" in errors


async def test_as_now_moves_a_series_to_the_present(broker: MosquittoBroker, series: Path):
    messages, _, _ = await heard(broker, 2 + 5, series, "--as-now")
    times = [json.loads(payload).get("phenomenon_time") for _, payload in messages]
    newest = datetime.fromisoformat(max(filter(None, times)))
    assert timedelta(0) <= datetime.now(UTC) - newest < timedelta(hours=1, minutes=1)


async def test_speed_spreads_the_record_over_time(broker: MosquittoBroker, series: Path):
    began = asyncio.get_running_loop().time()
    await heard(broker, 2 + 5, series, "--speed", 23 * 3600)  # 23 hours in a second
    assert asyncio.get_running_loop().time() - began > 1.0


async def test_a_dry_run_publishes_nothing(broker: MosquittoBroker, series: Path):
    _, out, _ = await heard(broker, 0, series, "--dry-run")
    assert "mean 24.1" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "which file?"),
        (["nowhere.csv"], "cannot be read"),
        (["{series}", "--speed", "-1"], "a number above 0, or max"),
        (["{series}", "--zone", "atlantis"], "atlantis"),
        (["{series}", "--profile", "lcl_raw"], "needs columns that are not there"),
    ],
)
async def test_a_wrong_wish_is_one_clear_message(
    broker: MosquittoBroker, series: Path, arguments: list[str], complaint: str
):
    code, _, errors = await replay(broker, *(argument.format(series=series) for argument in arguments))
    assert code in (1, 2)
    assert complaint in errors
    assert "Traceback" not in errors


async def test_a_recorded_series_arrives_whole(broker: MosquittoBroker, real_data: Path):
    path = real_data / "series" / "traffic_mndot_speed_6005.csv"
    rows = list(read_series(path, detect_profile(path)[1]))
    messages, _, _ = await heard(broker, 1 + len(rows), path)
    documents = [json.loads(payload) for topic, payload in messages if not topic.endswith("/about")]
    assert [document["observations"]["speed"]["result"] for document in documents] == [row.result for row in rows]
