"""Text of devices in a TOML file that Pulso writes."""

import json


def shown(value: object) -> str:
    """A value of the message in a comment."""
    text = json.dumps(value, ensure_ascii=False)[:60]
    return "".join(character if character.isprintable() else "?" for character in text)


def quoted(text: str) -> str:
    """A text in TOML: in single quotes where it holds double ones, as paths with quoted keys do."""
    if '"' in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
