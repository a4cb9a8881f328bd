"""The parts of a one-command run that need no server."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pulso.errors import ConfigurationError
from pulso.local.broker import LIMITS, mosquitto_configuration
from pulso.local.home import AlreadyRunning, announce, occupied, running_addresses
from pulso.local.identity import Identity, home_for, own_directory, reaches
from pulso.local.logfile import LogFile
from pulso.local.ports import LOOPBACK, free_port, is_free
from pulso.local.services import SERVICES

STRANGER = Identity("stranger", uid=54_321, gid=54_321)


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """A directory below one that only its owner may enter."""
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o700)
    return locked / "below"


def test_a_stranger_does_not_reach_below_a_private_directory(private: Path) -> None:
    assert not reaches(STRANGER, private)
    assert reaches(None, private)


def test_the_owner_reaches_below_a_private_directory() -> None:
    stat = Path.home().stat()
    owner = Identity("owner", stat.st_uid, stat.st_gid)
    assert reaches(owner, Path.home() / "anything")


def test_data_go_where_their_user_can_reach_them_and_always_to_the_same_place(private: Path) -> None:
    home = home_for(STRANGER, private)
    assert home.parent == Path("/var/lib/pulso")
    assert home == home_for(STRANGER, private)
    assert home != home_for(STRANGER, private / "other")
    assert home_for(None, private) == private.resolve()


def test_a_directory_of_ours_is_left_as_it_is(tmp_path: Path) -> None:
    own_directory(None, tmp_path / "new")
    assert (tmp_path / "new").stat().st_uid == os.geteuid()


def test_a_busy_port_is_passed_over() -> None:
    with socket.create_server((LOOPBACK, 0)) as busy:
        port = busy.getsockname()[1]
        assert not is_free(port)
        assert free_port(port) != port


def test_a_free_port_is_taken_as_wished() -> None:
    port = free_port()
    assert free_port(port) == port
    assert free_port(port, taken={port}) != port


def test_a_log_is_moved_aside_when_it_is_too_long(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "deep" / "service.log", limit=10)
    with log.open() as writer:
        writer.write(b"twelve bytes")
        writer.flush()
        log.bound()
        writer.write(b"after")  # the process that writes keeps its file open

    assert (tmp_path / "deep" / "service.log.1").read_bytes() == b"twelve bytes"
    assert log.path.read_bytes() == b"after"
    assert log.path.stat().st_mode & 0o077 == 0


def test_the_tail_of_a_log_is_its_last_lines(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "service.log")
    assert log.tail() == ""
    with log.open() as writer:
        writer.write(b"".join(b"line %d\n" % number for number in range(5000)))
    assert log.tail(2) == "line 4998\nline 4999"


def test_a_directory_serves_one_run_at_a_time(tmp_path: Path) -> None:
    hold = (
        "import pathlib, sys\n"
        "from pulso.local.home import announce, occupied\n"
        "home = pathlib.Path(sys.argv[1])\n"
        "with occupied(home):\n"
        "    announce(home, {'PULSO_WEB_URL': 'http://127.0.0.1:1'})\n"
        "    print('held', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"

    assert running_addresses(tmp_path) == {"PULSO_WEB_URL": "http://127.0.0.1:1"}
    with pytest.raises(AlreadyRunning, match=r"http://127\.0\.0\.1:1"), occupied(tmp_path):
        pass

    holder.kill()
    holder.communicate()
    assert running_addresses(tmp_path) == {}, "addresses of a run that was killed are not taken for valid"
    with occupied(tmp_path):
        pass


def test_addresses_hold_a_password_and_are_private(tmp_path: Path) -> None:
    announce(tmp_path, {"PULSO_DB_URL": "postgresql://pulso:secret@127.0.0.1/pulso"})
    assert (tmp_path / "addresses.json").stat().st_mode & 0o077 == 0


def test_a_place_without_a_run_has_no_addresses(tmp_path: Path) -> None:
    assert running_addresses(tmp_path / "missing") == {}


def test_the_embedded_broker_listens_on_loopback_and_drops_nothing_soon() -> None:
    lines = mosquitto_configuration(Path("/data"), 1883).splitlines()
    assert "listener 1883 127.0.0.1" in lines
    assert "persistence_location /data/" in lines
    assert int(LIMITS["max_queued_messages"]) >= 1_000_000


def test_services_start_after_services_that_stand_before_them() -> None:
    known = {"database", "broker"}
    for service in SERVICES:
        assert known.issuperset(service.after)
        known.add(service.name)


def test_a_directory_that_cannot_be_is_a_fault_of_configuration(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="the data cannot be kept in"), occupied(tmp_path / "file"):
        pass


def test_the_last_words_of_a_process_are_not_those_of_the_one_before(tmp_path: Path) -> None:
    log = LogFile(tmp_path / "service.log")
    with log.open() as output:
        output.write(b"an old warning\n")
    with log.open() as output:
        output.write(b"the fault\n")
    assert log.tail() == "the fault"
