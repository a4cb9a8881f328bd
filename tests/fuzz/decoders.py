"""Coverage-guided fuzzing of every decoder, the profiles and the vocabulary, through the one function of ingest.

`python -m tests.fuzz.decoders CORPUS [libFuzzer options]`, for instance `-max_total_time=600`. The examples beside the
decoders are the seeds. The first two bytes of an input choose the topic and content type of an example, the rest is the
payload. Anything that leaves the interpreter but NotUnderstood, or takes longer than `-timeout`, ends the run.
"""

import sys
from pathlib import Path
from typing import Any

import atheris

with atheris.instrument_imports(include=["ingest", "pulso"]):
    from zoneinfo import ZoneInfo

    from ingest.interpret import Interpreter, NotUnderstood
    from ingest.mapping import load_devices
    from ingest.memory import Memory
    from ingest.message import MessageOutcome, RawMessage
    from pulso.errors import RejectReason
    from tests.support.examples import all_examples, payload_of

RECEIVED_AT = 1_795_370_400_000_000


EXAMPLES = [example for _, example in all_examples()]


def try_one(data: bytes) -> None:
    """Interpret one input. Raises whatever a decoder should not have let through."""
    example = EXAMPLES[int.from_bytes(data[:2], "big") % len(EXAMPLES)]
    memory = Memory(example.get("memory", {}))
    interpreter = Interpreter(load(), ZoneInfo("America/Mexico_City"), memory)
    message = RawMessage(example["topic"], data[2:], RECEIVED_AT, content_type=example.get("content_type"))
    try:
        meant = interpreter.interpret(message)
    except NotUnderstood as error:
        if error.reason is RejectReason.DECODER_FAILED:
            raise error.__cause__ or error from None
        interpreter.redacted(message)
        return
    if meant.outcome not in MessageOutcome:
        raise AssertionError(meant)


_DEVICES: list[Any] = []


def load() -> Any:
    """The device library, once."""
    if not _DEVICES:
        _DEVICES.append(load_devices([]))
    return _DEVICES[0]


def write_seeds(corpus: Path) -> None:
    """Every example as an input."""
    corpus.mkdir(parents=True, exist_ok=True)
    for number, example in enumerate(EXAMPLES):
        (corpus / f"example-{number:04d}").write_bytes(number.to_bytes(2, "big") + payload_of(example))


if __name__ == "__main__":
    write_seeds(Path(sys.argv[1]))
    atheris.Setup(sys.argv, try_one)
    atheris.Fuzz()
