"""A short coverage-guided run over all decoders; `python -m tests.fuzz.decoders` runs as long as you like."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

SECONDS = 20


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is for Linux only")
def test_no_input_gets_more_than_a_refusal_out_of_a_decoder(tmp_path: Path) -> None:
    options = [f"-max_total_time={SECONDS}", "-timeout=5", "-rss_limit_mb=2048", "-max_len=4096", "-seed=1"]
    command = [sys.executable, "-m", "tests.fuzz.decoders", str(tmp_path / "corpus"), *options]
    environment = {**os.environ, "PULSO_LOG_LEVEL": "error"}
    run = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, check=False, timeout=110
    )
    told = (run.stdout + run.stderr).decode(errors="replace")
    assert run.returncode == 0, told[-6000:]
    assert "DONE" in told
