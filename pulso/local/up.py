"""`pulso up`: assemble the stack, supervise it, and tell the person at the terminal what happens."""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pulso.city import load_pack
from pulso.errors import ConfigurationError
from pulso.local.home import announce, occupied
from pulso.local.stack import Stack, Wanted, assemble
from pulso.settings import CitySettings, DatabaseSettings, HomeSettings, MqttSettings, WebSettings
from pulso.supervisor import Event, Fell, Ready, Started, Supervisor, describe

_REMIND_EVERY = 20.0
_EXAMPLE = """-q 1 -t pulso/v1/air/my-station -m '{"observations": {"pm2_5": 18.2}}'"""


@dataclass(frozen=True, slots=True)
class UpSettings:
    """The settings that decide what runs and where."""

    home: HomeSettings
    city: CitySettings
    database: DatabaseSettings
    mqtt: MqttSettings
    web: WebSettings


def run(settings: UpSettings, *, simulate: bool, environment: Mapping[str, str]) -> None:
    """Run everything until Ctrl-C or SIGTERM.

    Raises ConfigurationError if something cannot run as configured, AlreadyRunning if the directory is in use.
    """
    home, mqtt = settings.home.home, settings.mqtt
    wanted = Wanted(
        home=home,
        environment=environment,
        web_host=settings.web.host,
        web_port=settings.web.port,
        mqtt_port=mqtt.port,
        database_url=settings.database.url.get_secret_value() or None,
        mqtt_host=mqtt.host if "host" in mqtt.model_fields_set else None,
        simulate=simulate,
    )
    terminal = Terminal(load_pack(settings.city.pack).city.name, home)
    try:
        with occupied(home):
            terminal.say("starting")
            stack = assemble(wanted)
            announce(home, stack.addresses)
            asyncio.run(supervise(stack, terminal))
    except PermissionError as error:
        whose = f"{error.filename} belongs to another user, who probably ran Pulso here"
        raise ConfigurationError(f"{whose}: run it as that user, or with --state-dir elsewhere") from error
    terminal.say("all stopped; the data stay, and `pulso up` goes on with them")


async def supervise(stack: Stack, terminal: "Terminal") -> None:
    """Run the stack; SIGINT, SIGTERM and SIGHUP stop it, a second one kills what is left."""
    supervisor = Supervisor(stack.specs, terminal.logs, terminal.report)
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(each, supervisor.request_stop)
    welcome = asyncio.create_task(_welcome(supervisor, stack, terminal), name="welcome")
    try:
        await supervisor.run()
    finally:
        welcome.cancel()


async def _welcome(supervisor: Supervisor, stack: Stack, terminal: "Terminal") -> None:
    started = time.monotonic()
    ready = asyncio.create_task(supervisor.wait_ready())
    while not (await asyncio.wait([ready], timeout=_REMIND_EVERY))[0]:
        terminal.remind({spec.name for spec in stack.specs}, time.monotonic() - started)
    terminal.welcome(stack, time.monotonic() - started)


class Terminal:
    """What the person who typed `pulso up` sees."""

    def __init__(self, city: str, home: Path) -> None:
        self._console = Console(stderr=False, highlight=False)
        self._city = city
        self._home = home
        self._ready: set[str] = set()
        self.logs = home / "logs"

    def say(self, text: str, style: str = "") -> None:
        """One line with the time of day."""
        self._show(Text(f"{time.strftime('%H:%M:%S')}  {text}", style=style))

    def _show(self, what: RenderableType) -> None:
        with contextlib.suppress(OSError):  # a terminal that was closed must not keep us from stopping in order
            self._console.print(what, soft_wrap=isinstance(what, Text))

    def report(self, event: Event) -> None:
        """One line per event; starts are silent, being followed by `Ready`."""
        match event:
            case Started():
                return
            case Ready(name, _):
                self._ready.add(name)
                self.say(describe(event), "green")
            case Fell(name, _, _):
                self.say(f"{describe(event)} (why: {self.logs / name}.log)", "bold yellow")
            case _:
                self.say(describe(event))

    def remind(self, names: set[str], seconds: float) -> None:
        """Say what keeps us waiting."""
        late = ", ".join(f"{name} ({self.logs / name}.log)" for name in sorted(names - self._ready))
        self.say(f"not ready after {seconds:.0f} s: {late}", "bold yellow")

    def welcome(self, stack: Stack, seconds: float) -> None:
        """The addresses, once everything works."""
        table = Table.grid(padding=(0, 2))
        for label, value in self._addresses(stack.addresses):
            table.add_row(Text(label, style="bold"), Text(value))
        title = f"Pulso · {self._city} · ready after {seconds:.0f} s"
        self._show(Panel(table, title=title, title_align="left", border_style="cyan", expand=False))
        if shutil.which("mosquitto_pub"):
            where = f"-h {stack.addresses['PULSO_MQTT_HOST']} -p {stack.addresses['PULSO_MQTT_PORT']}"
            self.say(f"send an observation: mosquitto_pub {where} {_EXAMPLE}")
        for remark in stack.remarks:
            self.say(remark, "yellow")

    def _addresses(self, addresses: Mapping[str, str]) -> list[tuple[str, str]]:
        web = addresses["PULSO_WEB_URL"]
        host, port = addresses["PULSO_MQTT_HOST"], addresses["PULSO_MQTT_PORT"]
        return [
            ("Wall", f"{web}/wall"),
            ("API", f"{web}/api/v1/openapi.json"),
            ("Broker", f"mqtt://{host}:{port}"),
            ("Database", f"see PULSO_DB_URL in {self._home / 'addresses.json'}"),
            ("Logs", str(self.logs)),
            ("Stop", "Ctrl-C; a second one forces"),
        ]
