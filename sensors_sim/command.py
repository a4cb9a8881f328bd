"""What the commands of the simulator have in common: how they end when something is wrong."""

from collections.abc import Callable

import typer

from pulso.errors import AppError, ConfigurationError


def clearly(action: Callable[[], None]) -> None:
    """Run a command; what the user can mend is one message: exit code 2 for configuration, 1 for the rest."""
    try:
        action()
    except ConfigurationError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error
    except AppError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from error
