"""`pulso decode` as it is called: bytes in, JSON out; faults of the caller end with code 2 and say what is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ingest.commands.decode_command import app
from pulso.errors import ConfigurationError

DOCS = Path(__file__).parents[2] / "docs" / "reference" / "decode.md"
MAPPING = """
[[mapping]]
name = "box"
topic = "acme/{box}"
thing = "{box}"

[[mapping.observation]]
property = "temperature"
value = "t"
unit = "degF"
"""


def decode(payload: bytes, *options: str) -> Result:
    return CliRunner().invoke(app, list(options), input=payload)


def answer(payload: bytes, *options: str) -> dict[str, Any]:
    done = decode(payload, *options)
    assert done.exit_code == 0, done.exception
    decoded: dict[str, Any] = json.loads(done.stdout_bytes)
    return decoded


def fault(*options: str) -> str:
    """What the caller is told of a fault of theirs; nothing is printed then."""
    done = decode(b"{}", *options)
    assert isinstance(done.exception, ConfigurationError)
    assert done.stdout_bytes == b""
    return str(done.exception)


def test_the_whole_command_leaves_with_code_2_for_a_fault_of_the_caller() -> None:
    command = [sys.executable, "-m", "pulso", "decode", "--topic", "x", "--timezone", "Mars/Olympus"]
    done = subprocess.run(command, input=b"{}", capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert "America/Mexico_City" in done.stderr.decode()


def test_the_example_of_the_page() -> None:
    page = DOCS.read_text(encoding="utf-8")
    payload = re.findall(r"echo '(.*?)' \| pulso decode --topic (\S+)", page)
    (expected,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    (text, topic) = payload[0]
    assert answer(text.encode(), "--topic", topic, "--received-at", "2026-11-22T18:00:00Z") == json.loads(expected)


def test_a_unit_is_converted_and_the_sent_one_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "box.toml"
    file.write_text(MAPPING, encoding="utf-8")
    told = answer(b'{"t": 50}', "--topic", "acme/7", "--mapping", str(file), "--received-at", "2026-11-22T18:00:00")
    (row,) = told["observations"]
    assert (row["result"], row["unit"], row["sent_result"], row["sent_unit"]) == (10.0, "°C", 50.0, "degF")
    assert (row["thing_id"], row["phenomenon_time"]) == ("7", "2026-11-22T18:00:00Z")


@pytest.mark.parametrize("payload", [b"", b"\xff\xfe\x00", b"[" * 10_000, b"nonsense", b"{}"])
def test_any_payload_has_an_answer(payload: bytes) -> None:
    told = answer(payload, "--topic", "nobody/knows")
    assert told["outcome"] == "quarantine"
    assert told["reason"]
    assert told["observations"] == []


def test_a_stamp_ahead_of_receipt_is_quarantined() -> None:
    payload = b'{"phenomenon_time": "2026-11-22T18:06:00Z", "observations": {"speed": 3}}'
    told = answer(payload, "--topic", "pulso/v1/traffic/x", "--received-at", "2026-11-22T18:00:00Z")
    assert told["outcome"] == "quarantine"
    assert "future_timestamp" in told["reason"]


def test_what_cannot_be_is_flagged() -> None:
    (row,) = answer(b'{"observations": {"humidity": 140}}', "--topic", "pulso/v1/air/x")["observations"]
    assert row["quality"] == "fail"


def test_the_clock_of_the_site_counts_for_times_without_a_zone() -> None:
    payload = b'{"Time": "2026-01-15T12:00:00", "ENERGY": {"Power": 5}}'
    for zone, hour in (("UTC", 12), ("America/Mexico_City", 18), ("America/Tijuana", 20)):
        (row,) = answer(payload, "--topic", "tele/plug/SENSOR", "--timezone", zone)["observations"]
        assert row["phenomenon_time"] == f"2026-01-15T{hour}:00:00Z"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--mapping", "no-such-file.toml"), "no-such-file.toml"),
        (("--received-at", "yesterday"), "2026-11-22T18:00:00Z"),
        (("--timezone", "Mars/Olympus"), "America/Mexico_City"),
    ],
)
def test_a_faulty_option_is_named(options: tuple[str, str], told: str) -> None:
    assert told in fault("--topic", "x", *options)


def test_a_faulty_mapping_is_named_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "box.toml"
    file.write_text(MAPPING.replace("degF", "furlong"), encoding="utf-8")
    told = fault("--topic", "acme/7", "--mapping", str(file))
    assert f"{file}:10:" in told
    assert "furlong" in told


def test_a_proposal_can_be_used_as_it_is(tmp_path: Path) -> None:
    payload = b'{"ts": 1795370400, "pm25_ugm3": 18.4}'
    file = tmp_path / "proposed.toml"
    file.write_bytes(decode(payload, "--topic", "acme/7/report", "--propose").stdout_bytes)
    (row,) = answer(payload, "--topic", "acme/7/report", "--mapping", str(file))["observations"]
    assert (row["observed_property"], row["result"], row["unit"]) == ("pm2_5", 18.4, "µg/m³")
