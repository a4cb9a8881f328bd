"""The supervisor with stand-in processes: order, restarts, stopping, and what happens when it is killed itself."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from pulso.local.ports import free_port
from pulso.local.probes import answers_ready, listening
from pulso.supervisor import (
    BackOff,
    Event,
    Fell,
    ProcessSpec,
    Ready,
    ServiceMisconfigured,
    Started,
    Stopped,
    Stopping,
    Supervisor,
)
from tests.support.waiting import eventually, wait_until

FOREVER = "import signal; signal.pause()"
IGNORES_SIGTERM = """
    import signal
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf", flush=True)
    while True:
        signal.pause()
"""


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", textwrap.dedent(code))


def spec(name: str, code: str = FOREVER, **rest: object) -> ProcessSpec:
    return ProcessSpec(name, python(code), environment={"PATH": os.environ["PATH"]}, **rest)  # type: ignore[arg-type]


@asynccontextmanager
async def supervised(logs: Path, *specs: ProcessSpec) -> AsyncIterator[tuple[Supervisor, list[Event]]]:
    """A running supervisor that restarts at once, and what it reports."""
    events: list[Event] = []
    supervisor = Supervisor(specs, logs, events.append, back_off=lambda: BackOff(first=0.01, most=0.05))
    running = asyncio.create_task(supervisor.run())
    try:
        yield supervisor, events
    finally:
        supervisor.request_stop()
        await asyncio.wait_for(running, 20)


def names(events: list[Event], kind: type) -> list[str]:
    return [event.name for event in events if isinstance(event, kind) and not isinstance(event, Stopping)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat").read_text()
    return stat.rpartition(")")[2].split()[0] != "Z"


async def test_a_process_starts_when_those_it_comes_after_are_ready(tmp_path: Path) -> None:
    port = free_port()
    server = f"import socket, signal; s = socket.create_server(('127.0.0.1', {port})); signal.pause()"
    first = spec("first", server, is_ready=listening(port))

    async with supervised(tmp_path, first, spec("second", after=("first",))) as (supervisor, events):
        await asyncio.wait_for(supervisor.wait_ready(), 10)

    order = [(type(event), event.name) for event in events if isinstance(event, Started | Ready)]
    assert order.index((Ready, "first")) < order.index((Started, "second"))


async def test_what_runs_once_holds_the_others_back_until_it_succeeds(tmp_path: Path) -> None:
    marker = tmp_path / "tried"
    job = (
        f"import pathlib, sys; p = pathlib.Path({str(marker)!r}); failed = not p.exists(); p.touch(); sys.exit(failed)"
    )

    async with supervised(tmp_path, spec("job", job, once=True), spec("after", after=("job",))) as (supervisor, events):
        await asyncio.wait_for(supervisor.wait_ready(), 10)

    assert names(events, Fell) == ["job"]
    assert names(events, Started) == ["job", "job", "after"]


async def test_a_killed_process_is_started_again_and_said_so(tmp_path: Path) -> None:
    async with supervised(tmp_path, spec("worker")) as (supervisor, events):
        await asyncio.wait_for(supervisor.wait_ready(), 10)
        first = supervisor.pid("worker")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: supervisor.pid("worker") not in (None, first))

    assert [(event.name, event.code) for event in events if isinstance(event, Fell)] == [("worker", -signal.SIGKILL)]


async def test_processes_stop_in_reverse_order(tmp_path: Path) -> None:
    specs = [spec("a"), spec("b", after=("a",)), spec("c", after=("b",))]

    async with supervised(tmp_path, *specs) as (supervisor, events):
        await asyncio.wait_for(supervisor.wait_ready(), 10)

    assert [(event.name, event.killed) for event in events if isinstance(event, Stopped)] == [
        ("c", False),
        ("b", False),
        ("a", False),
    ]


async def test_a_process_that_does_not_stop_in_time_is_killed(tmp_path: Path) -> None:
    async with supervised(tmp_path, spec("deaf", IGNORES_SIGTERM, stop_within=0.2)) as (_, events):
        await eventually((tmp_path / "deaf.log").exists)
        await eventually(lambda: "deaf" in (tmp_path / "deaf.log").read_text())

    assert [event for event in events if isinstance(event, Stopped)] == [Stopped("deaf", killed=True)]


async def test_a_second_request_to_stop_kills_at_once(tmp_path: Path) -> None:
    async with supervised(tmp_path, spec("deaf", IGNORES_SIGTERM, stop_within=600)) as (supervisor, events):
        await eventually(lambda: supervisor.pid("deaf"))
        await eventually(lambda: "deaf" in (tmp_path / "deaf.log").read_text())
        supervisor.request_stop()
        await asyncio.sleep(0)

    assert [event for event in events if isinstance(event, Stopped)] == [Stopped("deaf", killed=True)]


async def test_children_of_a_killed_process_end_with_it(tmp_path: Path) -> None:
    """What a service started itself must not go on beside its successor."""
    parent = """
        import subprocess, sys, signal
        print(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]).pid, flush=True)
        signal.pause()
    """
    async with supervised(tmp_path, spec("parent", parent)) as (supervisor, _):
        log = tmp_path / "parent.log"
        await eventually(lambda: log.exists() and log.read_text().endswith("\n"))
        child, first = int(log.read_text().split()[0]), supervisor.pid("parent")
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: not alive(child))


async def test_a_service_that_refuses_its_settings_ends_the_run_with_its_own_words(tmp_path: Path) -> None:
    code = "import sys; print('PULSO_WEB_PORT: not a port', flush=True); sys.exit(2)"
    refuses = spec("bad", code, is_ready=listening(free_port()))
    events: list[Event] = []
    supervisor = Supervisor([spec("good"), refuses], tmp_path, events.append)

    with pytest.raises(ServiceMisconfigured, match="PULSO_WEB_PORT: not a port"):
        await asyncio.wait_for(supervisor.run(), 20)

    assert Stopped("good", killed=False) in events


async def test_a_program_that_is_not_there_ends_the_run(tmp_path: Path) -> None:
    supervisor = Supervisor([ProcessSpec("none", (str(tmp_path / "missing"),))], tmp_path, lambda _: None)

    with pytest.raises(ServiceMisconfigured, match="none could not be started"):
        await asyncio.wait_for(supervisor.run(), 20)


async def test_readiness_is_asked_over_http(tmp_path: Path) -> None:
    port = free_port()
    server = f"""
        import http.server
        class Handler(http.server.BaseHTTPRequestHandler):
            asked = 0
            def do_GET(self):
                Handler.asked += 1
                self.send_response(200 if self.path == "/readyz" and Handler.asked > 2 else 503)
                self.end_headers()
        http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
    """
    async with supervised(tmp_path, spec("web", server, is_ready=answers_ready(port))) as (supervisor, _):
        await asyncio.wait_for(supervisor.wait_ready(), 10)
        assert (tmp_path / "web.log").read_text().count('" 503 ') == 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    program = f"""
        import asyncio, pathlib, sys
        from pulso.supervisor import ProcessSpec, Supervisor
        spec = ProcessSpec("child", (sys.executable, "-c", {FOREVER!r}))
        logs = pathlib.Path({str(tmp_path)!r})
        asyncio.run(Supervisor([spec], logs, lambda event: print(getattr(event, "pid", ""), flush=True)).run())
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    try:
        assert supervisor.stdout is not None
        child = int(supervisor.stdout.readline())
        assert alive(child)
    finally:
        supervisor.kill()
        supervisor.communicate()

    wait_until(lambda: not alive(child), what="child ends")


def test_a_process_cannot_come_after_one_that_stands_later(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="stands twice, or before"):
        Supervisor([spec("a", after=("b",)), spec("b")], tmp_path, lambda _: None)


@pytest.mark.parametrize(
    ("uptimes", "waits"),
    [
        pytest.param([0, 0, 0, 0], [1, 2, 4, 4], id="doubles up to the most"),
        pytest.param([0, 0, 100, 0], [1, 2, 1, 2], id="starts anew after a calm life"),
    ],
)
def test_back_off(uptimes: list[float], waits: list[float]) -> None:
    back_off = BackOff(first=1, most=4, calm=100)
    after: Callable[[float], float] = back_off.after

    assert [after(uptime) for uptime in uptimes] == waits
