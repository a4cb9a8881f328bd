"""Operations over HTTP: the books, dead letters, quarantine and adoption, the dry run; and who may change what."""

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from typing import Any
from urllib.parse import quote, urlencode

import pytest

from tests.support.databases import DatabaseServer, TestDatabase
from tests.support.operations import MAPPING, NOON, reject
from tests.support.web_process import WebProcess, running_web
from tests.support.web_seed import WebSeed


class Web:
    """One web process with the database behind it."""

    def __init__(self, process: WebProcess, database: TestDatabase) -> None:
        self.process = process
        self.database = database

    def ask(self, path: str, body: object = None, headers: dict[str, str] | None = None, **query: object) -> "Answer":
        """GET, or POST if there is a body; bytes as they are, everything else as JSON."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if data is not None else {}
        connection = HTTPConnection("127.0.0.1", self.process.port, timeout=30)
        address = f"/api/v1{path}" + (f"?{urlencode(query)}" if query else "")
        connection.request("GET" if data is None else "POST", address, data, {**sent, **(headers or {})})
        answer = Answer(connection)
        connection.close()
        return answer


class Answer:
    def __init__(self, connection: HTTPConnection) -> None:
        response = connection.getresponse()
        self.bytes = response.read()
        self.status = response.status
        self.headers = response.headers
        self.body: dict[str, Any] = (
            json.loads(self.bytes) if "json" in response.headers.get_content_type() else {"text": self.bytes}
        )

    @property
    def problem(self) -> str:
        assert self.headers.get_content_type() == "application/problem+json", self.body
        return f"{self.status} {self.body['detail']}"


@pytest.fixture(scope="module")
def running(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with database_server.new() as database:
        WebSeed(database.dsn).zones()
        with running_web(database.dsn, tmp_path_factory.mktemp("web")) as process:
            yield Web(process, database)


@pytest.fixture
def web(running: Web) -> Web:
    """The process, with nothing in the tables."""
    for table in ("rejected_message", "device_document", "datastream", "thing", "ingest_ledger", "ingest_session"):
        running.database.query(f"DELETE FROM {table}")
    return running


# --- the books --------------------------------------------------------------------------------------------------------


def book(web: Web, source: str, minute: datetime, received: int, stored: int, *, in_flight: int = 0) -> None:
    web.database.query("INSERT INTO ingest_session (worker) SELECT 'w' WHERE NOT EXISTS (SELECT FROM ingest_session)")
    web.database.query(
        "INSERT INTO ingest_ledger (session_id, source, minute, received, stored, in_flight)"
        " SELECT max(session_id), %s, %s, %s, %s, %s FROM ingest_session",
        source, minute, received, stored, in_flight,
    )  # fmt: skip


def test_the_books_are_shown_by_source_and_minute_with_what_is_missing(web: Web) -> None:
    for minute in range(3):
        book(web, "plant", NOON + timedelta(minutes=minute), 10, 9, in_flight=1)
    book(web, "city", NOON, 5, 3)
    span = {"since": NOON.isoformat(), "until": (NOON + timedelta(hours=1)).isoformat()}
    answer = web.ask("/operations/balance", **span).body

    assert [(line["source"], line["received"], line["in_flight"], line["difference"]) for line in answer["items"]] == [
        ("plant", 10, 1, 0), ("plant", 10, 1, 0), ("city", 5, 0, 2), ("plant", 10, 1, 0),
    ]  # fmt: skip
    assert (answer["balanced"], answer["total"]["received"], answer["total"]["difference"]) == (False, 35, 2)
    assert web.ask("/operations/balance", source="plant", **span).body["balanced"] is True
    assert len(web.ask("/operations/balance", step="hour", **span).body["items"]) == 2

    first = web.ask("/operations/balance", limit=3, **span).body
    second = web.ask("/operations/balance", limit=3, cursor=first["next"], **span).body
    assert [first["next"] is None, second["next"]] == [False, None]
    assert first["items"] + second["items"] == answer["items"]


def test_without_a_range_the_last_hour_is_meant(web: Web) -> None:
    minute = datetime.now(UTC).replace(second=0, microsecond=0)
    book(web, "plant", minute, 1, 1)
    book(web, "plant", minute - timedelta(hours=2), 1, 1)
    answer = web.ask("/operations/balance").body
    assert answer["total"]["received"] == 1
    assert answer["balanced"] is True


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ({"since": "2026-11-22T18:00:00Z", "until": "2026-11-22T18:00:00Z"}, "not after since"),
        ({"since": "2026-01-01T00:00:00Z", "until": "2026-11-22T18:00:00Z"}, "at most 31"),
        ({"since": "yesterday"}, "since"),
        ({"step": "second"}, "step"),
        ({"cursor": "bm9uZQ"}, "cursor"),
        ({"source": "\x00"}, "source"),
    ],
)
def test_bad_ranges_of_the_books_are_refused(web: Web, query: dict[str, str], says: str) -> None:
    problem = web.ask("/operations/balance", **query).problem
    assert problem.startswith("422 ")
    assert says in problem


# --- dead letters -----------------------------------------------------------------------------------------------------


def test_rejected_messages_are_listed_filtered_and_paged(web: Web) -> None:
    made = [
        reject(web.database, seconds=number, reason="unmapped" if number % 2 else "malformed") for number in range(5)
    ]
    assert [each["id"] for each in web.ask("/operations/rejected").body["items"]] == made[::-1]
    assert [each["id"] for each in web.ask("/operations/rejected", reason="unmapped").body["items"]] == [
        made[3],
        made[1],
    ]
    first = web.ask("/operations/rejected", limit=3).body
    second = web.ask("/operations/rejected", limit=3, cursor=first["next"]).body
    assert [each["id"] for each in first["items"] + second["items"]] == made[::-1]
    counts = {each["reason"]: each["messages"] for each in web.ask("/operations/rejected/summary").body["items"]}
    assert counts == {"malformed": 3, "unmapped": 2}


def test_one_message_says_what_its_reason_means_and_gives_its_bytes(web: Web) -> None:
    number = reject(web.database, payload=b"\x00\xff\n", reason="unknown_unit", decoder="senml@1")
    answer = web.ask(f"/operations/rejected/{number}").body
    assert (answer["decoder"], answer["size"], answer["state"]) == ("senml@1", 3, "kept")
    assert "never guessed" in answer["meaning"]
    assert "mapping" in answer["remedy"]
    download = web.ask(f"/operations/rejected/{number}/payload")
    assert download.bytes == b"\x00\xff\n"
    assert download.headers["content-type"] == "application/octet-stream"
    assert download.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize("path", ["/operations/rejected/999999", "/operations/rejected/999999/payload",
                                  "/operations/rejected/none", "/operations/nothing"])  # fmt: skip
def test_what_is_not_there_is_a_404(web: Web, path: str) -> None:
    assert web.ask(path).problem.startswith("404 ")


def test_a_selection_is_counted_queued_and_discarded(web: Web) -> None:
    first = reject(web.database, reason="unmapped")
    second = reject(web.database, reason="malformed")
    assert web.ask("/operations/rejected/replay", {"reason": "unmapped", "dry_run": True}).body == {
        "messages": 1, "dry_run": True,
    }  # fmt: skip
    assert web.ask("/operations/rejected/replay", {"reason": "unmapped"}).body["messages"] == 1
    assert web.ask("/operations/rejected/discard", {"ids": [first, second]}).body["messages"] == 1
    assert web.database.query("SELECT state FROM rejected_message ORDER BY rejected_id") == [
        ("queued",), ("discarded",),
    ]  # fmt: skip
    again = web.ask("/operations/rejected/replay", {"everything": True, "state": "discarded"})
    assert again.body["messages"] == 1


@pytest.mark.parametrize("body", [{}, {"ids": [0]}, {"ids": ["x"]}, {"reason": "bad luck"}, {"colour": "red"},
                                  {"since": "2026-11-22T18:00:00"}, {"device": "\x00"}, [], 7])  # fmt: skip
def test_a_selection_that_says_nothing_or_nonsense_is_refused(web: Web, body: object) -> None:
    reject(web.database)
    assert web.ask("/operations/rejected/replay", body).problem.startswith("422 ")
    assert web.database.query("SELECT state FROM rejected_message") == [("kept",)]


# --- who may change something -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:8050"}, 200),
        ({"Host": "[::1]:8050"}, 200),
        ({"Host": "pulso.example.org"}, 403),  # a name that was turned to this machine
        ({"Host": "127.0.0.1.example.org"}, 403),
        ({"X-Forwarded-For": "203.0.113.7"}, 403),
        ({"X-Forwarded-For": "127.0.0.1"}, 403),
        ({"Forwarded": "for=203.0.113.7"}, 403),
        ({"X-Real-IP": "203.0.113.7"}, 403),
        ({"Origin": "https://example.org"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:8050", "Host": "localhost:8050"}, 200),
        ({"Origin": "http://localhost:9999", "Host": "localhost:8050"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ""}, 415),
    ],
)
def test_only_this_machine_may_change_something(web: Web, headers: dict[str, str], status: int) -> None:
    number = reject(web.database)
    answer = web.ask("/operations/rejected/replay", {"ids": [number]}, headers)
    assert answer.status == status, answer.body
    assert web.database.query("SELECT state FROM rejected_message") == [("queued" if status == 200 else "kept",)]
    assert web.ask("/things/x/adopt", {}, headers).status == (404 if status == 200 else status)


def test_bytes_are_for_this_machine_alone(web: Web) -> None:
    number = reject(web.database)
    assert web.ask(f"/operations/rejected/{number}/payload", headers={"Host": "wall.example.org"}).status == 403
    assert web.ask(f"/operations/rejected/{number}", headers={"Host": "wall.example.org"}).status == 200


def test_other_methods_say_which_one_is_taken(web: Web) -> None:
    for path, allowed in (
        ("/decode", "POST"),
        ("/operations/rejected/replay", "POST"),
        ("/things/x/adopt", "GET, POST"),
    ):
        connection = HTTPConnection("127.0.0.1", web.process.port, timeout=10)
        connection.request("DELETE", f"/api/v1{path}")
        response = connection.getresponse()
        assert (response.status, response.headers["allow"]) == (405, allowed), path
        connection.close()
    assert web.ask("/decode").status == 405


# --- quarantine and adoption ------------------------------------------------------------------------------------------


def test_devices_nobody_understands_are_listed(web: Web) -> None:
    reject(web.database, external_id="bin 7/a", reason="unmapped", seconds=5)
    reject(web.database, topic="acme/meter4/state")
    first, second = web.ask("/operations/quarantine").body["items"]
    assert (first["device"], first["known_id"], first["reasons"]) == ("bin 7/a", True, {"unmapped": 1})
    assert (second["device"], second["known_id"]) == ("acme/+/state", False)
    page = web.ask("/operations/quarantine", limit=1).body
    assert [
        each["device"] for each in web.ask("/operations/quarantine", limit=1, cursor=page["next"]).body["items"]
    ] == ["acme/+/state"]


def test_adopting_with_a_mapping_is_tried_first_and_then_done(web: Web) -> None:
    numbers = [reject(web.database, topic=f"plant/line-{n}/state", seconds=n) for n in range(2)]
    path = f"/things/{quote('plant/+/state', safe='')}/adopt"
    tried = web.ask(path, {"mapping": MAPPING, "dry_run": True})
    assert tried.status == 200, tried.body
    assert (tried.body["understood"], tried.body["queued"]) == (2, 0)
    assert tried.body["messages"][0]["observations"][0]["result"] == 21.5
    assert web.database.query("SELECT count(*) FROM device_document") == [(0,)]

    done = web.ask(path, {"mapping": MAPPING, "zone": "coyoacan", "expected_interval": 300})
    assert done.status == 200, done.body
    assert done.body["queued"] == 2
    assert {thing["thing_id"] for thing in done.body["things"]} == {"line-0", "line-1"}
    assert (
        web.database.query("SELECT state FROM rejected_message WHERE rejected_id = ANY (%s)", numbers)
        == [("queued",)] * 2
    )
    assert web.database.query("SELECT document, adopted_by FROM device_document") == [(MAPPING, "api")]
    assert web.database.query("SELECT external_id, zone_id, state FROM thing ORDER BY 1") == [
        ("line-0", "coyoacan", "active"), ("line-1", "coyoacan", "active"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"mapping": "[[mapping"}, "mapping"),
        ({"mapping": MAPPING.replace("°C", "kWh")}, "kWh"),
        ({"mapping": MAPPING.replace('"t"', '"nothing"')}, "would be understood"),
        ({"mapping": MAPPING, "profile": "milesight-em300"}, "one of"),
        ({"profile": "no-such-profile"}, "no-such-profile"),
        ({}, "would be understood"),
        ({"family": "weather"}, "family"),
        ({"expected_interval": 0}, "expected_interval"),
    ],
)
def test_an_adoption_that_helps_nothing_is_refused(web: Web, body: dict[str, object], says: str) -> None:
    reject(web.database)
    problem = web.ask(f"/things/{quote('plant/+/state', safe='')}/adopt", body).problem
    assert problem.startswith("422 ")
    assert says in problem
    assert web.database.query("SELECT state FROM rejected_message") == [("kept",)]
    assert web.database.query("SELECT count(*) FROM device_document") == [(0,)]


def test_adopting_into_a_zone_that_is_not_there_changes_nothing(web: Web) -> None:
    reject(web.database)
    answer = web.ask(f"/things/{quote('plant/+/state', safe='')}/adopt", {"mapping": MAPPING, "zone": "atlantis"})
    assert answer.problem.startswith("404 ")
    assert web.database.query("SELECT state FROM rejected_message") == [("kept",)]


def test_a_thing_whose_id_holds_slashes_and_no_family_is_shown(web: Web) -> None:
    web.database.query("INSERT INTO thing (external_id) VALUES ('plant/line 1:a')")
    answer = web.ask(f"/things/{quote('plant/line 1:a', safe='')}")
    assert (answer.status, answer.body["id"], answer.body["family"]) == (200, "plant/line 1:a", None)
    assert [each["family"] for each in web.ask("/things").body["items"]] == [None]


# --- the dry run ------------------------------------------------------------------------------------------------------


def test_a_message_can_be_tried(web: Web) -> None:
    message = {"topic": "pulso/v1/traffic/det-7", "payload": '{"observations": {"speed": 31.5}}',
               "received_at": "2026-11-22T18:00:00Z"}  # fmt: skip
    answer = web.ask("/decode", message)
    assert answer.status == 200, answer.body
    assert (answer.body["outcome"], answer.body["decoder"]) == ("ingest", "pulso_json@1")
    (seen,) = answer.body["observations"]
    assert (seen["thing_id"], seen["observed_property"], seen["result"], seen["unit"], seen["phenomenon_time"]) == (
        "det-7", "speed", 31.5, "km/h", "2026-11-22T18:00:00Z",
    )  # fmt: skip

    as_bytes = {**message, "payload_base64": base64.b64encode(message["payload"].encode()).decode()}
    del as_bytes["payload"]
    assert web.ask("/decode", as_bytes).body == answer.body
    elsewhere = {"Host": "wall.example.org"}
    assert web.ask("/decode", message, elsewhere).body == answer.body
    assert web.ask("/decode", {**message, "mapping": MAPPING}, elsewhere).status == 403


def test_a_mapping_can_be_tried_with_a_message(web: Web) -> None:
    answer = web.ask("/decode", {"topic": "plant/a/state", "payload": '{"t": 20}', "mapping": MAPPING})
    assert answer.status == 200, answer.body
    assert answer.body["decoder"].startswith("mapping:plant@")
    assert answer.body["observations"][0]["result"] == 20


def test_what_is_not_understood_is_an_answer_not_an_error(web: Web) -> None:
    answer = web.ask("/decode", {"topic": "nobody/knows", "payload": "x=1"})
    assert (answer.status, answer.body["outcome"]) == (200, "quarantine")
    assert answer.body["reason"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"topic": "a", "payload": "x", "payload_base64": "eA=="}, 422),
        ({"topic": "a"}, 422),
        ({"topic": "", "payload": "x"}, 422),
        ({"topic": "a", "payload_base64": "%%"}, 422),
        ({"topic": "a", "payload": "\ud800"}, 422),
        ({"topic": "a", "payload": "x", "timezone": "Mars/Base"}, 422),
        ({"topic": "a", "payload": "x", "mapping": "= ="}, 422),
        ({"topic": "a", "payload": "x", "received_at": "2026-11-22T18:00:00"}, 422),
        ({"topic": "a", "payload": "x" * ((1 << 20) + 1)}, 413),
        (b"{not json", 422),
    ],
)
def test_what_cannot_be_tried_is_refused_in_words(web: Web, body: object, status: int) -> None:
    assert web.ask("/decode", body).problem.startswith(f"{status} ")


def test_a_payload_of_the_largest_size_is_taken_and_a_larger_request_is_not(web: Web) -> None:
    largest = base64.b64encode(bytes(1 << 20)).decode()
    assert web.ask("/decode", {"topic": "nobody/knows", "payload_base64": largest}).status == 200
    assert web.ask("/decode", b" " * ((2 << 20) + 1)).status == 413
    assert web.ask("/operations/rejected/replay", b" " * 70_000).status == 413
