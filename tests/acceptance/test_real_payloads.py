"""Messages of real devices, recorded or documented by others, through the dry run: what a right ingest must extract.

The cases are read from the folder of real data and never copied. Where a case needs one, its mapping stands in
tests/support/mappings, written as an integrator would.
"""

import base64
import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ingest.dry_run import dry_run

REAL = Path(os.environ.get("PULSO_REAL_DATA") or Path(__file__).parents[3] / "shared" / "real") / "payloads"
MAPPINGS = Path(__file__).parents[1] / "support" / "mappings"
RECEIVED_AT = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)


def cases() -> list[Any]:
    if not REAL.is_dir():
        reason = f"no real messages in {REAL}: set PULSO_REAL_DATA"
        return [pytest.param({}, marks=pytest.mark.skip(reason=reason), id="none")]
    return [
        pytest.param(case, id=case["id"])
        for file in sorted(REAL.glob("*.json"))
        for case in json.loads(file.read_text(encoding="utf-8"))
    ]


def payload_of(case: dict[str, Any]) -> bytes:
    if "payload_b64" in case:
        return base64.b64decode(case["payload_b64"])
    return str(case["payload_text"] if "payload_text" in case else json.dumps(case["payload"])).encode()


def understood(case: dict[str, Any]) -> dict[str, Any]:
    mapping = MAPPINGS / f"{case['id']}.toml"
    assert mapping.exists() == (case["needs_mapping"] != "none"), "exactly the cases that need a mapping have one"
    return dry_run(
        case["topic"],
        payload_of(case),
        mapping=mapping.read_text(encoding="utf-8") if mapping.exists() else None,
        received_at=RECEIVED_AT,
        timezone=case["expected"].get("site_timezone"),
    )


def moment(text: str) -> datetime:
    return RECEIVED_AT if text == "receive_time" else datetime.fromisoformat(text)


def admitted_times(case: dict[str, Any], measurement: dict[str, Any]) -> list[datetime]:
    expected = case["expected"]
    told = measurement.get("timestamp", expected["timestamp"])
    told_otherwise = expected.get("alternative_timestamps", [])
    others = [each for each in told_otherwise if each[:1].isdigit() or each == "receive_time"]
    return [RECEIVED_AT if told is None else moment(told), *map(moment, others)]


@pytest.mark.parametrize("case", cases())
def test_a_real_message_is_understood_as_it_must_be(case: dict[str, Any]) -> None:
    expected, answer = case["expected"], understood(case)
    assert answer["outcome"] == expected["outcome"], answer["reason"]
    observations: list[dict[str, Any]] = answer["observations"]
    for measurement in expected["measurements"]:
        found = [each for each in observations if each["observed_property"] == measurement["metric"]]
        if not found and measurement["metric"] in expected.get("optional", []):
            continue
        if measurement["unit"] is None:  # the case leaves it to the mapping what was observed
            found = observations
        assert len(found) == 1, f"{measurement['metric']} once, not {len(found)} times, in {observations}"
        (one,) = found
        tolerance = expected.get("value_tolerance", 1e-9)
        assert one["result"] == pytest.approx(measurement["value"], rel=tolerance, abs=1e-12)
        assert measurement["unit"] in (None, one["unit"])
        stable = str(expected.get("device_alternative", "")).partition(" ")[0]
        assert one["thing_id"] in (measurement.get("device_id") or expected["device_id"], stable or None)
        at = datetime.fromisoformat(one["phenomenon_time"])
        slack = timedelta(seconds=expected.get("timestamp_tolerance_s", 0), milliseconds=1)
        assert any(abs(at - admitted) <= slack for admitted in admitted_times(case, measurement)), one
    if expected["outcome"] != "ingest":
        assert observations == []
    things: list[dict[str, Any]] = answer["things"]
    if expected["outcome"] in ("ingest", "undecoded", "metadata") and expected["device_id"] and not stable_id(case):
        assert expected["device_id"] in {thing["thing_id"] for thing in things}
    if expected["family"] and expected["outcome"] == "ingest":
        assert {thing["family"] for thing in things} == {expected["family"]}


def stable_id(case: dict[str, Any]) -> bool:
    """Whether the device is told by another name than the case's own."""
    return "device_alternative" in case["expected"]
