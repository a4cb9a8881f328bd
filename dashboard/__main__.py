"""`pulso web`: API and screens in one process on one port."""

import errno
import socket
import sys
from typing import Annotated

import typer

from pulso.errors import ConfigurationError

app = typer.Typer(help="API and screens.")


@app.callback(invoke_without_command=True)
def web(
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
) -> None:
    """Serve the wall, the API and the live stream until stopped."""
    try:
        _serve(host, port)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(2) from None


def _serve(host: str | None, port: int | None) -> None:
    import structlog

    from dashboard.server import compose, serve
    from pulso import logs
    from pulso.settings import CitySettings, DatabaseSettings, LogSettings, WebSettings, load

    log_settings, city, database, settings = load(
        LogSettings, CitySettings, DatabaseSettings, WebSettings, WebSettings={"host": host, "port": port}
    )
    logs.configure("web", level=log_settings.level, json=log_settings.json_lines)
    services = compose(city, database)
    listener = listening_socket(settings.host, settings.port)
    address = f"http://{settings.host}:{listener.getsockname()[1]}"
    structlog.get_logger().info("web_listening", address=address, build=services.build)
    serve(services, listener)


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on host and port. Raises ConfigurationError that says why it cannot."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = "the port is busy" if error.errno == errno.EADDRINUSE else (error.strerror or str(error))
        raise ConfigurationError(
            f"cannot listen on {host}:{port} (PULSO_WEB_HOST, PULSO_WEB_PORT): {reason}"
        ) from error


if __name__ == "__main__":
    app()
