"""Topics on which Pulso's own services talk to each other: nothing on them is measured."""

from ingest.decoders import decoder
from ingest.message import Context, Decoded, Incoming, ignored


@decoder("pulso_own", topics=("pulso/sim/#",))
def decode(_message: Incoming, _context: Context) -> Decoded:
    """Ignore a request to the simulator."""
    return ignored("a request to the simulator")
