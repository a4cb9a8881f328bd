"""Talking to a running simulator from another process, through the broker."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

from pydantic import ValidationError

from pulso.errors import ConfigurationError, PublishError
from pulso.settings import MqttSettings
from sensors_sim.control import LIST_TOPIC, REQUEST_TOPIC, IncidentRequest, parse_list
from sensors_sim.incidents import Incident
from sensors_sim.publish import Publisher

ASK_AGAIN = 1.0  # seconds


async def request_incident(mqtt: MqttSettings, wish: dict[str, Any], within: timedelta) -> Incident:
    """Ask for an incident and wait until the simulator lists it.

    Raises ConfigurationError for a wish that makes no sense, PublishError when no simulator answers.
    """
    try:
        request = IncidentRequest.model_validate(wish)
    except ValidationError as error:
        faults = [f"{fault['loc'][0]}: {fault['msg']}" for fault in error.errors(include_url=False)]
        raise ConfigurationError("such an incident cannot be:", faults=faults) from error

    def is_ours(incident: Incident) -> bool:
        return incident.incident_id == request.id

    listed = await _listen(mqtt, within, lambda seen: any(map(is_ours, seen)), request.model_dump_json().encode())
    found = next(filter(is_ours, listed or ()), None)
    if found is None:
        raise PublishError(
            f"no simulator has taken the incident within {within.total_seconds():g} s: is one running on this broker,"
            f" and does its city have a zone {request.zone!r}?"
        )
    return found


async def list_incidents(mqtt: MqttSettings, within: timedelta) -> list[Incident]:
    """What the simulator's retained list says. Raises PublishError if there is no such list."""
    listed = await _listen(mqtt, within, lambda _seen: True)
    if listed is None:
        raise PublishError(f"no simulator has listed its incidents on the broker at {mqtt.host}:{mqtt.port}")
    return listed


async def _listen(
    mqtt: MqttSettings,
    within: timedelta,
    enough: Callable[[list[Incident]], bool],
    request: bytes | None = None,
) -> list[Incident] | None:
    """Publish `request`, if any, and read lists until one is `enough`; the last list seen, or None.

    The request is sent again every second: a simulator that is only starting has not subscribed yet, and one that
    knows the incident does not take it twice.
    """
    lists: asyncio.Queue[list[Incident]] = asyncio.Queue()
    last: list[Incident] | None = None
    subscriptions = {LIST_TOPIC: lambda _topic, payload: lists.put_nowait(parse_list(payload))}
    async with Publisher(mqtt, f"pulso-sim-ask-{uuid4().hex[:8]}", subscriptions=subscriptions) as publisher:
        await publisher.wait_connected(within)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within.total_seconds()):
                while last is None or not enough(last):
                    if request is not None:
                        await publisher.publish(REQUEST_TOPIC, request)
                    with contextlib.suppress(TimeoutError):
                        last = await asyncio.wait_for(lists.get(), ASK_AGAIN)
    return last
