"""Functions of other packages by name (entry points `pulso.services`), so that no package imports another."""

from collections.abc import Callable
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any

from pulso.errors import ConfigurationError

_GROUP = "pulso.services"


@lru_cache(maxsize=32)
def capability(name: str) -> Callable[..., Any]:
    """The function that does `name`, imported when first asked for. Raises ConfigurationError if there is none."""
    for entry_point in entry_points(group=_GROUP, name=name):
        try:
            function = entry_point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigurationError(f"{name} ({entry_point.value}) cannot be loaded: {error}") from error
        assert callable(function)  # noqa: S101 (declared in our own pyproject.toml)
        return function  # type: ignore[no-any-return]
    raise ConfigurationError(f"nothing here can do {name!r}: install Pulso with all its packages (pip install -e .)")
