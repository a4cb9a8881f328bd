"""What ingest counts. The books of messages balance: received = stored + duplicate + rejected + ignored + in flight."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from prometheus_client import Counter, Gauge, Histogram

from pulso.db.observations import ObservationColumns
from pulso.model import Quality

RECEIVED = Counter("pulso_ingest_messages_received", "Messages taken up in a batch")
WAITING = Gauge("pulso_ingest_messages_waiting", "Messages from the broker that wait for their batch")
SETTLED = Counter("pulso_ingest_messages_settled", "Messages stored or put aside, after COMMIT", ["outcome"])
IN_FLIGHT = Gauge("pulso_ingest_messages_in_flight", "Messages of the batches at work")
REPLAYED = Counter("pulso_ingest_messages_replayed", "Rejected messages that were tried again")
UNACCOUNTED = Counter("pulso_ingest_messages_unaccounted", "Messages of which nobody knows what became; 0 or a fault")
DROPPED = Counter("pulso_ingest_messages_dropped", "QoS 0 messages dropped because the inbox was full")
REJECTED = Counter("pulso_ingest_messages_rejected", "Rejected messages", ["reason"])
OBSERVATIONS = Counter("pulso_ingest_observations", "Observations that arrived", ["outcome"])
QUALITY = Counter("pulso_ingest_observations_assessed", "Observations by quality", ["quality"])
LATE = Counter("pulso_ingest_observations_late", "Observations received later than this after their time", ["than"])
DEVICE_FAULTS = Gauge("pulso_ingest_device_faults", "Faults in the device files that keep the newer ones from use")
BATCH_SECONDS = Histogram(
    "pulso_ingest_batch_seconds",
    "From taking a batch to its acknowledgement",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
STAGE_SECONDS = Counter(
    "pulso_ingest_stage_seconds", "Time by stage; a batch is understood while the one before it is stored", ["stage"]
)
STORE_FAILURES = Counter("pulso_ingest_store_failures", "Transactions that failed and were tried again")
HOUSEKEEPING_FAILURES = Counter("pulso_ingest_housekeeping_failures", "Steps beside the batches that failed")
LAST_COMMIT = Gauge("pulso_ingest_last_commit_timestamp_seconds", "When the last batch was committed")

_LATE = {"1m": 60, "5m": 300, "1h": 3600, "1d": 86_400}


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Count the time that passes within to a stage of the way of a batch."""
    began = time.perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(name).inc(time.perf_counter() - began)


def count_quality(columns: ObservationColumns) -> None:
    """Count a batch by quality, and what of it came late."""
    for quality, count in zip(*np.unique(columns.quality, return_counts=True), strict=True):
        QUALITY.labels(Quality(int(quality)).name.lower()).inc(int(count))
    delay = columns.received_at - columns.phenomenon_time
    for name, seconds in _LATE.items():
        late = int(np.count_nonzero(delay > seconds * 1_000_000))
        if late:
            LATE.labels(name).inc(late)
