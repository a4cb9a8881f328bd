"""Devices as data: sources, profiles and mappings in TOML, and the book of them that the interpreter asks.

docs/reference/mapping.md is the reference of the language.
"""

from ingest.mapping.book import DeviceBook, Source
from ingest.mapping.load import library_path, load_devices
from ingest.mapping.mappings import BoundMapping, DeviceMapping
from ingest.mapping.profiles import Profile
from ingest.mapping.reload import Devices, device_paths

__all__ = [
    "BoundMapping",
    "DeviceBook",
    "DeviceMapping",
    "Devices",
    "Profile",
    "Source",
    "device_paths",
    "library_path",
    "load_devices",
]
