"""docs/howto/add-a-device.md, followed to the letter on a running system."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support.databases import TestDatabase
from tests.support.servers import MosquittoBroker
from tests.support.services import Service, environment_for
from tests.support.waiting import wait_until

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "add-a-device.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class System(NamedTuple):
    """A running system, with the environment its commands need."""

    environment: dict[str, str]
    web: str
    mqtt_port: int
    directory: Path


@pytest.fixture
def system(broker: MosquittoBroker, database: TestDatabase, tmp_path: Path) -> Iterator[System]:
    """Ingest and web, as `make run` would have them."""
    with ExitStack() as stack:
        web = ""
        for module in ("ingest", "dashboard"):
            environment = environment_for(broker, database)
            environment["PULSO_WEB_PORT"] = environment["PULSO_HEALTH_PORT"]
            service = stack.enter_context(Service(module, environment=environment, log=tmp_path / f"{module}.log"))
            service.wait_ready()
            web = f"127.0.0.1:{environment['PULSO_WEB_PORT']}"
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        yield System(os.environ | environment | {"PATH": path}, web, broker.port, tmp_path)


def run(system: System, script: str) -> str:
    """A block of shell as the page has it, but for the ports of this system."""
    script = script.replace("-p 1883", f"-p {system.mqtt_port}").replace("127.0.0.1:8050", system.web)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=system.directory, env=system.environment, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def kept(database: TestDatabase) -> int:
    return int(str(database.query("SELECT count(*) FROM rejected_message WHERE state = 'kept'")[0][0]))


def stored(database: TestDatabase) -> list[tuple[object, ...]]:
    return database.query(
        "SELECT observed_property, unit, result, extract(epoch FROM phenomenon_time)::bigint FROM observation"
        " JOIN datastream USING (datastream_id) JOIN thing USING (thing_id) WHERE external_id = 'acme-17' ORDER BY 1, 4"
    )


@pytest.mark.skipif(shutil.which("mosquitto_pub") is None, reason="needs mosquitto_pub (mosquitto-clients)")
def test_the_page_leads_from_an_unknown_payload_to_stored_observations(system: System, database: TestDatabase) -> None:
    told = ""
    for language, options, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        if language == "sh":
            told = run(system, text)
            if "mosquitto_pub" in text:
                wait_until(lambda: kept(database) == 2, within=20, what="both messages are kept")
            if "quarantined" in text:
                assert "acme/boxes/+/report" in told
            if "things adopt" in text:
                wait_until(lambda: kept(database) == 0, within=20, what="both messages are replayed")
        elif language == "toml":
            name = shlex.split(options)[0].removeprefix("file=")
            (system.directory / name).write_text(text, encoding="utf-8")
        elif language == "json":
            expected, answer = json.loads(text), json.loads(told)
            assert answer["outcome"] == expected["outcome"]
            assert [thing["thing_id"] for thing in answer["things"]] == expected["things"]
            assert sorted(row["observed_property"] for row in answer["observations"]) == expected["properties"]
    assert len(json.loads(told.splitlines()[-1])["items"]) == 2, "the last command of the page shows them"
    assert stored(database) == [
        ("battery_voltage", "V", 3.612, 1795363200),
        ("battery_voltage", "V", 3.611, 1795363260),
        ("no2", "ppb", 21.0, 1795363200),
        ("no2", "ppb", 22.0, 1795363260),
        ("pm2_5", "ug/m3", 18.4, 1795363200),
        ("pm2_5", "ug/m3", 19.1, 1795363260),
        ("temperature", "Cel", 19.5, 1795363200),
    ]
