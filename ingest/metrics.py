"""What ingest counts. The books of messages balance: received = stored + duplicate + rejected + ignored + in flight."""

from prometheus_client import Counter, Gauge, Histogram

RECEIVED = Counter("pulso_ingest_messages_received", "Messages taken up in a batch")
WAITING = Gauge("pulso_ingest_messages_waiting", "Messages from the broker that wait for their batch")
SETTLED = Counter("pulso_ingest_messages_settled", "Messages stored or put aside, after COMMIT", ["outcome"])
IN_FLIGHT = Gauge("pulso_ingest_messages_in_flight", "Messages of the batch at work")
DROPPED = Counter("pulso_ingest_messages_dropped", "QoS 0 messages dropped because the inbox was full")
REJECTED = Counter("pulso_ingest_messages_rejected", "Rejected messages", ["reason"])
OBSERVATIONS = Counter("pulso_ingest_observations", "Observations that arrived", ["outcome"])
BATCH_SECONDS = Histogram(
    "pulso_ingest_batch_seconds",
    "From taking a batch to its acknowledgement",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
STORE_FAILURES = Counter("pulso_ingest_store_failures", "Transactions that failed and were tried again")
LAST_COMMIT = Gauge("pulso_ingest_last_commit_timestamp_seconds", "When the last batch was committed")
