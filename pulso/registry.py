"""Registries of plugins: decoders, formulas. A plugin lives with its package and registers by name."""

from collections.abc import Callable, Iterator, Mapping, ValuesView
from typing import TypeVar

from pulso.errors import ConfigurationError

Plugin = TypeVar("Plugin")


class Registry(Mapping[str, Plugin]):
    """Plugins by name; `kind` is the word error messages use for them.

    >>> formulas: Registry[Callable[[float], float]] = Registry("formula")
    >>> @formulas.register("double")
    ... def double(x: float) -> float:
    ...     return 2 * x
    >>> formulas["double"](4.0)
    8.0
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._plugins: dict[str, Plugin] = {}

    def register(self, name: str) -> Callable[[Plugin], Plugin]:
        """Return a decorator that registers a plugin as `name`; a name can be taken once."""

        def add(plugin: Plugin) -> Plugin:
            if name in self._plugins:
                raise ConfigurationError(f"{self.kind} {name!r} is registered twice")
            self._plugins[name] = plugin
            return plugin

        return add

    def __getitem__(self, name: str) -> Plugin:
        """Return the plugin; raises ConfigurationError naming the known ones."""
        try:
            return self._plugins[name]
        except KeyError:
            known = ", ".join(sorted(self._plugins)) or "none"
            raise ConfigurationError(f"unknown {self.kind} {name!r}; known: {known}") from None

    def __contains__(self, name: object) -> bool:
        return name in self._plugins

    def __iter__(self) -> Iterator[str]:
        return iter(self._plugins)

    def values(self) -> ValuesView[Plugin]:
        """All plugins, in order of registration."""
        return self._plugins.values()

    def __len__(self) -> int:
        return len(self._plugins)
