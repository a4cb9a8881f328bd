"""XML from devices we do not trust, as JSON-like values.

What makes XML dangerous (entities that unfold into gigabytes, or that read files and addresses) needs a document type
declaration, and no device needs one: a message that has it is refused, at its first byte. The rest is bounded while it
is read. This is what the package defusedxml does, on the same parser, without a tree in between.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat
from xml.sax.saxutils import escape

from pulso.errors import DecodeError, RejectReason

TEXT = "text"
"""The key of the text of an element that has attributes or elements as well."""


def read_xml(payload: bytes, deepest: int, most_items: int) -> dict[str, object]:
    """The document as an object with its root element: dict, list and str, all values being text.

    An element without attributes and elements is its text, None if it has none; any other is an object of its
    attributes and elements, its text under `text`. Names are without their prefix; of a name that comes more than once
    the values are a list. Raises DecodeError (malformed), also for a document type declaration.

    >>> read_xml(b'<r id="7"><t unit="C">21.5</t><lane>1</lane><lane>2</lane><e/></r>', 8, 100)
    {'r': {'id': '7', 't': {'unit': 'C', 'text': '21.5'}, 'lane': ['1', '2'], 'e': None}}
    """
    reading = _Reading(deepest, most_items)
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = reading.doctype
    parser.StartElementHandler = reading.start
    parser.EndElementHandler = reading.end
    parser.CharacterDataHandler = reading.characters
    try:
        parser.Parse(payload, True)
    except (expat.ExpatError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise _fault(str(error)) from None
    return reading.root


def write_xml(value: object) -> bytes:
    """XML that `read_xml` reads as `value`: an object with one root element, as it returns it."""
    return "".join(_written("", value)).encode()


def _written(name: str, value: object) -> Iterator[str]:
    if isinstance(value, list):
        for each in value:
            yield from _written(name, each)
        return
    yield f"<{name}>" if name else ""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _written(key, each)
    elif value is not None:
        yield escape(str(value))
    yield f"</{name}>" if name else ""


@dataclass(slots=True)
class _Element:
    name: str
    values: dict[str, object] = field(default_factory=dict)
    text: list[str] = field(default_factory=list)

    def add(self, name: str, value: object) -> None:
        """One more attribute or element."""
        if name not in self.values:
            self.values[name] = value
            return
        known = self.values[name]
        if isinstance(known, list):
            known.append(value)
        else:
            self.values[name] = [known, value]

    def read(self) -> object:
        """What the element comes to."""
        text = "".join(self.text).strip() or None
        if not self.values:
            return text
        if text is not None:
            self.add(TEXT, text)
        return self.values


class _Reading:
    """The handlers of a parser, and the elements that are open."""

    def __init__(self, deepest: int, most_items: int) -> None:
        self._open = [_Element("")]
        self._deepest = deepest
        self._most_items = most_items
        self._items = 0

    @property
    def root(self) -> dict[str, object]:
        return self._open[0].values

    def doctype(self, *_: object) -> None:
        raise _fault("a document type declaration, which we do not read")

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self._items += 1 + len(attributes)
        if self._items > self._most_items:
            raise _fault(f"more than {self._most_items} values")
        if len(self._open) > self._deepest:
            raise _fault(f"nested deeper than {self._deepest} levels")
        element = _Element(_local(name))
        for key, value in attributes.items():
            if key != "xmlns" and not key.startswith("xmlns:"):
                element.add(_local(key), value)
        self._open.append(element)

    def end(self, _: str) -> None:
        element = self._open.pop()
        self._open[-1].add(element.name, element.read())

    def characters(self, text: str) -> None:
        self._open[-1].text.append(text)


def _local(name: str) -> str:
    """A name without its prefix."""
    return name.rpartition(":")[2] or name


def _fault(detail: str) -> DecodeError:
    return DecodeError(RejectReason.MALFORMED, f"not XML we read: {detail}"[:300])
