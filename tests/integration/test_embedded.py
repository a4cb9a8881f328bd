"""The embedded servers: data that survive, locks that do not stick, a database nobody else gets into."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import psycopg
import pytest

from pulso.errors import ConfigurationError
from pulso.local import identity
from pulso.local.identity import unprivileged
from pulso.local.ports import LOOPBACK, free_port, is_free
from pulso.local.postgres import PostgresServer, embedded_programs
from pulso.local.spawn import spawn_options
from pulso.mqtt_probe import ask
from pulso.settings import MqttSettings
from tests.support.servers import PostgresProcess, scratch_directory
from tests.support.waiting import wait_until


@pytest.fixture
def home() -> Iterator[Path]:
    path = scratch_directory("embedded")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def process(home: Path) -> Iterator[PostgresProcess]:
    """A server of this test alone, not started."""
    process = PostgresProcess(embedded_programs(unprivileged()), home, {})
    yield process
    process.kill()


def write(process: PostgresProcess) -> None:
    with psycopg.connect(process.url("pulso"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (42)")


def read(process: PostgresProcess) -> int:
    with psycopg.connect(process.url("pulso")) as connection:
        row = connection.execute("SELECT number FROM kept").fetchone()
    assert row is not None
    return int(row[0])


def test_data_survive_a_stop_and_a_kill(process: PostgresProcess) -> None:
    process.start()
    write(process)
    process.restart()
    assert read(process) == 42
    process.kill()
    process.start()
    assert read(process) == 42


def test_a_lock_of_a_dead_server_whose_number_another_program_has_does_not_stick(process: PostgresProcess) -> None:
    """After a reboot the number in postmaster.pid may belong to anything."""
    process.start()
    write(process)
    process.kill()
    lock = process.server.data / "postmaster.pid"
    stranger = subprocess.Popen(["sleep", "60"], **spawn_options(unprivileged()))
    try:
        _, *rest = lock.read_text().splitlines()
        lock.write_text("\n".join([str(stranger.pid), *rest]) + "\n")
        process.start()
        assert read(process) == 42
    finally:
        stranger.kill()
        stranger.wait()


def test_a_server_left_behind_by_a_killed_run_is_taken_over(process: PostgresProcess) -> None:
    process.start()
    write(process)
    orphan, process._process = process._process, None
    assert orphan is not None

    process.start()

    assert read(process) == 42
    assert orphan.wait(10) == 0, "it was shut down the regular way"


def test_a_broken_off_creation_leaves_nothing_half_made(process: PostgresProcess) -> None:
    (process.home / "data.new").mkdir()
    (process.home / "data.new" / "PG_VERSION").write_text("18\n")
    process.start()
    with psycopg.connect(process.url("pulso")) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
    assert not (process.home / "data.new").exists()


def test_data_of_another_version_are_refused_and_left_alone(process: PostgresProcess) -> None:
    process.server.prepare()
    (process.server.data / "PG_VERSION").write_text("9\n")
    with pytest.raises(ConfigurationError, match="belong to PostgreSQL 9"):
        process.server.prepare()
    assert (process.server.data / "global").exists()


def test_nobody_gets_in_without_the_password(process: PostgresProcess) -> None:
    process.start()
    server: PostgresServer = process.server
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(f"host={LOOPBACK} port={server.port} user=pulso dbname=pulso")
    assert (process.home / "password").stat().st_mode & 0o077 == 0


def test_programs_run_from_where_an_ordinary_user_reaches_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As root below a private directory, programs and their libraries are copied out of it."""
    monkeypatch.setattr(identity, "_SHARED_HOME", home)
    monkeypatch.setattr(identity, "reaches", lambda *_: False)

    programs = embedded_programs(identity.Identity("stranger", 54_321, 54_321))

    assert programs.is_relative_to(home)
    for program in ("postgres", "initdb", "pg_isready"):
        done = subprocess.run([programs / program, "--version"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_broker_in_python_delivers() -> None:
    port = free_port()
    broker = subprocess.Popen([sys.executable, "-m", "pulso.local.amqtt_broker", str(port)], env={**os.environ})
    try:
        wait_until(lambda: not is_free(port), what="amqtt listens")
        assert exchange(port) == [b"hello"]
        refused_after = time.monotonic()
        report = ask(MqttSettings(port=port))
        assert time.monotonic() - refused_after < 2, "a client that speaks MQTT 5 first is not kept waiting"
        assert (report.protocol, report.reason) == (4, 0)
    finally:
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(10) == 0


def test_the_broker_in_python_keeps_what_comes_while_a_subscriber_is_away() -> None:
    """Else an ingest that starts anew would miss what devices were told is delivered."""
    port = free_port()
    broker = subprocess.Popen([sys.executable, "-m", "pulso.local.amqtt_broker", str(port)], env={**os.environ})
    heard: list[bytes] = []

    def subscriber() -> mqtt.Client:
        client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="comes-and-goes", clean_session=False)
        client.on_message = lambda _client, _data, message: heard.append(message.payload)
        client.connect(LOOPBACK, port)
        client.loop_start()
        return client

    try:
        wait_until(lambda: not is_free(port), what="amqtt listens")
        first = subscriber()
        subscribed = threading.Event()
        first.on_subscribe = lambda *_: subscribed.set()
        first.subscribe("pulso/v1/#", qos=1)
        assert subscribed.wait(5)
        first.disconnect()
        first.loop_stop()
        time.sleep(2.5)  # longer than it takes amqtt to forget sessions, if it does
        device = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        device.connect(LOOPBACK, port)
        device.loop_start()
        device.publish("pulso/v1/air/x", b"meanwhile", qos=1).wait_for_publish(5)
        device.disconnect()
        device.loop_stop()
        second = subscriber()
        wait_until(lambda: heard == [b"meanwhile"], what="what came meanwhile is delivered")
        second.disconnect()
        second.loop_stop()
    finally:
        broker.send_signal(signal.SIGTERM)
        assert broker.wait(10) == 0


def exchange(port: int) -> list[bytes]:
    """What a subscriber gets of one message published with QoS 1."""
    heard: list[bytes] = []
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
    client.on_message = lambda _client, _data, message: heard.append(message.payload)
    client.on_subscribe = lambda *_: client.publish("pulso/v1/air/x", b"hello", qos=1)
    client.on_connect = lambda *_: client.subscribe("pulso/v1/#", qos=1)
    client.connect(LOOPBACK, port)
    client.loop_start()
    try:
        wait_until(lambda: heard, what="message arrives")
    finally:
        client.disconnect()
        client.loop_stop()
    return heard
