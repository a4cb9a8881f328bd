"""The devices a city knows: who claims a topic, which mappings read it, which profile tells what fields mean."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from zoneinfo import ZoneInfo

from ingest.decoders import matches
from ingest.mapping.mappings import BoundMapping, DeviceMapping
from ingest.mapping.profiles import Profile
from ingest.message import Reported
from pulso.model import Family

_MOST_MODELS = 10_000  # texts of messages that are remembered
_LONGEST_MODEL = 200


@dataclass(frozen=True, slots=True)
class Source:
    """A claim of topics. `filters` are MQTT topic filters in levels, the most specific first."""

    name: str
    filters: tuple[tuple[str, ...], ...]
    decoder: str | None = None
    timezone: ZoneInfo | None = None
    family: Family | None = None
    zone: str | None = None
    profile: str | None = None
    drop: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceBook:
    """All sources, mappings and profiles, those to be asked first in front. Immutable."""

    claims: tuple[tuple[tuple[str, ...], Source], ...] = ()
    readers: tuple[DeviceMapping, ...] = ()
    profiles: tuple[Profile, ...] = ()

    @classmethod
    def empty(cls) -> "DeviceBook":
        """A book that knows no device, not even those of the library."""
        return cls()

    def source(self, levels: Sequence[str]) -> Source | None:
        """Who claims a topic."""
        topic = list(levels)
        return next((source for topic_filter, source in self.claims if matches(topic_filter, topic)), None)

    def mappings(self, levels: Sequence[str]) -> Iterable[BoundMapping]:
        """The mappings of a topic, in the order in which they are to be asked."""
        for mapping in self.readers:
            parts = mapping.table.topic.match(levels)
            if parts is not None:
                yield BoundMapping(mapping, parts)

    def profile(self, thing: Reported, source: Source | None) -> Profile | None:
        """The profile for the fields of a thing.

        The one its source names; else, of the latest document that has any, one that lists the device; one whose model
        the message tells, if it finds a field it knows; one whose signature the fields bear.
        """
        if source is not None and source.profile is not None:
            return self._by_name[source.profile]
        fields = thing.fields or {}
        by_model = (profile for model in thing.model for profile in self._of_model(model))
        first_of_each_kind = (
            next((profile for profile in self._with_devices if profile.knows_device(thing.external_id)), None),
            next((profile for profile in by_model if profile.finds_any(fields)), None),
            next((profile for profile in self._with_signature if profile.finds_signature(fields)), None),
        )
        found = [profile for profile in first_of_each_kind if profile is not None]
        return max(found, key=lambda profile: profile.layer, default=None)

    def _of_model(self, model: str) -> tuple[Profile, ...]:
        """The profiles that know a model: those of the latest document first, then the longest name."""
        model = model[:_LONGEST_MODEL]
        known = self._models.get(model)
        if known is None:
            found = [profile for profile in self._with_models if profile.length_of_model(model)]
            found.sort(key=lambda profile: (profile.layer, profile.length_of_model(model)), reverse=True)
            known = tuple(found)
            if len(self._models) < _MOST_MODELS:
                self._models[model] = known
        return known

    @cached_property
    def _models(self) -> dict[str, tuple[Profile, ...]]:
        return {}

    @cached_property
    def dropped_names(self) -> frozenset[str]:
        """Names of fields that any table drops: removed from messages that are kept."""
        return frozenset().union(
            *(frozenset(source.drop) for _, source in self.claims),
            *(frozenset(mapping.table.drop) for mapping in self.readers),
            *(frozenset(profile.table.drop) for profile in self.profiles),
        )

    @cached_property
    def _by_name(self) -> dict[str, Profile]:
        return {profile.name: profile for profile in self.profiles}

    @cached_property
    def _with_devices(self) -> tuple[Profile, ...]:
        return tuple(profile for profile in self.profiles if profile.table.match.devices)

    @cached_property
    def _with_models(self) -> tuple[Profile, ...]:
        return tuple(profile for profile in self.profiles if profile.models is not None)

    @cached_property
    def _with_signature(self) -> tuple[Profile, ...]:
        signed = [profile for profile in self.profiles if profile.table.match.fields]
        return tuple(sorted(signed, key=lambda profile: (-profile.layer, -profile.signature_length)))
