"""What the web process counts, in a registry of its own."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest


class WebMetrics:
    """Counters of one web process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.viewers = Gauge("pulso_web_viewers", "Open live streams.", registry=self.registry)
        self.frames = Counter("pulso_web_frames_total", "Live frames handed to viewers.", registry=self.registry)
        self.encoded = Counter("pulso_web_frames_encoded_total", "Live frames serialised.", registry=self.registry)
        self.reads = Counter(
            "pulso_web_live_reads_total", "Database queries of the live feed.", ["query"], registry=self.registry
        )
        self.read_seconds = Histogram(
            "pulso_web_live_read_seconds",
            "Duration of one round of the live feed's queries, in seconds.",
            registry=self.registry,
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3),
        )
        self.database_up = Gauge(
            "pulso_web_database_up", "1 while the database answers the live feed.", registry=self.registry
        )
        self.delay = Gauge(
            "pulso_web_delay_seconds",
            "Age of the newest stored observation, in seconds; NaN without one.",
            registry=self.registry,
        )

    def text(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
