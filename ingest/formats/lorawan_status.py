"""The device status of LoRaWAN (DevStatusAns): the level of the battery, as network servers publish it."""

from collections.abc import Mapping

from ingest.formats.lorawan import battery_percent
from ingest.message import Decoded, DecodedObservation, MessageOutcome, Reported


def device_status(thing: Reported, body: Mapping[object, object]) -> Decoded:
    """The status event of ChirpStack: `batteryLevel` in percent, unless it says that there is none to tell."""
    level = battery_percent(body.get("batteryLevel"))
    if body.get("externalPowerSource") is True or body.get("batteryLevelUnavailable") is True or level is None:
        return Decoded((thing,), MessageOutcome.IGNORE, "a status without a battery level")
    thing.observations = [DecodedObservation("battery", level, "%", thing.phenomenon_time)]
    return Decoded((thing,))
