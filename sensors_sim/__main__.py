"""The command `pulso sim`: run the simulated city, and make things happen in it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pulso import logs
from pulso.settings import CitySettings, HealthSettings, LogSettings, MqttSettings, load
from sensors_sim.command import clearly

if TYPE_CHECKING:
    from sensors_sim.incidents import Incident

app = typer.Typer(rich_markup_mode="markdown", add_completion=False)

ANSWER_WITHIN = timedelta(seconds=6)


@app.callback(invoke_without_command=True)
def run(  # noqa: PLR0913, PLR0917  one parameter per option is what the command line is
    context: typer.Context,
    seed: Annotated[int | None, typer.Option(help="The same seed gives the same city and messages.")] = None,
    scale: Annotated[int | None, typer.Option(help="Multiply the number of things per district.")] = None,
    rate: Annotated[
        float | None, typer.Option(help="Messages per second, for load; without it the natural 5.5.")
    ] = None,
    publishers: Annotated[int | None, typer.Option(help="Publishing processes; default: as the rate needs.")] = None,
    count: Annotated[int | None, typer.Option(min=1, help="Stop after so many live messages.")] = None,
    duration: Annotated[float | None, typer.Option(min=0.1, help="Stop after so many seconds.")] = None,
    truth: Annotated[Path | None, typer.Option(help="Directory for the ground truth.")] = None,
    history: Annotated[bool | None, typer.Option(help="Also send what came before; not with --rate.")] = None,
    faults: Annotated[str | None, typer.Option(help="none, default, heavy or a TOML file.")] = None,
    scenario: Annotated[str | None, typer.Option(help="Scripted incidents: demo, rush or a TOML file.")] = None,
    host: Annotated[str | None, typer.Option(help="Broker host.")] = None,
    port: Annotated[int | None, typer.Option(help="Broker port.")] = None,
) -> None:
    """Simulate a city of sensors that publish over MQTT, and write down what was true.

    432 things in 16 districts: traffic detectors, waste bins, energy meters and air stations. Everything is a
    function of the seed, the thing, the time and the incidents. Settings also come from PULSO_SIM_… and
    PULSO_MQTT_… in the environment.

    **Examples**

    `pulso sim` – the city live, with the last hours as history

    `pulso sim --truth .pulso/truth --scenario demo` – with incidents, and the ground truth beside it

    `pulso sim --rate 5000 --duration 60 --faults none --truth truth` – a load test of a minute

    `pulso sim incident congestion --zone coyoacan --minutes 20 --severity 0.8` – in a running simulator
    """
    if context.invoked_subcommand is not None:
        return
    chosen = {
        "seed": seed,
        "scale": scale,
        "rate": rate,
        "publishers": publishers,
        "truth": truth,
        "history": history,
        "faults": faults,
        "scenario": scenario,
    }
    clearly(lambda: _serve(chosen, {"host": host, "port": port}, count, duration))


def _serve(chosen: dict[str, Any], broker: dict[str, Any], count: int | None, duration: float | None) -> None:
    """Put the settings together and run until the end. Raises ConfigurationError before anything is started."""
    from sensors_sim.run import Bounds
    from sensors_sim.service import SimOptions, check, serve
    from sensors_sim.settings import SimSettings

    groups = (SimSettings, MqttSettings, CitySettings, HealthSettings, LogSettings)
    sim, mqtt, city, health, log = load(*groups, SimSettings=chosen, MqttSettings=broker)
    logs.configure("sim", level=log.level, json=log.json_lines)
    bounds = Bounds(count, timedelta(seconds=duration) if duration else None)
    options = SimOptions(sim, mqtt, city, log, bounds)
    check(options)
    asyncio.run(serve(options, health))


@app.command()
def incident(  # noqa: PLR0913, PLR0917
    kind: Annotated[str, typer.Argument(help="congestion, overflow, outage or pollution.")],
    zone: Annotated[str, typer.Option(help="Id of a district, or of the city for all of it.")],
    minutes: Annotated[float, typer.Option(help="How long it lasts.")] = 15.0,
    severity: Annotated[float, typer.Option(help="Depth, or share of things befallen; up to 1.")] = 0.8,
    host: Annotated[str | None, typer.Option(help="Broker host.")] = None,
    port: Annotated[int | None, typer.Option(help="Broker port.")] = None,
) -> None:
    """Make something happen in the running simulator, through the broker.

    **Examples**

    `pulso sim incident congestion --zone coyoacan --minutes 20 --severity 0.8` – traffic crawls in Coyoacán

    `pulso sim incident overflow --zone iztapalapa --severity 0.5` – half of its bins fill to the brim

    `pulso sim incident outage --zone tlahuac --minutes 10 --severity 1` – all its meters lose supply

    `pulso sim incident pollution --zone cdmx --minutes 120` – an episode over the whole city
    """

    def ask() -> None:
        from sensors_sim.ask import request_incident

        (mqtt,) = load(MqttSettings, MqttSettings={"host": host, "port": port})
        logs.configure("sim", level="error")
        wish = {"kind": kind, "zone": zone, "minutes": minutes, "severity": severity}
        taken = asyncio.run(request_incident(mqtt, wish, ANSWER_WITHIN))
        _print_incidents([taken])

    clearly(ask)


@app.command()
def incidents(
    host: Annotated[str | None, typer.Option(help="Broker host.")] = None,
    port: Annotated[int | None, typer.Option(help="Broker port.")] = None,
) -> None:
    """List what is going on in the running simulator, and what is to come within the hour."""

    def ask() -> None:
        from sensors_sim.ask import list_incidents

        (mqtt,) = load(MqttSettings, MqttSettings={"host": host, "port": port})
        logs.configure("sim", level="error")
        now = datetime.now(UTC)
        _print_incidents([each for each in asyncio.run(list_incidents(mqtt, ANSWER_WITHIN)) if each.end > now])

    clearly(ask)


def _print_incidents(listed: "list[Incident]") -> None:
    if not listed:
        typer.echo("No incident now or within the hour.")
    for each in listed:
        when = f"{each.start:%Y-%m-%d %H:%M:%S} to {each.end:%H:%M:%S} UTC"
        typer.echo(f"{each.kind:<11} {each.zone_id:<22} severity {each.severity:.2f}   {when}")


if __name__ == "__main__":
    app()
