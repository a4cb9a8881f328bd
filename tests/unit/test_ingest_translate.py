"""Messages to rows, without a database: what is registered first, what is refused, what the broker may send twice."""

from collections.abc import Mapping
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from ingest.decoders import decoders, matches
from ingest.interpret import Interpreter
from ingest.mapping import load_devices
from ingest.memory import Memory
from ingest.message import RawMessage
from ingest.translate import Translator, Understood
from pulso.db.things import DatastreamKey, Introduced, Registered
from pulso.errors import DecodeError, RejectReason
from pulso.model import DatastreamId, Family, ThingId, ThingState, from_micros, to_micros
from tests.support.examples import SOIL, Example, examples_of, payload_of

NOW = to_micros(datetime(2026, 11, 22, 18, tzinfo=UTC))


def translator(documents: Mapping[str, str] | None = None) -> Translator:
    memory = Memory()
    interpreter = Interpreter(load_devices([], documents or {}), ZoneInfo("America/Mexico_City"), memory)
    return Translator(interpreter, memory, frozenset(), max_ahead=300.0)


def message(topic: str, payload: str | bytes, *, retained: bool = False) -> RawMessage:
    return RawMessage(topic, payload.encode() if isinstance(payload, str) else payload, NOW, retained=retained)


def register(translating: Translator, understood: Understood, state: ThingState = ThingState.ACTIVE) -> None:
    """As the database would."""
    translating.learn(
        {
            key: Registered(Introduced(ThingId(1), new.family, state), (DatastreamId(number), new.unit))
            for number, (key, new) in enumerate(understood.unknown.items(), 1)
        }
    )


def reasons(understood: Understood) -> dict[int, str]:
    return {place: each.reason for place, each in understood.rejected.items()}


def test_a_property_of_the_integrators_own_is_never_taken_without_its_unit() -> None:
    translating = translator({"soil": SOIL})
    stated, unstated = (
        message("soil/p1", '{"m": 30}'),
        message("pulso/v1/air/p1", '{"observations":{"soil_moisture":31}}'),
    )
    first = translating.understand([stated, unstated])
    assert reasons(first) == {1: RejectReason.UNKNOWN_PROPERTY}
    register(translating, first)
    again = translating.understand([stated, unstated])
    assert again.rows.result == [30.0]
    assert reasons(again) == {1: RejectReason.UNIT_MISMATCH}, "also when the property is known by then"


@pytest.mark.parametrize(
    ("ahead", "hint"), [(3598, "nearly 1 h"), (7300, "nearly 2 h"), (5000, ""), (400, ""), (3_600_000, "")]
)
def test_a_time_that_is_ahead_by_whole_hours_is_said_to_be_one_of_another_zone(ahead: int, hint: str) -> None:
    body = (
        b'{"phenomenon_time":"%s","observations":{"speed":3}}'
        % from_micros(NOW + ahead * 1_000_000).isoformat().encode()
    )
    (rejected,) = translator().understand([message("pulso/v1/traffic/a", body)]).rejected.values()
    assert rejected.reason is RejectReason.FUTURE_TIMESTAMP
    assert f"{ahead} s ahead of receipt" in rejected.detail
    assert hint in rejected.detail
    assert hint or "nearly" not in rejected.detail


def test_one_bad_observation_leaves_no_row_of_its_message() -> None:
    translating = translator()
    good = message("pulso/v1/traffic/a", '{"observations":{"speed":30}}')
    first = translating.understand([good])
    register(translating, first)
    bad = message("pulso/v1/traffic/a", '[{"observations":{"speed":31}},{"observations":{"speed":1e300}}]')
    mixed = translating.understand([good, bad, good])
    assert mixed.rows.message == [0, 2]
    assert list(mixed.rejected) == [1]
    assert mixed.rejected[1].external_id in (None, "a")


def test_rows_stand_in_the_order_of_their_messages_also_if_a_datastream_is_new() -> None:
    translating = translator()
    register(translating, translating.understand([message("pulso/v1/air/a", b'{"observations":{"co2":400}}')]))
    batch = [
        message("pulso/v1/air/a", b'{"observations":{"co2":410,"temperature":{"result":68,"unit":"\xc2\xb0F"}}}'),
        message("pulso/v1/air/a", b'{"observations":{"co2":420}}'),
    ]
    understood = translating.understand(batch)
    assert list(understood.waiting) == [0]
    register(translating, understood)
    translating.resolve(batch, understood)
    assert understood.rows.message == [0, 0, 1]
    assert understood.rows.result == [410.0, 20.0, 420.0]
    assert understood.rows.sent == {1: (68.0, "°F")}


def test_a_thing_that_does_not_count_is_registered_and_its_messages_are_put_aside() -> None:
    translating = translator()
    batch = [message("pulso/v1/traffic/a", '{"observations":{"speed":30}}')]
    first = translating.understand(batch)
    assert list(first.unknown) == [DatastreamKey("a", Family.TRAFFIC, "speed")]
    register(translating, first, ThingState.QUARANTINED)
    translating.resolve(batch, first)
    assert (reasons(first), len(first.rows)) == ({0: RejectReason.UNKNOWN_THING}, 0)
    assert first.rejected[0].decoder == "pulso_json@1"
    assert reasons(translating.understand(batch)) == {0: RejectReason.UNKNOWN_THING}
    translating.forget_things()
    assert list(translating.understand(batch).waiting) == [0], "it is looked up anew"


def test_bytes_that_cannot_be_cleaned_of_personal_data_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    translating = translator()

    def fail(_: RawMessage) -> bytes:
        raise ZeroDivisionError

    monkeypatch.setattr(translating.interpreter, "redacted", fail)
    kept = translating.reject(message("a", '{"plate":"AB-12"}'), DecodeError(RejectReason.MALFORMED, ""))
    assert kept.payload == b""


def retained_examples() -> list[tuple[str, str, Example]]:
    """Examples on topics that are asked for beside the shared subscription, so that new messages come twice."""
    return [
        (entry.name, example["name"], example)
        for entry in decoders.values()
        for example in examples_of(entry.name)
        if any(matches(tuple(each.split("/")), example["topic"].split("/")) for each in entry.retained)
    ]


@pytest.mark.parametrize(("name", "title", "example"), retained_examples())
def test_what_may_be_delivered_twice_measures_nothing_without_a_time(name: str, title: str, example: Example) -> None:
    """The second time is taken for retained, or a value without a time would be stored at two times of receipt."""
    translating = translator()
    given = message(example["topic"], payload_of(example), retained=True)
    understood = translating.understand([given])
    if understood.unknown:
        register(translating, understood)
        translating.resolve([given], understood)
    assert NOW not in understood.rows.phenomenon_time


def test_numbers_without_a_meaning_are_named_once_and_again_when_that_changes() -> None:
    translating = translator()
    uplink = "v3/city@ttn/devices/%s/up"
    partly = '{"end_device_ids":{"device_id":"%s"},"uplink_message":{"decoded_payload":{"temperature":21.5%s}}}'

    def sends(thing: str, more: str = "") -> None:
        batch = [message(uplink % thing, partly % (thing, more))]
        understood = translating.understand(batch)
        register(translating, understood)
        translating.resolve(batch, understood)

    translating.understand([message(uplink % "bin-1", partly % ("bin-1", ',"lvl":40'))])
    assert translating.take_unread() == {}, "it is no thing yet, so nobody could keep it"
    sends("bin-1", ',"lvl":40,"mode":"auto"')
    sends("box-2")
    assert translating.take_unread() == {"bin-1": ["lvl"], "box-2": []}
    translating.put_back_unread(["bin-1", "box-2", "stranger"])
    assert translating.take_unread() == {"bin-1": ["lvl"], "box-2": []}
    sends("bin-1", ',"lvl":41')
    assert translating.take_unread() == {}
    sends("bin-1", ',"tilt":3')
    assert translating.take_unread() == {"bin-1": ["lvl", "tilt"]}
    translating.forget_things()
    sends("bin-1")
    assert translating.take_unread() == {"bin-1": []}, "a changed profile may read it all"
