"""Running several processes as one: start in order of need, restart what falls, stop in reverse order.

The supervisor knows nothing of what it runs: a list of `ProcessSpec` says it all, and events tell what happened.
"""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import assert_never

from pulso.errors import ConfigurationError
from pulso.local.identity import Identity
from pulso.local.logfile import LogFile
from pulso.local.spawn import spawn_options

CONFIGURATION_EXIT = 2  # a service that has never run with these settings: trying again would not help
_PROBE_EVERY = 0.1
_LOGS_EVERY = 10.0


class ServiceMisconfigured(ConfigurationError):
    """A service says that its configuration is not usable."""


async def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """One process to be kept running, or (`once`) run to success before what comes `after` it starts.

    `prepare` runs in a thread before every start; `is_ready` is asked every 0.1 s until it says yes. The process gets
    `death_signal` if the supervisor itself is killed.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    once: bool = False
    prepare: Callable[[], None] | None = None
    is_ready: Callable[[], Awaitable[bool]] = _always
    identity: Identity | None = None
    working_directory: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_within: float = 10.0
    death_signal: signal.Signals = signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Started:
    """A process was started."""

    name: str
    pid: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A process does its work (or, run once, has done it), `seconds` after its start."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Fell:
    """A process ended without being asked to; it is started again in `again_in` seconds."""

    name: str
    code: int
    again_in: float


@dataclass(frozen=True, slots=True)
class Stopping:
    """All processes are being stopped; `forced` when that is no longer done politely."""

    forced: bool


@dataclass(frozen=True, slots=True)
class Stopped:
    """A process ended because it was asked to; `killed` if it did not in time."""

    name: str
    killed: bool


Event = Started | Ready | Fell | Stopping | Stopped


@dataclass(slots=True)
class BackOff:
    """Seconds to wait before the next start: doubling from `first` to `most`, and anew after a life of `calm`."""

    first: float = 0.5
    most: float = 30.0
    calm: float = 60.0
    _next: float = 0.0

    def after(self, uptime: float) -> float:
        """The wait after a life of `uptime` seconds."""
        if uptime >= self.calm or not self._next:
            self._next = self.first
        wait = self._next
        self._next = min(self._next * 2, self.most)
        return wait


class Supervisor:
    """Keeps the processes of `specs` running, in the order given, until it is asked to stop."""

    def __init__(
        self,
        specs: Sequence[ProcessSpec],
        logs: Path,
        report: Callable[[Event], None],
        *,
        back_off: Callable[[], BackOff] = BackOff,
    ) -> None:
        self._specs = {spec.name: spec for spec in specs}
        _check(specs)
        self._report = report
        self._new_back_off = back_off
        self._logs = {spec.name: LogFile(logs / f"{spec.name}.log") for spec in specs}
        self._ready = {spec.name: asyncio.Event() for spec in specs}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._fault: BaseException | None = None

    def request_stop(self) -> None:
        """Stop everything, politely; a second call kills what is left."""
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    async def wait_ready(self) -> None:
        """Return when every process is ready for the first time."""
        await asyncio.gather(*(event.wait() for event in self._ready.values()))

    def pid(self, name: str) -> int | None:
        """The process id of `name`, if it runs."""
        process = self._running.get(name)
        return process.pid if process else None

    async def run(self) -> None:
        """Start everything and return when all has been stopped.

        Raises ServiceMisconfigured if a process exits with code 2 or cannot be started at all, and whatever a
        `prepare` raises, after stopping the others.
        """
        keepers = [self._task(self._keep(spec), spec.name) for spec in self._specs.values()]
        logs = self._task(self._bound_logs(), "logs")
        try:
            await self._stop.wait()
            self._report(Stopping(forced=False))
            await self._stop_all()
        finally:
            await _cancelled(logs, *keepers)
            self._kill_leftovers()
        if self._fault is not None:
            raise self._fault

    def _task(self, work: Coroutine[None, None, None], name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._note_fault)
        return task

    def _note_fault(self, task: asyncio.Task[None]) -> None:
        """A task that fails stops everything; the first fault is the one to tell."""
        if not task.cancelled() and (fault := task.exception()) is not None:
            self._fault = self._fault or fault
            self._stop.set()

    # --- one process -----------------------------------------------------------------------------------------------

    async def _keep(self, spec: ProcessSpec) -> None:
        """Keep one process running; for one that runs once, until it succeeds."""
        back_off = self._new_back_off()
        await asyncio.gather(*(self._ready[name].wait() for name in spec.after))
        while not self._stop.is_set():
            started = time.monotonic()
            code = await self._live(spec)
            if self._stop.is_set() or (spec.once and code == 0):
                return
            if code == CONFIGURATION_EXIT and not self._ready[spec.name].is_set():
                raise ServiceMisconfigured(self._last_words(spec))
            wait = back_off.after(time.monotonic() - started)
            self._report(Fell(spec.name, code, wait))
            await asyncio.sleep(wait)

    async def _live(self, spec: ProcessSpec) -> int:
        """One life of a process, from its preparation to its exit code."""
        if spec.prepare is not None:
            await asyncio.to_thread(spec.prepare)
        if self._stop.is_set():
            return 0
        started = time.monotonic()
        process = await self._launch(spec)
        watches = [] if spec.once else [self._task(self._watch(spec, started), f"{spec.name} ready?")]
        try:
            code = await process.wait()
        finally:
            await _cancelled(*watches)
        self._running.pop(spec.name, None)
        _end_group(process.pid)
        if spec.once and code == 0:
            self._say_ready(spec, started)
        return code

    async def _launch(self, spec: ProcessSpec) -> asyncio.subprocess.Process:
        try:
            with self._logs[spec.name].open() as output:
                process = await asyncio.create_subprocess_exec(
                    *spec.command,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=dict(spec.environment),
                    cwd=spec.working_directory,
                    **spawn_options(spec.identity, death_signal=spec.death_signal),
                )
        except OSError as error:
            raise ServiceMisconfigured(f"{spec.name} could not be started: {error}") from error
        self._running[spec.name] = process
        self._report(Started(spec.name, process.pid))
        return process

    async def _watch(self, spec: ProcessSpec, started: float) -> None:
        while not await spec.is_ready():  # noqa: ASYNC110 (another process: nothing here is notified)
            await asyncio.sleep(_PROBE_EVERY)
        self._say_ready(spec, started)

    def _say_ready(self, spec: ProcessSpec, started: float) -> None:
        self._report(Ready(spec.name, time.monotonic() - started))
        self._ready[spec.name].set()

    def _last_words(self, spec: ProcessSpec) -> str:
        return f"{spec.name} cannot run with this configuration:\n{self._logs[spec.name].tail()}"

    # --- all of them -----------------------------------------------------------------------------------------------

    async def _stop_all(self) -> None:
        """Stop the processes one after the other, the last of the list first."""
        forcing = self._task(self._force_when_asked(), "force")
        for name in reversed(self._specs):
            process = self._running.get(name)
            if process is not None:
                await self._stop_one(self._specs[name], process)
        await _cancelled(forcing)

    async def _stop_one(self, spec: ProcessSpec, process: asyncio.subprocess.Process) -> None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(spec.stop_signal)
        try:
            await asyncio.wait_for(process.wait(), spec.stop_within)
            self._report(Stopped(spec.name, killed=process.returncode == -signal.SIGKILL))
        except TimeoutError:
            _end_group(process.pid)
            await process.wait()
            self._report(Stopped(spec.name, killed=True))

    async def _force_when_asked(self) -> None:
        await self._force.wait()
        self._report(Stopping(forced=True))
        self._kill_leftovers()

    def _kill_leftovers(self) -> None:
        for process in self._running.values():
            if process.returncode is None:
                _end_group(process.pid)

    async def _bound_logs(self) -> None:
        while True:
            for log in self._logs.values():
                await asyncio.to_thread(log.bound)
            await asyncio.sleep(_LOGS_EVERY)


def _check(specs: Sequence[ProcessSpec]) -> None:
    """Each process comes after others that stand before it in the list, so no wait is circular."""
    seen: set[str] = set()
    for spec in specs:
        if spec.name in seen or not seen.issuperset(spec.after):
            raise ValueError(f"{spec.name} stands twice, or before what it comes after: {', '.join(spec.after)}")
        seen.add(spec.name)


def _end_group(pid: int) -> None:
    """Kill what is left of the process group that `pid` leads, children of its own included."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _cancelled(*tasks: asyncio.Task[None]) -> None:
    """Return when all have ended; faults were noted when they happened."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def describe(event: Event) -> str:
    """What happened, in one line for the terminal."""
    match event:
        case Started(name, pid):
            return f"{name} started (process {pid})"
        case Ready(name, seconds):
            return f"{name} ready after {seconds:.1f} s"
        case Fell(name, code, again_in):
            return f"{name} {_ending(code)}; starting it again in {again_in:g} s"
        case Stopping(forced):
            return "killing what is left" if forced else "stopping (again to force)"
        case Stopped(name, killed):
            return f"{name} killed" if killed else f"{name} stopped"
        case _:
            assert_never(event)


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
