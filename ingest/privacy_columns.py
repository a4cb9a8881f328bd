"""Personal cells of text in columns, and personal groups of text that a pattern reads: the names stand elsewhere.

They stand in the first line of a table, or in the mapping that reads the text.
"""

import csv
import io
from collections.abc import Callable, Sequence

from ingest.mapping.patterns import Pattern
from ingest.privacy import REMOVED

_SEPARATORS = (";", "\t", "|", ",")
_LONGEST_HEAD = 4000  # characters of a line that may name columns
_NO_TABLE = ("{", "[", "<")

Removes = Callable[[str], bool]


def redact_headed(text: str, removes: Removes) -> str:
    """A table whose first line names its columns, without the cells of personal ones; any other text as it is.

    >>> redact_headed("plate;speed\\nAB-12;33", lambda name: name == "plate")
    'plate;speed\\n[removed];33'
    """
    head, _, rows = text.lstrip("\ufeff \r\n").partition("\n")
    if not rows or len(head) > _LONGEST_HEAD or head.startswith(_NO_TABLE):
        return text
    for separator in _SEPARATORS:
        columns = _cells(head.rstrip("\r"), separator)
        if len(columns) > 1 and any(map(removes, columns)):
            return f"{head}\n{redact_columns(rows, columns, separator, removes)}"
    return text


def redact_columns(text: str, columns: Sequence[str], separator: str, removes: Removes) -> str:
    """Rows of these columns, without the cells of personal ones; what stands behind the last column goes with it."""
    personal = {place for place, name in enumerate(columns) if removes(name)}
    if not personal:
        return text
    behind = len(columns) - 1 in personal
    lines = text.split("\n")
    return "\n".join(
        _row(line, separator, lambda place: place in personal or (behind and place >= len(columns))) if line else line
        for line in lines
    )


def redact_groups(text: str, pattern: Pattern, removes: Removes, *, lines: bool) -> str:
    """Text without what the personal groups of a pattern find in it, or in each of its lines."""
    if not any(map(removes, pattern.expression.groupindex)):
        return text
    return "\n".join(_without_groups(line, pattern, removes) for line in (text.split("\n") if lines else [text]))


def _without_groups(text: str, pattern: Pattern, removes: Removes) -> str:
    found = pattern.search(text)
    if found is None:
        return REMOVED if text.strip() else text  # where in it a personal value stands, nobody can tell
    spans = sorted((found.span(name) for name in pattern.expression.groupindex if removes(name)), reverse=True)
    for start, end in spans:
        text = text[:start] + REMOVED + text[end:] if end > start >= 0 else text
    return text


def _row(line: str, separator: str, is_personal: Callable[[int], bool]) -> str:
    cells = _cells(line, separator)
    cleaned = [REMOVED if is_personal(place) and cell.strip() else cell for place, cell in enumerate(cells)]
    if cleaned == cells:
        return line
    written = io.StringIO()
    csv.writer(written, delimiter=separator, lineterminator="").writerow(cleaned)
    return written.getvalue() + ("\r" if line.endswith("\r") else "")


def _cells(line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=separator), [])
    except csv.Error:
        return line.split(separator)
