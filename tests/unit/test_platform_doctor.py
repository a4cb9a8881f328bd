"""`pulso doctor`: what it finds, and that it says what to do."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pulso import doctor
from pulso.doctor import Finding, render
from pulso.mqtt_probe import BrokerReport, BrokerUnreachable, ask
from pulso.settings import MqttSettings, load

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)


def settings(port: int, **rest: object) -> MqttSettings:
    (group,) = load(MqttSettings, MqttSettings={"port": port, **rest})
    assert isinstance(group, MqttSettings)
    return group


@contextmanager
def answering(*answers: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """A server that gives each of its first connections one of `answers`; yields its port and what it was told."""
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            for answer in answers:
                connection, _ = server.accept()
                with connection:
                    heard.append(connection.recv(1000))
                    with contextlib.suppress(ConnectionError):  # the other side hung up
                        connection.sendall(answer)
                        connection.recv(10)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1], heard
        thread.join(10)


def test_a_broker_tells_its_limits() -> None:
    connack = bytes([0x20, 11, 0, 0, 8, 0x21, 0, 20, 0x24, 1, 0x2A, 0, 0])[:13]
    with answering(connack) as (port, heard):
        report = ask(settings(port, username="me", password="pw"))

    assert report == BrokerReport(5, 0, receive_maximum=20, maximum_qos=1, shared_subscriptions=False)
    assert b"MQTT\x05\xc2" in heard[0]
    assert heard[0].endswith(b"\x00\x02me\x00\x02pw")


def test_strings_among_the_limits_are_passed_over() -> None:
    connack = bytes([0x20, 12, 0, 0, 9, 0x12, 0, 3]) + b"abc" + bytes([0x2A, 0, 0])
    with answering(connack) as (port, _):
        assert ask(settings(port)).shared_subscriptions is False


def test_an_older_broker_is_asked_in_its_own_words() -> None:
    refused, accepted = bytes([0x20, 2, 0, 1]), bytes([0x20, 2, 0, 0])
    with answering(refused, accepted) as (port, heard):
        assert ask(settings(port)) == BrokerReport(4, 0, shared_subscriptions=False)
    assert b"MQTT\x04" in heard[1]


def test_what_does_not_speak_mqtt_is_said_so() -> None:
    with (
        answering(b"HTTP/1.1 400", b"HTTP/1.1 400") as (port, _),
        pytest.raises(BrokerUnreachable, match="not speak MQTT"),
    ):
        ask(settings(port))


@pytest.mark.parametrize(
    ("report", "level"),
    [
        (BrokerReport(5, 0), "good"),
        (BrokerReport(5, 0x87), "fault"),
        (BrokerReport(4, 0, shared_subscriptions=False), "hint"),
        (BrokerReport(5, 0, maximum_qos=0), "hint"),
    ],
)
def test_what_a_broker_can_do_is_judged(report: BrokerReport, level: str) -> None:
    assert [finding.level for finding in doctor._broker_findings(report)] == [level]


@pytest.mark.parametrize(
    ("configuration", "level"),
    [
        ("listener 1884 127.0.0.1\nmax_queued_messages 1000000\n", "good"),
        ("listener 1884 127.0.0.1\nmax_queued_messages 0\n", "good"),
        ("listener 1884\nmax_queued_messages 5000\n", "hint"),
        ("port 1884\n", "hint"),
        ("listener 1885\nmax_queued_messages 0\n", "hint"),
    ],
)
def test_a_queue_that_drops_soon_is_found_in_the_configuration(tmp_path: Path, configuration: str, level: str) -> None:
    file = tmp_path / "mosquitto" / "mosquitto.conf"
    file.parent.mkdir()
    file.write_text(configuration)
    assert [finding.level for finding in doctor._queue_limit(settings(1884), tmp_path)] == [level]


@pytest.mark.parametrize(("lead", "level"), [(0.2, "good"), (-30, "fault"), (30, "fault")])
def test_a_clock_that_disagrees_is_a_fault(lead: float, level: str) -> None:
    assert [finding.level for finding in doctor._clocks_agree(NOW, NOW + timedelta(seconds=lead))] == [level]


def test_a_clock_before_this_release_is_a_fault() -> None:
    assert [finding.level for finding in doctor._clock(datetime(1970, 1, 1, tzinfo=UTC))] == ["fault"]
    assert list(doctor._clock(NOW)) == []


def test_a_fault_in_the_settings_is_a_finding_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULSO_WEB_PORT", "http")
    findings = doctor.examine({})
    assert [(finding.level, finding.subject) for finding in findings][-1] == ("fault", "settings")


def test_hints_and_faults_come_with_advice() -> None:
    found: Callable[[Finding], str] = lambda finding: render([finding])  # noqa: E731
    assert "-> do this" in found(Finding("fault", "disk", "full", "do this"))
    assert found(Finding("good", "disk", "empty")).endswith("0 faults, 0 hints")
