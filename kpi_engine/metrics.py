"""What the engine tells Prometheus."""

from prometheus_client import Counter, Gauge, Histogram

OBSERVATIONS = Counter("pulso_kpi_observations", "Observations taken up from the hand-off")
VALUES = Counter("pulso_kpi_values_written", "KPI values written, by what happened to them", ["what"])
LAG = Gauge("pulso_kpi_lag_seconds", "Age of the oldest hand-off batch when it was taken up")
WATERMARK_DELAY = Gauge("pulso_kpi_watermark_delay_seconds", "How far the slowest family's watermark is behind")
STEP_SECONDS = Histogram(
    "pulso_kpi_step_seconds",
    "Duration of one step: read, compute, commit",
    buckets=(0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0),
)
RECOVERIES = Counter("pulso_kpi_recoveries", "Times memory was rebuilt from the database after an error")
