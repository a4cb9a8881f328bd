"""Paths of OMA Lightweight M2M, `object/instance/resource`, as what they observe.

Source: OMA LwM2M registry (IPSO Smart Objects 3300 to 3351, uCIFI 3411 to 3435, LwM2M core object 3). The units are
those of the object where it fixes them; where an object leaves its unit to the sender, there is none.
"""

import re
from collections.abc import Sequence
from itertools import takewhile
from types import MappingProxyType
from typing import NamedTuple

_SENSOR_VALUE = 5700
_GENERIC_SENSOR = 3300
_NUMBER = re.compile(r"[0-9]{1,5}")
_PATH = re.compile(r"3[0-9]{3}(?:/[0-9]{1,5}){1,3}")
_OBJECTS = range(3200, 3500)  # the IPSO and uCIFI objects; no other number in a name is taken for one of them


class Observed(NamedTuple):
    """What a resource observes. `unit` is the one of the object, for values that come without; None: not fixed."""

    observed_property: str
    unit: str | None


class Resource(NamedTuple):
    """The resource that a name ends with.

    `device` is what precedes it, '' if nothing does; `observed` None: none of our properties. `generic`: the unit
    alone tells the property.
    """

    device: str
    observed: Observed | None
    generic: bool = False


_SENSORS = MappingProxyType(
    {
        3303: Observed("temperature", None),
        3304: Observed("humidity", None),
        3315: Observed("pressure", None),
        3316: Observed("voltage", None),
        3317: Observed("current", None),
        3318: Observed("frequency", None),
        3322: Observed("weight", None),
        3324: Observed("noise", None),
        3328: Observed("power", None),
        3329: Observed("power_factor", "1"),
        3330: Observed("distance", None),
        3331: Observed("energy_import", None),
    }
)
"""Objects whose resource 5700 is a value of one property."""

_RESOURCES = MappingProxyType(
    {
        (3, 7): Observed("battery_voltage", "mV"),
        (3, 9): Observed("battery", "%"),
        (3305, 5800): Observed("power", "W"),
        (3305, 5805): Observed("energy_import", "Wh"),
        (3305, 5810): Observed("reactive_power", "var"),
        (3305, 5820): Observed("power_factor", "1"),
        (3331, 5805): Observed("energy_import", "Wh"),
        (3411, 1): Observed("battery", "%"),
        (3411, 3): Observed("battery_voltage", "V"),
        (3428, 1): Observed("pm10", None),
        (3428, 3): Observed("pm2_5", None),
        (3428, 5): Observed("pm1", None),
        (3428, 17): Observed("co2", "ppm"),
        (3434, 1): Observed("people_count", "1"),
        (3435, 2): Observed("fill_level", "%"),
    }
)


def parse(name: str) -> Resource | None:
    """The resource that a name ends with; None if it ends otherwise.

    The instance may be missing, and a resource may have instances of its own. Of several instances the first is the
    property itself, the others are its channels.

    >>> parse("urn:dev:imei:490154203237518/3303/0/5700")
    Resource(device='urn:dev:imei:490154203237518', observed=Observed(observed_property='temperature', unit=None), \
generic=False)
    >>> parse("urn:dev:mac:0004a3fffe1c0530:3304/0/5700").device
    'urn:dev:mac:0004a3fffe1c0530'
    >>> parse("bin-12/3435/2").observed, parse("x/3303/2/5700").observed, parse("x/y") is None
    (Observed(observed_property='fill_level', unit='%'), Observed(observed_property='temperature_ch2', unit=None), True)
    """
    device, colon, path = name.rpartition(":")  # a path may follow a name of the kind of urn:dev:… without a slash
    if colon and _PATH.fullmatch(path):
        name = f"{device}/{path}"
    segments = name.split("/")
    numbers = [int(each) for each in takewhile(_NUMBER.fullmatch, reversed(segments[-4:]))][::-1]
    readings = [(count, numbers[-count:]) for count in range(len(numbers), 1, -1)]
    for count, numbered in readings:
        known = _observed(numbered)
        if known is not None:
            return Resource("/".join(segments[:-count]), known)
    for count, numbered in readings:
        if numbered[0] in _OBJECTS:
            generic = numbered[0] == _GENERIC_SENSOR and numbered[-1] == _SENSOR_VALUE
            return Resource("/".join(segments[:-count]), None, generic)
    return None


def _observed(path: Sequence[int]) -> Observed | None:
    """What a path of two to four numbers observes: object, instance unless there are two, resource, its instance."""
    number, instance, resource = (path[0], 0, path[1]) if len(path) == 2 else path[:3]
    known = _RESOURCES.get((number, resource))
    if known is None and resource == _SENSOR_VALUE:
        known = _SENSORS.get(number)
    channel = instance or (path[3] if len(path) == 4 else 0)
    if known is None or channel == 0:
        return known
    return known._replace(observed_property=f"{known.observed_property}_ch{channel}")
