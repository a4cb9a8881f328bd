"""Fields that hold personal data, by their names: never read on a guess, and removed from messages that are kept.

A name counts as a whole or as the end of a longer one, however its words are joined: `licensePlate`,
`vehicle_license_plate`, `LICENSE-PLATE`. Words that mean something harmless as well (`name`, `id`, `mac`, `address`)
are only listed with the word that makes them personal.
"""

import re
import zlib
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from itertools import pairwise
from types import MappingProxyType

import cbor2
import msgspec

from ingest.bodies.xml_body import read_xml, write_xml
from pulso.errors import DecodeError

REMOVED = "[removed]"

PERSONAL = MappingProxyType(
    {
        "number plates": (
            "license_plate licence_plate plate_number number_plate plate_text plate_value plate_no plate_string"
            " plate_num plate_nr plate_read registration_plate recognized_plate recognised_plate lpr_text lpr_plate"
            " vehicle_plate car_plate front_plate rear_plate detected_plate lpn anpr_text"
            " vehicle_registration registration_number vehicle_identification_number chassis_number"
            " matricula numero_placa numero_matricula placa_vehiculo placa_veiculo"
            " kennzeichen kfz_kennzeichen nummernschild"
            " immatriculation plaque_immatriculation numero_immatriculation"
            " kenteken kentekenplaat kentekennummer"
        ),
        "persons": (
            "driver driver_name driver_id owner_name customer_name person_name first_name last_name full_name surname"
            " family_name given_name user_name username passport passport_number ssn social_security_number"
            " date_of_birth birth_date face_id face_embedding face_image"
            " nombre_conductor propietario nombre_completo apellido apellidos curp rfc dni fecha_nacimiento"
            " fahrer fahrer_name vorname nachname geburtsdatum"
            " conducteur nom_conducteur prenom nom_famille date_naissance"
            " nome_motorista condutor nome_completo sobrenome cpf data_nascimento"
            " bestuurder voornaam achternaam geboortedatum bsn"
        ),
        "how to reach them": (
            "phone phone_number telephone telephone_number mobile_number msisdn imsi email e_mail email_address"
            " telefono numero_telefono correo correo_electronico telefon telefonnummer rufnummer handynummer"
            " telefone courriel telefoonnummer"
            " home_address postal_address street_address direccion_postal domicilio"
        ),
        "their radios and networks": (
            "phone_mac mobile_mac client_mac station_mac visitor_mac mac_hash wifi_mac bluetooth_mac ble_mac"
            " ssid bssid wifi_ssid wlan_ssid wifi_name wifi_password password passwd rfid_tag rfid_uid card_number"
            " nfc_uid toll_tag transponder_id"
        ),
        "contracts": "mpan mprn cups_code customer_number account_number contract_number iban meter_owner",
    }
)
"""Names of personal fields by what they tell: English, Spanish, German, French, Portuguese and Dutch."""

_READERS = frozenset({"lpr", "anpr", "alpr"})
"""Machines that read number plates: what they read stands under one of `_READ`, or is the field itself."""

_PLATE_WORDS = frozenset(
    {
        *("plate", "plates", "lpr", "anpr", "alpr", "license", "licence", "registration", "reg", "regno", "rego"),
        *("vrm", "vrn", "vin", "placa", "placas", "matricula", "patente", "targa", "kennzeichen", "kenteken"),
    }
)
"""Words of names that may hold a number plate and may hold something else: a text that looks like one settles it."""

_LIKE_PLATE = re.compile(r"(?=.*\d)[^\W_][^\W_ ·.-]*+(?:[ ·.-]{1,3}+[^\W_]++)*+")
_LONGEST_PLATE = 20  # characters, those of a chassis among them

_READ = frozenset({"text", "value", "string", "number", "result", "code", "candidates", "alternatives"})
_NAMED_BY = frozenset(
    ["name", "key", "label", "field", "id", "n", "type", "kind", "class", "objecttype", "object_type"]
)
_VALUED_BY = frozenset(["value", "val", "text", "string", "v", "vs", "stringvalue", "string_value"])
"""Keys of records such as `{"name": "plate", "value": "AB-12"}`."""

_WORD = re.compile(r"[^\W_]+")
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_LONGEST_NAME = 200
_DEEPEST = 64
_LARGEST_UNPACKED = 4 << 20
_MOST_ELEMENTS = 100_000
_ACCENTS = str.maketrans("áàâãäéèêëíìîïóòôõöúùûüçñ", "aaaaaeeeeiiiiooooouuuucn")


def squeezed(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case and without accents.

    >>> squeezed("vehicle-licensePlate"), squeezed("Matrícula")
    (('vehicle', 'license', 'plate'), ('matricula',))
    """
    apart = _HUMP.sub(" ", name[:_LONGEST_NAME])
    return tuple(word.lower().translate(_ACCENTS) for word in _WORD.findall(apart))


WHOLE_NAMES = frozenset(
    {"plate", "placa", "plaque", "conductor", "motorista", "resident", "celular", "mobile", "handy"}
)
"""Words that are personal on their own, and not at the end of a name: `temperatura_placa` is a circuit board's."""

DEFAULT_NAMES = WHOLE_NAMES | {name for names in PERSONAL.values() for name in names.split()}
_ENDINGS = frozenset(name.replace("_", "") for name in DEFAULT_NAMES - WHOLE_NAMES)


def is_personal(name: str) -> bool:
    """Whether a field of this name holds personal data, as far as its name tells.

    >>> [is_personal(name) for name in ("licensePlate", "number-plates", "plate", "template", "temperatura_placa")]
    [True, True, True, False, False]
    """
    return _is_personal(name[-_LONGEST_NAME:])


@lru_cache(maxsize=20_000)
def _is_personal(name: str) -> bool:
    words = squeezed(name)
    return "".join(words).removesuffix("s") in WHOLE_NAMES or any(
        ending in _ENDINGS or ending.removesuffix("s") in _ENDINGS
        for ending in ("".join(words[start:]) for start in range(len(words)))
    )


def namer(names: Collection[str]) -> Callable[[str], bool]:
    """A test for names of fields to remove: the personal ones and `names`, those as they are, in any case."""
    added = frozenset(name.casefold() for name in names)
    return lambda name: name.casefold() in added or is_personal(name)


def without_personal(value: object, names: Collection[str] = ()) -> object:
    """A JSON-like value in which what personal fields hold is replaced; the same object if there is none."""
    return _cleaned(value, namer(names), _DEEPEST)


def _cleaned(value: object, removes: Callable[[str], bool], depth: int, *, is_read: bool = False) -> object:
    """`is_read`: the value is what a reader of number plates tells."""
    if depth == 0:
        return REMOVED  # deeper than any device nests; not looked through, so not kept
    if isinstance(value, dict):
        told = _told_beside(value, removes)
        return {
            key: REMOVED
            if isinstance(key, str)
            and (removes(key) or key in told or _is_read(key, item, is_read=is_read) or _is_plate(key, item))
            else _cleaned(item, removes, depth - 1, is_read=isinstance(key, str) and key.lower() in _READERS)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [_cleaned(item, removes, depth - 1, is_read=is_read) for item in value]
    return value


def _told_beside(record: dict[object, object], removes: Callable[[str], bool]) -> Collection[str]:
    """The keys of a record that hold a personal value, if another key of it holds a personal name."""
    names = (name for key, name in record.items() if isinstance(key, str) and key.lower() in _NAMED_BY)
    if not any(isinstance(name, str) and removes(name) for name in names):
        return ()
    return [key for key in record if isinstance(key, str) and key.lower() in _VALUED_BY]


def _is_read(key: str, item: object, *, is_read: bool) -> bool:
    """Whether a field is a number plate because of the reader it is, or stands in."""
    if key.lower() in _READERS:
        return isinstance(item, str)
    return is_read and key.lower() in _READ and not isinstance(item, int | float)


def _is_plate(name: str, value: object) -> bool:
    """Whether a text looks like a number plate, and its name says that it may be one.

    >>> _is_plate("reg", "AB12 CDE"), _is_plate("reg", "40001x"), _is_plate("plateColour", "white")
    (True, False, False)
    """
    if not isinstance(value, str) or len(value) > _LONGEST_PLATE or not value.isupper():
        return False
    return bool(_LIKE_PLATE.fullmatch(value.strip())) and not _PLATE_WORDS.isdisjoint(squeezed(name))


def redact_topic(topic: str, names: Collection[str] = ()) -> str:
    """A topic to be kept: what follows a level with a personal name, or `=` after one, is replaced.

    >>> redact_topic("cameras/9/plate/AB-12"), redact_topic("gate/plate=AB-12/in"), redact_topic("gate/plate")
    ('cameras/9/plate/[removed]', 'gate/plate=[removed]/in', 'gate/plate')
    """
    removes = namer(names)
    levels = topic.split("/")
    kept = levels[:1]
    for before, level in pairwise(levels):
        kept.append(REMOVED if level and removes(before) else level)
    for at, level in enumerate(kept):
        name, sign, value = level.partition("=")
        if sign and value and removes(name):
            kept[at] = f"{name}={REMOVED}"
    return "/".join(kept)


def redact(payload: bytes, body_format: str, names: Collection[str] = ()) -> bytes:
    """A payload to be kept, without the values of personal fields: every byte else stays as it was sent.

    `body_format` is `json` (also for JSON that is malformed, and for other text: `plate=AB-12` is found too), `xml`,
    `cbor` or `msgpack`, of what a compressed payload holds; in the binary ones the message is encoded anew if anything
    was removed, and so is what was compressed, and JSON and XML that tell the name beside or around the value
    (`{"name": "plate", "value": "AB-12"}`). Payloads of another format, and binary ones that cannot be read, come back
    unchanged: there are no names in them to go by. `names` are removed beside the personal ones.
    """
    if payload.startswith(_GZIP) or (payload.startswith(_ZLIB) and body_format == "json"):
        return _repacked(payload, body_format, names)
    return _redacted(payload, body_format, names)


def _redacted(payload: bytes, body_format: str, names: Collection[str]) -> bytes:
    removes = namer(names)
    if body_format in ("json", "xml"):
        return _redacted_text_of_names(payload, removes)
    if body_format == "cbor":
        return _reencoded(payload, removes, _read_cbor, cbor2.dumps)
    if body_format == "msgpack":
        return _reencoded(payload, removes, msgspec.msgpack.decode, msgspec.msgpack.encode)
    return payload


def _read_cbor(payload: bytes) -> object:
    return cbor2.loads(payload)


def _reencoded(
    payload: bytes,
    removes: Callable[[str], bool],
    read: Callable[[bytes], object],
    write: Callable[[object], bytes],
) -> bytes:
    try:
        value = read(payload)
        cleaned = _cleaned(value, removes, _DEEPEST)
        return payload if cleaned == value else write(cleaned)
    except (msgspec.MsgspecError, cbor2.CBORError, ValueError, TypeError, ArithmeticError, RecursionError, LookupError):
        return payload


_GZIP = b"\x1f\x8b"
_ZLIB = b"\x78"


def _repacked(payload: bytes, body_format: str, names: Collection[str]) -> bytes:
    """What is compressed, looked through and compressed anew; text (an `x` may begin one) as such."""
    reader = zlib.decompressobj(wbits=47)
    try:
        plain = reader.decompress(payload, _LARGEST_UNPACKED)
    except zlib.error:
        return _redacted(payload, body_format, names)
    if reader.unconsumed_tail or plain.startswith(_GZIP):
        return REMOVED.encode()  # too large to be looked through, or compressed twice, so not kept
    cleaned = _redacted(plain, body_format, names)
    if cleaned == plain and not reader.unused_data:
        return payload
    writer = zlib.compressobj(wbits=31 if payload.startswith(_GZIP) else 15)
    return writer.compress(cleaned) + writer.flush()


# --- JSON text -------------------------------------------------------------------------------------------------------

# The end of a name and the sign after it: `"plate":`, `plate=`, `'plate' :`. A quoted name is looked for before its
# closing quote, so that a stray quote earlier on hides none.
_NAMED = re.compile(
    rb"""(?:(?P<quote>["'])|(?<![\w.\-\x80-\xff])(?P<bare>[\w.\-\x80-\xff]{1,100}+))\s{0,100}[:=]\s{0,100}"""
)
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_SINGLE_QUOTED = re.compile(rb"'[^']*+'?")
_SCALAR = re.compile(rb"""[^,;&}\]\s"'\\]+""")
_ESCAPED_QUOTE = b'\\"'  # around the texts of JSON that stands as a text in JSON
_OPEN = frozenset(b"[{")
_STEP = re.compile(rb'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


_json = msgspec.json.Decoder()


def _redacted_text_of_names(payload: bytes, removes: Callable[[str], bool]) -> bytes:
    """Text without personal values: found by the name before them, in JSON and XML also around and beside them."""
    text = _redacted_text(payload, removes)
    if b"<" in text:
        text = _redacted_elements(text, removes)
    if text.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        return _redacted_xml(text, removes)
    try:
        value = _json.decode(text)
        cleaned = _cleaned(value, removes, _DEEPEST)
        return text if cleaned == value else msgspec.json.encode(cleaned)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return text


_ELEMENT = re.compile(rb"<(?:[\w.\-]{1,100}+:)?([\w.\-\x80-\xff]{1,200}+)(?:\s[^<>]{0,1000}+)?>([^<]++)")
_CDATA = re.compile(rb"<(?:[\w.\-]{1,100}+:)?([\w.\-\x80-\xff]{1,200}+)>\s{0,100}<!\[CDATA\[([^<\]]{1,1000}+)\]\]>")


def _redacted_xml(payload: bytes, removes: Callable[[str], bool]) -> bytes:
    """XML without what the structure of its elements shows to be personal; it is written anew if there is any."""
    try:
        value = read_xml(payload, _DEEPEST, _MOST_ELEMENTS)
    except DecodeError:
        return payload
    cleaned = _cleaned(value, removes, _DEEPEST)
    return payload if cleaned == value else write_xml(cleaned)


def _redacted_elements(payload: bytes, removes: Callable[[str], bool]) -> bytes:
    """XML without the texts of elements with personal names; attributes are found as other text is."""

    def cleaned(element: re.Match[bytes]) -> bytes:
        if not element[2].strip() or not removes(_unfolded(element[1])):
            return element[0]
        return (
            element[0][: element.start(2) - element.start()]
            + REMOVED.encode()
            + element[0][element.end(2) - element.start() :]
        )

    return _CDATA.sub(cleaned, _ELEMENT.sub(cleaned, payload))


def _redacted_text(payload: bytes, removes: Callable[[str], bool]) -> bytes:
    return b"".join(_pieces(payload, removes))


def _pieces(payload: bytes, removes: Callable[[str], bool]) -> Iterator[bytes]:
    kept = position = 0
    while (named := _NAMED.search(payload, position)) is not None:
        position = named.end()
        quote = named["quote"]
        begin = named.start()
        if quote is not None:
            earliest = max(kept, named.start() - _LONGEST_NAME)
            begin = max(earliest, payload.rfind(quote, earliest, named.start()) + 1)
        name = named["bare"] if quote is None else payload[begin : named.start()]
        told = _unfolded(name)
        if not removes(told) and _PLATE_WORDS.isdisjoint(squeezed(told)):
            continue
        end = _end_of_value(payload, position)
        if not removes(told) and not _is_plate(told, _unquoted(payload[position : min(end, position + 100)])):
            continue
        if end > position:
            yield payload[kept:position]
            yield _in_place_of(payload, position, quoted=quote == b'"')
            kept = position = end
    yield payload[kept:]


def _in_place_of(payload: bytes, start: int, *, quoted: bool) -> bytes:
    """What stands for a removed value, in the quotes it had, or those of JSON."""
    if payload.startswith(_ESCAPED_QUOTE, start):
        return _ESCAPED_QUOTE + REMOVED.encode() + _ESCAPED_QUOTE
    first = payload[start : start + 1]
    mark = first if first in (b'"', b"'") else b'"' if quoted else b""
    return mark + REMOVED.encode() + mark


def _unquoted(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip("\"'\\")


def _unfolded(name: bytes) -> str:
    text = name.decode("utf-8", "replace")
    return re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), text) if "\\u" in text else text


def _end_of_value(payload: bytes, start: int) -> int:
    """Where the value that begins at `start` ends; the end of the payload if it is cut off."""
    if start >= len(payload):
        return start
    if payload[start] in _OPEN:
        depth = 0
        for step in _STEP.finditer(payload, start):
            depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(step[0], 0)
            if depth == 0:
                return step.end()
        return len(payload)
    if payload.startswith(_ESCAPED_QUOTE, start):
        end = payload.find(_ESCAPED_QUOTE, start + len(_ESCAPED_QUOTE))
        return len(payload) if end < 0 else end + len(_ESCAPED_QUOTE)
    found = _STRING.match(payload, start) or _SINGLE_QUOTED.match(payload, start) or _SCALAR.match(payload, start)
    return found.end() if found else start
