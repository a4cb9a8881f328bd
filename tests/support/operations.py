"""Rows for the tests of operations."""

import hashlib
from datetime import UTC, datetime, timedelta

from tests.support.databases import TestDatabase

NOON = datetime(2026, 11, 22, 18, tzinfo=UTC)

MAPPING = """
[[mapping]]
name = "plant"
topic = "plant/{line}/state"
thing = "{line}"
family = "energy"

[[mapping.observation]]
property = "temperature"
value = "t"
unit = "°C"
"""
"""A device for these tests, in the mapping language."""


def reject(
    database: TestDatabase,
    *,
    topic: str = "plant/line-1/state",
    payload: bytes = b'{"t": 21.5}',
    reason: str = "unknown_topic",
    detail: str = "no decoder",
    external_id: str | None = None,
    source: str | None = None,
    decoder: str | None = None,
    seconds: float = 0,
    at: datetime = NOON,
    state: str = "kept",
    content_type: str | None = None,
) -> int:
    """One rejected message, received `seconds` after `at`; returns its id."""
    rows = database.query(
        "INSERT INTO rejected_message (received_at, topic, payload, reason, detail, external_id, source, decoder,"
        " fingerprint, state, content_type)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s) RETURNING rejected_id",
        at + timedelta(seconds=seconds), topic, payload, reason, detail, external_id, source, decoder,
        hashlib.sha256(payload).digest(), state, content_type,
    )  # fmt: skip
    return int(str(rows[0][0]))
