"""The commands for operators: pulso rejected and pulso things."""

from pathlib import Path

import pytest

from tests.support.command import Command
from tests.support.databases import TestDatabase
from tests.support.operations import MAPPING, reject
from tests.support.web_seed import WebSeed

PATTERN = "plant/+/state"


@pytest.fixture
def pulso(database: TestDatabase, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Command:
    WebSeed(database.dsn).zones()
    return Command(database, tmp_path / "home", capsys)


@pytest.fixture
def mapping(tmp_path: Path) -> str:
    file = tmp_path / "plant.toml"
    file.write_text(MAPPING, encoding="utf-8")
    return str(file)


def states(database: TestDatabase) -> list[object]:
    return [state for (state,) in database.query("SELECT state FROM rejected_message ORDER BY rejected_id")]


# --- pulso rejected ---------------------------------------------------------------------------------------------------


def test_rejected_messages_are_listed_and_filtered(pulso: Command, database: TestDatabase) -> None:
    first = reject(database, reason="unmapped", external_id="bin 7", source="plant")
    second = reject(database, reason="malformed", topic="city/up", seconds=60, decoder="ttn_v3@1")
    assert [each["rejected_id"] for each in pulso("rejected", "list", "--json").json] == [second, first]
    assert [each["rejected_id"] for each in pulso("rejected", "list", "--json", "--device", "bin 7").json] == [first]
    filters = ("--reason", "malformed", "--topic-prefix", "city", "--decoder", "ttn_v3", "--state", "kept",
               "--since", "2026-11-22T18:01:00Z", "--until", "2026-11-22T18:02:00Z")  # fmt: skip
    assert [each["rejected_id"] for each in pulso("rejected", "list", "--json", *filters).json] == [second]
    assert pulso("rejected", "list", "--json", "--since", "1m").json == []
    table = pulso("rejected", "list", "--limit", "1")
    assert "malformed" in table.out
    assert f"--before {second}" in table.out


def test_the_summary_says_what_to_do(pulso: Command, database: TestDatabase) -> None:
    for _ in range(3):
        reject(database, reason="unknown_unit")
    done = pulso("rejected", "summary")
    assert "never guessed" in done.out
    assert pulso("rejected", "summary", "--json").json[0]["messages"] == 3


def test_one_message_is_shown_with_its_bytes_and_what_it_would_be_today(pulso: Command, database: TestDatabase) -> None:
    number = reject(database, topic="pulso/v1/traffic/det-7", payload=b'{"observations": {"speed": 31.5}}',
                    reason="decoder_failed", detail="KeyError: 'speed'", decoder="pulso_json@1")  # fmt: skip
    done = pulso("rejected", "show", str(number))
    for part in ('{"observations": {"speed": 31.5}}', "pulso_json@1", "a fault of this program", "KeyError: 'speed'",
                 "today it would be: ingest", "det-7  speed = 31.5 km/h  at 2026-11-22T18:00:00Z",
                 f"pulso rejected replay {number}"):  # fmt: skip
        assert part in done.out, done.out
    told = pulso("rejected", "show", str(number), "--json").json
    assert bytes.fromhex(told["payload_hex"]) == b'{"observations": {"speed": 31.5}}'
    assert told["today"]["outcome"] == "ingest"
    assert pulso("rejected", "show", str(number), "--raw").out == '{"observations": {"speed": 31.5}}'


def test_bytes_and_text_of_devices_cannot_write_on_the_terminal(pulso: Command, database: TestDatabase) -> None:
    number = reject(database, topic="evil/\x1b[2J/[red]x", payload=b"\x1b]0;owned\x07\x00\xff", detail="\x1b[31m",
                    external_id="[bold]\u202etxt")  # fmt: skip
    for arguments in (("list",), ("show", str(number)), ("summary",)):
        done = pulso("rejected", *arguments)
        assert done.code == 0
        assert "\x1b" not in done.out
        assert "\u202e" not in done.out
    assert "[bold]" in pulso("rejected", "list").out
    assert "1b 5d 30 3b 6f 77 6e 65 64 07 00 ff" in pulso("rejected", "show", str(number)).out


def test_replay_counts_asks_and_queues(pulso: Command, database: TestDatabase) -> None:
    first = reject(database, reason="unmapped")
    reject(database, reason="malformed")
    assert "1 messages to replay" in pulso("rejected", "replay", "--reason", "unmapped", "--dry-run").out
    refused = pulso("rejected", "replay", "--reason", "unmapped", answer="n\n")
    assert refused.code == 1
    assert states(database) == ["kept", "kept"]
    assert pulso("rejected", "replay", str(first), answer="y\n").code == 0
    assert states(database) == ["queued", "kept"]
    assert pulso("rejected", "replay", "--all", "--yes").code == 0
    assert states(database) == ["queued", "queued"]


def test_nothing_is_meant_by_saying_nothing(pulso: Command, database: TestDatabase) -> None:
    reject(database)
    for verb in ("replay", "discard"):
        done = pulso("rejected", verb, "--yes")
        assert done.code == 2
        assert "--all" in done.err
    assert states(database) == ["kept"]


def test_what_was_discarded_can_be_taken_back(pulso: Command, database: TestDatabase) -> None:
    reject(database, reason="empty")
    pulso("rejected", "discard", "--reason", "empty", "--yes")
    assert states(database) == ["discarded"]
    assert "0 messages" in pulso("rejected", "replay", "--all", "--yes").out
    pulso("rejected", "replay", "--all", "--discarded", "--yes")
    assert states(database) == ["queued"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("rejected", "show", "999"), 1, "no rejected message 999"),
        (("rejected", "list", "--since", "yesterday"), 2, "is no time"),
        (("rejected", "list", "--reason", "bad-luck"), 2, "bad-luck"),
        (("things", "show", "nobody"), 1, "no thing 'nobody'"),
        (("things", "retire", "nobody"), 1, "no thing 'nobody'"),
        (("things", "set", "nobody"), 2, "nothing to set"),
        (("things", "adopt", "nobody", "--yes"), 1, "no device 'nobody'"),
        (("things", "adopt", "nobody", "--mapping", "/nowhere.toml"), 1, "no device"),
        (("things", "quarantined", "--show", "nobody"), 1, "nothing of 'nobody'"),
    ],
)
def test_mistakes_are_one_clear_message(pulso: Command, arguments: tuple[str, ...], code: int, says: str) -> None:
    done = pulso(*arguments)
    assert done.code == code, done
    assert says in done.err
    assert "Traceback" not in done.err


# --- pulso things -----------------------------------------------------------------------------------------------------


def test_things_are_listed_shown_and_set(pulso: Command, database: TestDatabase) -> None:
    seed = WebSeed(database.dsn)
    seed.thing("det-1", "traffic", "coyoacan", prop="speed", unit="km/h")
    database.query("INSERT INTO thing (external_id) VALUES ('plant/line 1')")
    reject(database, external_id="plant/line 1", reason="unmapped")

    assert [each["external_id"] for each in pulso("things", "list", "--json").json] == ["det-1", "plant/line 1"]
    assert [each["external_id"] for each in pulso("things", "list", "--json", "--family", "none").json] == [
        "plant/line 1"
    ]
    assert [each["external_id"] for each in pulso("things", "list", "--json", "--zone", "cdmx").json] == ["det-1"]
    newest = pulso("things", "list", "--json", "--newest", "--limit", "1").json
    assert [each["external_id"] for each in newest] == ["plant/line 1"]
    assert "--after goes on by id" in pulso("things", "list", "--newest", "--after", "a").err
    assert "det-1" in pulso("things", "list").out
    shown = pulso("things", "show", "plant/line 1")
    assert "1 messages of it are not understood: unmapped 1" in shown.out
    database.query("INSERT INTO thing_unread SELECT thing_id, '{lvl,radio.q}' FROM thing WHERE external_id = 'det-1'")
    assert "nothing says what it means: lvl, radio.q" in pulso("things", "show", "det-1").out
    assert [each["external_id"] for each in pulso("things", "list", "--json", "--unread").json] == ["det-1"]
    assert pulso("things", "show", "det-1", "--json").json["datastreams"][0]["observed_property"] == "speed"

    done = pulso(
        "things", "set", "plant/line 1", "--family", "energy", "--zone", "tlalpan", "--expected-interval", "900"
    )
    assert "energy, tlalpan, active, every 900 s" in done.out
    refused = pulso("things", "set", "plant/line 1", "--zone", "atlantis")
    assert refused.code == 1
    assert "no zone 'atlantis'; there are cdmx, alvaro_obregon, azcapotzalco" in " ".join(refused.err.split())
    refused = pulso("things", "adopt", "plant/line 1", "--zone", "atlantis", "--yes")
    assert refused.code == 1
    assert "of its last" not in refused.out, "it is refused before anything is tried"
    assert "retired" in pulso("things", "retire", "plant/line 1").out
    assert pulso("things", "list", "--json", "--state", "retired").json[0]["zone_id"] == "tlalpan"


def test_devices_nobody_understands_are_listed_with_the_way_on(pulso: Command, database: TestDatabase) -> None:
    assert "none" in pulso("things", "quarantined").out
    for number in range(7):
        reject(database, topic=f"plant/line-{number}/state", payload=b'{"t": %d}' % number, seconds=number)
    done = pulso("things", "quarantined")
    assert PATTERN in done.out
    assert f"pulso things quarantined --show {PATTERN}" in done.out
    assert pulso("things", "quarantined", "--json").json[0]["messages"] == 7


def test_a_device_is_shown_with_its_last_messages_and_a_proposed_mapping(
    pulso: Command, database: TestDatabase
) -> None:
    for number in range(7):
        reject(database, topic=f"plant/line-{number}/state", seconds=number,
               payload=b'{"temperature": {"value": %d, "unit": "\xc2\xb0C"}}' % number)  # fmt: skip
    done = pulso("things", "quarantined", "--show", PATTERN)
    assert done.code == 0, done.err
    assert '"value": 6' in done.out
    assert '"value": 2' in done.out
    assert '"value": 1,' not in done.out
    assert "[[mapping]]" in done.out
    told = pulso("things", "quarantined", "--show", PATTERN, "--json").json
    assert len(told["last_messages"]) == 5
    assert "[[mapping]]" in told["proposed_mapping"]


def test_a_device_is_adopted_with_a_mapping_of_a_file(pulso: Command, database: TestDatabase, mapping: str) -> None:
    reject(database, topic="plant/line-1/state")
    refused = pulso("things", "adopt", PATTERN, "--mapping", mapping, answer="n\n")
    assert "line-1  temperature = 21.5 °C" in refused.out
    assert states(database) == ["kept"]

    done = pulso("things", "adopt", PATTERN, "--mapping", mapping, "--zone", "coyoacan", "--name", "Line", "--yes")
    assert done.code == 0, done.err
    assert "1 kept messages wait" in done.out
    assert "pulso things show line-1" in done.out
    assert states(database) == ["queued"]
    assert database.query("SELECT external_id, family, zone_id, name FROM thing") == [
        ("line-1", None, "coyoacan", "Line")
    ]
    assert database.query("SELECT document FROM device_document") == [(MAPPING,)]


def test_a_mapping_that_helps_nothing_changes_nothing(pulso: Command, database: TestDatabase, tmp_path: Path) -> None:
    reject(database, topic="plant/line-1/state")
    file = tmp_path / "wrong.toml"
    file.write_text(MAPPING.replace('"t"', '"nothing"'), encoding="utf-8")
    done = pulso("things", "adopt", PATTERN, "--mapping", str(file), "--yes")
    assert done.code == 1
    assert "nothing was changed" in done.err
    file.write_text(MAPPING + "colour = 1\n", encoding="utf-8")
    done = pulso("things", "adopt", PATTERN, "--mapping", str(file), "--yes")
    assert done.code == 2
    assert "colour" in done.err
    assert states(database) == ["kept"]
    assert database.query("SELECT count(*) FROM device_document") == [(0,)]


def test_a_proposed_mapping_can_be_taken_as_it_is(pulso: Command, database: TestDatabase) -> None:
    reject(database, topic="plant/line-1/state", payload=b'{"temperature": 21.5, "humidity": 40}')
    done = pulso("things", "adopt", PATTERN, "--proposed", "--yes")
    assert done.code == 0, done
    assert states(database) == ["queued"]
    assert database.query("SELECT count(*) FROM device_document") == [(1,)]


def test_a_new_device_that_is_understood_only_has_to_be_let_in(pulso: Command, database: TestDatabase) -> None:
    database.query("INSERT INTO thing (external_id, family, state) VALUES ('det-7', 'traffic', 'quarantined')")
    reject(database, topic="pulso/v1/traffic/det-7", payload=b'{"observations": {"speed": 31.5}}',
           reason="unknown_thing", external_id="det-7")  # fmt: skip
    assert pulso("things", "quarantined", "--json").json[0]["device"] == "det-7"
    done = pulso("things", "adopt", "det-7", "--zone", "coyoacan", "--yes")
    assert done.code == 0, done
    assert database.query("SELECT state, zone_id FROM thing") == [("active", "coyoacan")]
    assert states(database) == ["queued"]
    assert database.query("SELECT count(*) FROM device_document") == [(0,)]


def test_a_proposal_that_does_not_know_what_is_measured_is_not_taken(pulso: Command, database: TestDatabase) -> None:
    reject(database, topic="plant/line-1/state", payload=b"21.5")
    assert "[[mapping]]" in pulso("things", "quarantined", "--show", PATTERN).out
    done = pulso("things", "adopt", PATTERN, "--proposed", "--yes")
    assert done.code != 0
    assert states(database) == ["kept"]
    assert database.query("SELECT count(*) FROM device_document") == [(0,)]


def test_what_no_mapping_mends_is_told_its_remedy(pulso: Command, database: TestDatabase) -> None:
    reject(database, topic="spBv1.0/plant/NDATA/n-7", payload=b"\x08\x01", reason="no_birth", external_id="plant/n-7")
    told = pulso("things", "quarantined", "--show", "plant/n-7").out
    assert "A rebirth is asked for by itself" in told
    assert "[[mapping]]" not in told
    assert "adopt" not in told


def test_a_proposal_is_offered_as_it_is_only_if_it_is_complete(pulso: Command, database: TestDatabase) -> None:
    reject(database, topic="plant/line-1/state", payload=b'{"quux": 4}')
    reject(database, topic="house/room-1/co2", payload=b"412")
    told = pulso("things", "quarantined", "--show", PATTERN).out
    assert "--proposed" not in told
    assert "--mapping FILE" in told
    assert "adopt house/+/co2 --proposed" in pulso("things", "quarantined", "--show", "house/+/co2").out


def test_levels_that_name_what_is_measured_are_no_ids(pulso: Command, database: TestDatabase) -> None:
    topics = ("a/s-1/PM2.5", "a/s-2/pm10", "a/s-2/no2", "a/s-2/co27", "spBv1.0/g/NDATA/n1", "v2/x1")
    for topic in topics:
        reject(database, topic=topic)
    listed = {each["device"] for each in pulso("things", "quarantined", "--json").json}
    assert listed == {"a/+/PM2.5", "a/+/pm10", "a/+/no2", "a/+/+", "spBv1.0/g/NDATA/+", "v2/+"}


def test_an_adoption_says_whom_its_settings_are_for_and_what_its_mapping_leaves_open(
    pulso: Command, database: TestDatabase, tmp_path: Path
) -> None:
    for number in range(3):
        reject(database, topic=f"plant/line-{number}/state")
    file = tmp_path / "plant.toml"
    file.write_text(MAPPING + '[[mapping.observation]]\nproperty = "humidity"\nvalue = "rh"\n', encoding="utf-8")
    done = pulso("things", "adopt", PATTERN, "--mapping", str(file), "--zone", "coyoacan", "--yes")
    assert done.code == 0, done.err
    assert "note: rh: not in the message" in done.out
    assert "are set for line-0, line-1, line-2; those to come tell theirs in the mapping" in done.out
    assert "pulso things show line-0  (and 2 more)" in done.out


TTN = (
    b'{"end_device_ids": {"device_id": "bin-7", "application_ids": {"application_id": "city"}},'
    b' "received_at": "2026-11-22T18:00:00Z", "uplink_message": {"f_port": 2, "received_at": "2026-11-22T18:00:00Z",'
    b' "decoded_payload": {"Distance": "812 mm", "Bat": 3.4}}}'
)


def test_a_device_of_a_known_envelope_is_given_a_profile(pulso: Command, database: TestDatabase) -> None:
    reject(database, topic="v3/city@tenant/devices/bin-7/up", payload=TTN, reason="unmapped", external_id="bin-7")
    unknown = pulso("things", "adopt", "bin-7", "--profile", "no-such-profile", "--yes")
    assert unknown.code == 2
    assert "no-such-profile" in unknown.err

    done = pulso("things", "adopt", "bin-7", "--profile", "dragino_distance", "--yes")
    assert done.code == 0, done
    assert "bin-7  distance = 812 mm" in done.out
    assert states(database) == ["queued"]
    ((document,),) = database.query("SELECT document FROM device_document")
    assert 'devices = ["bin-7"]' in str(document)


def test_devices_without_an_id_are_given_a_profile_by_their_topics(pulso: Command, database: TestDatabase) -> None:
    for number in (1, 2):
        payload = TTN.replace(b"bin-7", b"bin-%d" % number)
        reject(database, topic=f"lora/gw{number}/v3/up", payload=payload, reason="unmapped")
    done = pulso("things", "adopt", "lora/+/v3/up", "--profile", "dragino_distance", "--yes")
    assert done.code == 0, done
    assert "bin-2  distance = 812 mm" in done.out
    assert states(database) == ["queued", "queued"]


SHIFTED = """
[[mapping]]
name = "NAME"
topic = "plant/{line}/state"
thing = "{line}"

[[mapping.observation]]
property = "temperature"
value = "t"
unit = "°C"
offset = OFFSET
"""


def test_what_is_adopted_last_is_asked_first_and_can_be_removed(
    pulso: Command, database: TestDatabase, tmp_path: Path
) -> None:
    def adopt(device: str, name: str, offset: float) -> None:
        file = tmp_path / f"{name}.toml"
        file.write_text(SHIFTED.replace("NAME", name).replace("OFFSET", str(offset)), encoding="utf-8")
        assert pulso("things", "adopt", device, "--mapping", str(file), "--yes").code == 0

    reject(database, topic="plant/line-1/state", payload=b'{"t": 20}', reason="unknown_topic")
    adopt("plant/+/state", "zz", 1)
    database.query("UPDATE device_document SET adopted_at = adopted_at - interval '1 minute'")
    adopt("line-1", "aa", 2)  # which comes first by name, and last in time

    listed = pulso("things", "mappings", "--json").json
    assert [each["name"] for each in listed] == ["adopted-line-1", listed[1]["name"]]
    assert 'name = "aa"' in pulso("things", "mappings", "--show", "adopted-line-1").out
    (first, _) = (line for line in pulso("things", "mappings").out.splitlines() if "adopted-" in line)
    assert "adopted-line-1" in first

    adopt("plant/+/state", "zz", 3)  # nothing of it is kept any more; its mapping is replaced all the same
    assert [each["name"] for each in pulso("things", "mappings", "--json").json][1] == "adopted-line-1"
    assert "removed" in pulso("things", "mappings", "--remove", "adopted-line-1").out
    assert pulso("things", "mappings", "--remove", "adopted-line-1").code == 2
    assert len(pulso("things", "mappings", "--json").json) == 1
