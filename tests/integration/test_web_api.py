"""The API of a running web process."""

import json
import socket
import subprocess
import sys
from base64 import b64encode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

from tests.support.databases import DatabaseServer
from tests.support.web_process import ROOT, WebProcess, running_web
from tests.support.web_seed import Value, WebSeed

START = datetime(2026, 11, 22, 18, 0, tzinfo=UTC)
END = START + timedelta(minutes=5)
MINUTE = timedelta(minutes=1)
DETECTOR = "cdmx-trf-coyoacan-03"


@pytest.fixture(scope="module")
def web(database_server: DatabaseServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebProcess]:
    with database_server.new() as database:
        seed = WebSeed(database.dsn)
        seed.zones()
        stream = seed.thing(DETECTOR, "traffic", "coyoacan", prop="speed", unit="km/h", name="<b>Eje 10</b>")
        seed.observations(stream, [(START + n * MINUTE, 30.0 + n) for n in range(10)])
        seed.thing("cdmx-bin-tlalpan-01", "waste", "tlalpan", prop="fill_level", unit="%", interval=300)
        seed.thing("cdmx-bin-tlalpan-02", "waste", "tlalpan", prop="fill_level", unit="%", interval=300)
        seed.values(
            Value("traffic_mean_speed", "cdmx", 20.0 + n, START + n * MINUTE, status="final") for n in range(10)
        )
        seed.values([Value("traffic_mean_speed", "cdmx", 99.0, START + MINUTE, status="revised", revision=1),
                     Value("traffic_mean_speed", "coyoacan", None, START, coverage=0.2)])  # fmt: skip
        with running_web(database.dsn, tmp_path_factory.mktemp("web")) as web:
            yield web


class Answer:
    """Status, headers and JSON of one request."""

    def __init__(self, web: WebProcess, path: str, method: str = "GET", **query: object) -> None:
        connection = HTTPConnection("127.0.0.1", web.port, timeout=10)
        connection.request(method, path + ("?" + urlencode(query) if query else ""))
        response = connection.getresponse()
        text = response.read()
        connection.close()
        self.status = response.status
        self.headers = response.headers
        self.type = response.headers.get_content_type()
        self.body = json.loads(text) if "json" in self.type else {"text": text.decode()}


def is_problem(answer: Answer, status: int) -> bool:
    return answer.status == status == answer.body["status"] and answer.type == "application/problem+json"


# --- lists and single items -------------------------------------------------------------------------------------------


def test_zones_begin_with_the_city(web: WebProcess) -> None:
    zones = Answer(web, "/api/v1/zones").body["items"]
    assert len(zones) == 17
    assert (zones[0]["id"], zones[0]["kind"], zones[1]["parent"]) == ("cdmx", "city", "cdmx")


def test_things_are_filtered_by_family_and_zone(web: WebProcess) -> None:
    def ids(**query: object) -> list[str]:
        return [thing["id"] for thing in Answer(web, "/api/v1/things", **query).body["items"]]

    assert ids(family="traffic") == [DETECTOR]
    assert ids(zone="tlalpan") == ["cdmx-bin-tlalpan-01", "cdmx-bin-tlalpan-02"]
    assert ids(zone="tlalpan", family="traffic") == []
    assert len(ids(zone="cdmx")) == 3


def test_pages_of_things_follow_each_other(web: WebProcess) -> None:
    first = Answer(web, "/api/v1/things", limit=2).body
    second = Answer(web, "/api/v1/things", limit=2, cursor=first["next"]).body
    assert [thing["id"] for thing in first["items"] + second["items"]] == [
        "cdmx-bin-tlalpan-01", "cdmx-bin-tlalpan-02", DETECTOR,
    ]  # fmt: skip
    assert second["next"] is None


def test_a_thing_comes_with_its_datastreams_and_their_latest_observations(web: WebProcess) -> None:
    thing = Answer(web, f"/api/v1/things/{DETECTOR}").body
    assert thing["name"] == "<b>Eje 10</b>"
    assert [(one["observed_property"], one["unit"], one["latest_result"]) for one in thing["datastreams"]] == [
        ("speed", "km/h", 39.0)
    ]


def test_datastreams_can_be_asked_by_thing_and_by_id(web: WebProcess) -> None:
    (found,) = Answer(web, "/api/v1/datastreams", thing=DETECTOR).body["items"]
    assert Answer(web, f"/api/v1/datastreams/{found['id']}").body == found


# --- observations -----------------------------------------------------------------------------------------------------


def test_observations_come_newest_first_within_a_half_open_interval(web: WebProcess) -> None:
    answer = Answer(web, "/api/v1/observations", thing=DETECTOR, observed_property="speed",
                    start=START.isoformat(), end=END.isoformat())  # fmt: skip
    assert [one["result"] for one in answer.body["items"]] == [34.0, 33.0, 32.0, 31.0, 30.0]
    assert answer.body["datastream"]["unit"] == "km/h"


def test_pages_of_observations_hold_each_one_once(web: WebProcess) -> None:
    results, cursor = [], None
    while True:
        query = {"thing": DETECTOR, "observed_property": "speed", "limit": 3} | ({"cursor": cursor} if cursor else {})
        page = Answer(web, "/api/v1/observations", **query).body
        results += [one["result"] for one in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert results == [30.0 + n for n in range(9, -1, -1)]


# --- KPIs -------------------------------------------------------------------------------------------------------------


def test_kpis_say_what_they_are(web: WebProcess) -> None:
    kpi = Answer(web, "/api/v1/kpis/traffic_mean_speed").body
    assert kpi["title"]["en"] == "Mean traffic speed"
    assert (kpi["window"], kpi["step"], kpi["unit"]) == ("PT5M", "PT1M", "km/h")
    assert kpi in Answer(web, "/api/v1/kpis").body["items"]


def test_kpi_values_are_the_latest_revision_of_each_window(web: WebProcess) -> None:
    answer = Answer(web, "/api/v1/kpis/traffic_mean_speed/values", end=(START + 3 * MINUTE).isoformat())
    assert [(one["value"], one["revision"]) for one in answer.body["items"]] == [(22.0, 0), (99.0, 1), (20.0, 0)]
    assert (answer.body["zone"], answer.body["unit"]) == ("cdmx", "km/h")


def test_a_value_below_its_coverage_is_null_never_zero(web: WebProcess) -> None:
    (value,) = Answer(web, "/api/v1/kpis/traffic_mean_speed/values", zone="coyoacan").body["items"]
    assert (value["value"], value["coverage"], value["band"]) == (None, 0.2, None)


def test_pages_of_values_follow_each_other(web: WebProcess) -> None:
    first = Answer(web, "/api/v1/kpis/traffic_mean_speed/values", limit=9).body
    second = Answer(web, "/api/v1/kpis/traffic_mean_speed/values", limit=9, cursor=first["next"]).body
    assert [one["value"] for one in first["items"] + second["items"]] == [29, 28, 27, 26, 25, 24, 23, 22, 99, 20]


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nonsense", "/api/", "/api/v2/things", "/api/v1/zones/atlantis", "/api/v1/things/nobody",
        "/api/v1/datastreams/999999", "/api/v1/kpis/nonsense", "/api/v1/kpis/nonsense/values",
        "/api/v1/kpis/traffic_mean_speed/values?zone=atlantis", "/api/v1/observations?datastream_id=999999",
        f"/api/v1/observations?thing={DETECTOR}&observed_property=colour", "/api/v1/things?zone=atlantis",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404_in_json(web: WebProcess, path: str) -> None:
    assert is_problem(Answer(web, path), 404)


@pytest.mark.parametrize(
    ("query", "where", "says"),
    [
        ({"start": "2026-11-22T19:00:00Z", "end": "2026-11-22T18:00:00Z"}, "end", "not after start"),
        ({"start": "2026-11-22T19:00:00Z", "end": "2026-11-22T19:00:00Z"}, "end", "not after start"),
        ({"start": "2026-11-22T19:00:00"}, "start", "timezone"),
        ({"start": "2020-01-01T00:00:00Z", "end": "2026-01-01T00:00:00Z"}, "end", "at most 366"),
        ({"start": "yesterday"}, "start", "datetime"),
        ({"start": "1795377600"}, "start", "not a number"),
        ({"limit": 0}, "limit", "greater than or equal to 1"),
        ({"limit": 10_001}, "limit", "less than or equal to 10000"),
        ({"cursor": "%%%"}, "cursor", "not one that a page gave"),
        ({"cursor": "MjAyNg"}, "cursor", "not one that a page gave"),
    ],
)
def test_a_bad_range_is_a_422_that_says_what_is_wrong(
    web: WebProcess, query: dict[str, object], where: str, says: str
) -> None:
    answer = Answer(web, "/api/v1/kpis/traffic_mean_speed/values", **query)
    assert is_problem(answer, 422)
    assert answer.body["errors"][0]["where"] == where
    assert says in answer.body["errors"][0]["message"]


@pytest.mark.parametrize("query", [{}, {"thing": DETECTOR}, {"datastream_id": 1, "thing": DETECTOR}])
def test_a_datastream_is_named_in_exactly_one_way(web: WebProcess, query: dict[str, object]) -> None:
    assert is_problem(Answer(web, "/api/v1/observations", **query), 422)


@pytest.mark.parametrize("evil", ["' OR 1=1 --", "\x00", "../../etc/passwd", "%", "_", "<script>"])
def test_ids_are_parameters_never_sql(web: WebProcess, evil: str) -> None:
    assert Answer(web, f"/api/v1/things/{quote(evil, safe='')}").status == 404
    by_query = Answer(web, "/api/v1/datastreams", thing=evil)
    assert by_query.status == 422 or by_query.body["items"] == []


def test_other_methods_are_refused(web: WebProcess) -> None:
    assert is_problem(Answer(web, "/api/v1/zones", method="POST"), 405)
    assert is_problem(Answer(web, "/api/v1/things/nobody", method="DELETE"), 405)
    assert is_problem(Answer(web, "/api/v1/nonsense", method="POST"), 404)


def test_an_offset_whose_plus_was_not_escaped_is_understood(web: WebProcess) -> None:
    path = "/api/v1/kpis/traffic_mean_speed/values"
    assert Answer(web, f"{path}?start=2026-11-22T19:00:00+01:00&end=2026-11-22T18:00:01Z").status == 200
    assert is_problem(Answer(web, f"{path}?start=2026-11-22T19:00:00+01:00&end=2026-11-22T18:00:00Z"), 422)


def test_the_root_says_what_there_is(web: WebProcess) -> None:
    answer = Answer(web, "/api/v1")
    assert answer.body["description"] == "/api/v1/openapi.json"
    assert "/api/v1/kpis/{kpi_id}/values" in answer.body["paths"]


# --- the process ------------------------------------------------------------------------------------------------------


def test_openapi_documents_every_route_and_its_errors(web: WebProcess) -> None:
    document = Answer(web, "/api/v1/openapi.json").body
    assert "/api/v1/live" in document["paths"]
    assert all(path.startswith("/api/v1/") for path in document["paths"])
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["description"], (method, path)
            if "{" in path:
                assert "application/problem+json" in operation["responses"]["404"]["content"], (method, path)


def test_probes_and_metrics_answer(web: WebProcess) -> None:
    assert Answer(web, "/healthz").status == Answer(web, "/readyz").status == 200
    assert "pulso_web_viewers" in Answer(web, "/metrics").body["text"]
    assert Answer(web, "/api/v1/health").body["status"] == "ok"


def test_root_leads_to_the_wall_and_keeps_the_language(web: WebProcess) -> None:
    answer = Answer(web, "/?lang=en")
    assert (answer.status, answer.headers["location"]) == (307, "/wall?lang=en")


@pytest.mark.parametrize(
    "path", ["/nothing", "/wall/x", "/assets/nothing.js", "/admin.php", "/healthzz", "/metrics/x", "/_dash-nothing"]
)
def test_unknown_pages_are_404_too(web: WebProcess, path: str) -> None:
    assert Answer(web, path).status == 404


@pytest.mark.parametrize("path", ["/wall", "/api/v1/zones", "/api/nothing", "/assets/wall/main.js"])
def test_every_answer_carries_the_security_headers(web: WebProcess, path: str) -> None:
    headers = Answer(web, path).headers
    scripts = next(part for part in headers["content-security-policy"].split("; ") if part.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


def test_what_dash_answers_itself_carries_them_too(web: WebProcess) -> None:
    answer = Answer(web, "/_dash-component-suites/dash/nothing.js")
    assert answer.status >= 400
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize("head", ["Content-Length: 70000", "Content-Length: -1", "Transfer-Encoding: chunked"])
def test_large_bodies_are_refused_unread(web: WebProcess, head: str) -> None:
    with socket.create_connection(("127.0.0.1", web.port), timeout=10) as connection:
        connection.sendall(f"POST /_dash-update-component HTTP/1.1\r\nHost: wall\r\n{head}\r\n\r\n".encode())
        assert connection.recv(4096).split()[1] in {b"413", b"400"}


def test_a_cursor_of_the_largest_id_is_taken_and_a_larger_one_refused(web: WebProcess) -> None:
    largest, larger = (b64encode(str(number).encode()).decode() for number in (2**31 - 1, 2**31))
    assert Answer(web, "/api/v1/datastreams", cursor=largest).status == 200
    assert is_problem(Answer(web, "/api/v1/datastreams", cursor=larger), 422)


def test_nothing_is_loaded_from_elsewhere(web: WebProcess) -> None:
    page = Answer(web, "/wall").body["text"]
    assert "http://" not in page.replace(web.address, "")
    assert "https://" not in page


def test_a_busy_port_is_said_in_one_line(web: WebProcess) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "dashboard", "--port", str(web.port)],
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
        cwd=ROOT,
    )
    assert run.returncode == 2
    assert f"127.0.0.1:{web.port}" in run.stderr
    assert "the port is busy" in run.stderr
    assert "Traceback" not in run.stderr


def test_it_leaves_with_0_although_a_viewer_is_connected(database_server: DatabaseServer, tmp_path: Path) -> None:
    with database_server.new() as database, running_web(database.dsn, tmp_path) as web:
        viewer = socket.create_connection(("127.0.0.1", web.port))
        viewer.sendall(b"GET /api/v1/live HTTP/1.1\r\nHost: wall\r\n\r\n")
        assert b"200 OK" in viewer.recv(4096)
        assert web.stop() == 0
        viewer.close()
    assert "Traceback" not in web.log.read_text()
