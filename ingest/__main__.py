"""`pulso ingest`: composition root of the ingest service."""

import asyncio

import typer

app = typer.Typer(add_completion=False, help="Take observations from the broker and store each exactly once.")


@app.callback(invoke_without_command=True)
def run() -> None:
    """Run the ingest service until it is told to stop.

    Connects to the broker (PULSO_MQTT_*) with a persistent session, decodes, stores in the database (PULSO_DB_*) in
    batches of at most 100 ms, and acknowledges a message only after its rows are committed. Add workers by giving each
    its own PULSO_INGEST_CLIENT_ID: they share one subscription.
    """
    from pulso import logs
    from pulso.settings import (
        CitySettings,
        DatabaseSettings,
        HealthSettings,
        IngestSettings,
        LogSettings,
        MqttSettings,
        load,
    )

    log_settings, *settings = load(
        LogSettings, MqttSettings, DatabaseSettings, CitySettings, HealthSettings, IngestSettings
    )
    logs.configure("ingest", level=log_settings.level, json=log_settings.json_lines)
    from ingest.service import serve

    asyncio.run(serve(*settings))


if __name__ == "__main__":
    app()
