"""Composition of the simulator: one process, or several that share the things of the city among them."""

import asyncio
import math
import multiprocessing
import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

import structlog

from pulso import logs
from pulso.city.pack import load_pack
from pulso.clock import SystemClock
from pulso.errors import PublishError
from pulso.health import HealthServer
from pulso.lifecycle import stop_on_signals
from pulso.settings import CitySettings, HealthSettings, LogSettings, MqttSettings
from sensors_sim.city import SimulatedCity, build_city
from sensors_sim.control import LIST_TOPIC, REQUEST_TOPIC, IncidentBook
from sensors_sim.faults import load_rates
from sensors_sim.generate import Generator
from sensors_sim.plan import load_plan
from sensors_sim.publish import Publisher
from sensors_sim.run import Bounds, Outlet, Simulation
from sensors_sim.scenario import load_scenario
from sensors_sim.settings import SimSettings
from sensors_sim.truth import TruthWriter

log = structlog.get_logger()

RATE_PER_PROCESS = 4000.0
"""Messages per second that one process makes, publishes and writes down without falling behind, with a margin."""
STOP_WITHIN = 30.0  # seconds


@dataclass(frozen=True, slots=True)
class SimOptions:
    """All a publishing process needs to know; can be sent to another process."""

    sim: SimSettings
    mqtt: MqttSettings
    city: CitySettings
    log: LogSettings
    bounds: Bounds

    @property
    def publishers(self) -> int:
        """How many processes publish."""
        return self.sim.publishers or max(1, math.ceil(self.sim.rate / RATE_PER_PROCESS))


def check(options: SimOptions) -> SimulatedCity:
    """Build everything that can be wrong without touching the network. Raises ConfigurationError."""
    pack = load_pack(options.city.pack)
    load_rates(options.sim.faults)
    load_scenario(options.sim.scenario, pack)
    return _city(options)


async def serve(options: SimOptions, health: HealthSettings) -> None:
    """Run until stopped by a signal or its bounds. Raises PublishError when the broker refuses us for good."""
    stop = stop_on_signals()
    if options.publishers == 1:
        await _serve_one(options, health, stop)
    else:
        await _serve_many(options, health, stop)


async def _serve_one(options: SimOptions, health: HealthSettings, stop: asyncio.Event) -> None:
    publishing = _Process(options, 0, 1)
    async with HealthServer(health, "sim", {"broker": publishing.is_connected}):
        await publishing.run(stop)


async def _serve_many(options: SimOptions, health: HealthSettings, stop: asyncio.Event) -> None:
    """Start publishing processes, wait for them or for a signal, and pass the signal on."""
    context = multiprocessing.get_context("spawn")
    numbers = range(options.publishers)
    processes = [context.Process(target=_work, args=(options, n, options.publishers), name=f"sim-{n}") for n in numbers]
    for process in processes:
        process.start()
    ended = [asyncio.create_task(asyncio.to_thread(process.join)) for process in processes]
    stopped: asyncio.Future[Any] = asyncio.create_task(stop.wait())
    async with HealthServer(health, "sim", {"publishers": lambda: all(process.is_alive() for process in processes)}):
        all_ended: asyncio.Future[Any] = asyncio.gather(*ended)
        await asyncio.wait([all_ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        for process in processes:
            if process.is_alive():
                process.terminate()  # SIGTERM: a graceful stop
        await asyncio.wait_for(all_ended, STOP_WITHIN)
    failed = [process.name for process in processes if process.exitcode]
    if failed:
        raise PublishError(f"publishing processes failed: {', '.join(failed)}")


def _work(options: SimOptions, number: int, of: int) -> None:
    """One publishing process of several."""
    logs.configure(f"sim-{number}", level=options.log.level, json=options.log.json_lines)

    async def work() -> None:
        await _Process(options, number, of).run(stop_on_signals())

    asyncio.run(work())


class _Process:
    """The parts of one publishing process, put together."""

    def __init__(self, options: SimOptions, number: int, of: int) -> None:
        self._options = options
        self._number, self._of = number, of
        self._publisher = Publisher(
            options.mqtt,
            f"pulso-sim-{os.getpid()}-{number}",
            in_flight=options.sim.in_flight,
            subscriptions={REQUEST_TOPIC: self._requested} if number == 0 else {LIST_TOPIC: self._listed},
        )

    def is_connected(self) -> bool:
        """Whether the broker has us."""
        return self._publisher.connected

    async def run(self, stop: asyncio.Event) -> None:
        """Publish until stopped or done, then wait for what is not acknowledged."""
        settings = self._options.sim
        truth = TruthWriter(settings.truth, worker=self._number, keep=settings.truth_keep) if settings.truth else None
        outlet = Outlet(self._publisher, SystemClock(), truth)
        self._simulation = self._simulate(outlet)
        try:
            async with self._publisher as publisher:
                await _until_done(stop, self._simulation.run(self._share_of_bounds()))
                if self._number == 0 and publisher.connected:
                    await publisher.publish(LIST_TOPIC, b"", retain=True)  # nothing goes on in a stopped city
                await publisher.drain(settings.drain)
        finally:
            if truth:
                truth.close()
        acknowledged, left = self._publisher.acknowledged, self._publisher.outstanding
        log.info("stopped", published=outlet.published, acknowledged=acknowledged, unacknowledged=left)

    def _simulate(self, outlet: Outlet) -> Simulation:
        options, settings, clock = self._options, self._options.sim, SystemClock()
        city = _city(options)
        scenario = load_scenario(settings.scenario, load_pack(options.city.pack))
        journal = settings.truth if self._number == 0 else None
        book = IncidentBook(city, scenario, clock.now(), journal)
        generator = Generator(city, load_rates(settings.faults), (self._number, self._of))
        return Simulation(generator, outlet, book, settings, clock)

    def _requested(self, _topic: str, payload: bytes) -> None:
        self._simulation.trigger(payload)

    def _listed(self, _topic: str, payload: bytes) -> None:
        self._simulation.adopt(payload)

    def _share_of_bounds(self) -> Bounds:
        """This process's part of a count; the rest of the division goes to the first ones."""
        bounds = self._options.bounds
        if bounds.count is None:
            return bounds
        share = bounds.count // self._of + (1 if self._number < bounds.count % self._of else 0)
        return Bounds(share, bounds.duration)


async def _until_done(stop: asyncio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, or until `stop`; its error is raised."""
    task = asyncio.create_task(work, name="simulation")
    stopped = asyncio.create_task(stop.wait(), name="stop")
    await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not task.done():
        task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        log.info("simulation_cut", reason="asked to stop")
    except ExceptionGroup as errors:
        refused = errors.subgroup(PublishError)
        if refused is None:
            raise
        raise PublishError(str(refused.exceptions[0])) from errors


def _city(options: SimOptions) -> SimulatedCity:
    pack = load_pack(options.city.pack)
    plan, settings = load_plan(pack), options.sim
    natural = build_city(pack, plan, seed=settings.seed, scale=settings.scale)
    if not settings.rate:
        return natural
    denser = settings.rate / natural.natural_rate
    return build_city(pack, plan, seed=settings.seed, scale=settings.scale, denser=denser)
