"""What the four packages of Pulso share: the model, settings, city pack and database access."""

from importlib.metadata import version

__version__ = version("pulso")
