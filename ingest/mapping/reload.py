"""The book of devices of a running service: loaded anew when a file or a document changes, kept when that is faulty."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import structlog

from ingest.mapping.book import DeviceBook
from ingest.mapping.load import NO_DOCUMENTS, load_devices
from pulso.city import CityPack
from pulso.errors import ConfigurationError

log = structlog.get_logger()

Stamp = tuple[tuple[str, int, int], ...]


def device_paths(pack: CityPack, *files: Path) -> list[Path]:
    """What `load_devices` reads for a city: the directory `mappings` of its pack, then `files`."""
    return [pack.path / "mappings", *files]


class Devices:
    """Holds the book in use: the library's, the city pack's, and adopted documents.

    Files are told apart by time of change and size, documents by their text. `faults` are those of what was refused
    last, for which `book` is an older one. Raises ConfigurationError if the city pack's files are faulty at the start:
    a service does not start with half of its devices.
    """

    def __init__(self, pack: CityPack, *files: Path) -> None:
        self._paths = tuple(device_paths(pack, *files))
        self._zones = frozenset(str(zone.zone_id) for zone in pack.zones)
        self._documents: Mapping[str, str] = NO_DOCUMENTS
        self._left_out: dict[str, str] = {}
        self._stamp = _stamp(self._paths)
        self.faults: tuple[str, ...] = ()
        self.book: DeviceBook = load_devices(self._paths, zones=self._zones)

    def adopt(self, documents: Mapping[str, str]) -> None:
        """Take up the documents that are kept, at the start.

        One that was adopted before and is faulty now, as after a new release, does not keep the service from starting:
        it is left out until it is mended, and what it is about waits among the rejected messages.
        """
        self._documents = dict(documents)
        while faults := self._load():
            faulty = {name for name in documents if any(fault.startswith(f"{name}:") for fault in faults)}
            if faulty <= self._left_out.keys():
                raise ConfigurationError("the device mappings are not usable:", faults=faults)
            self._left_out |= {name: documents[name] for name in faulty}
            self.faults += faults
        if self.faults:
            log.error("device_documents_faulty", faults=self.faults)

    def refresh(self, documents: Mapping[str, str] | None = None) -> bool:
        """Load anew if something changed; whether `book` is another one now. `documents` None: they did not change.

        What is faulty is refused as a whole, logged once, and told by `faults` until something changes again.
        """
        stamp = _stamp(self._paths)
        told = self._documents if documents is None else dict(documents)
        if stamp == self._stamp and told == self._documents:
            return False
        self._stamp, self._documents = stamp, told
        self.faults = self._load()
        if self.faults:
            log.error("devices_refused", faults=self.faults)
            return False
        log.info("devices_loaded", mappings=len(self.book.readers), profiles=len(self.book.profiles))
        return True

    def _load(self) -> tuple[str, ...]:
        """Load the book, without what is left out; the faults for which the old one stays."""
        usable = {name: text for name, text in self._documents.items() if self._left_out.get(name) != text}
        try:
            self.book = load_devices(self._paths, usable, zones=self._zones)
        except ConfigurationError as error:
            return error.faults or (str(error),)
        return ()


def _stamp(paths: Sequence[Path]) -> Stamp:
    return tuple(entry for path in paths for entry in _stamps_of(path))


def _stamps_of(path: Path) -> Iterator[tuple[str, int, int]]:
    try:
        for file in sorted(path.glob("*.toml")) if path.is_dir() else [path]:
            status = file.stat()
            yield str(file), status.st_mtime_ns, status.st_size
    except OSError:  # it is not there, or was taken away just now: the next refresh sees that
        yield str(path), 0, -1
