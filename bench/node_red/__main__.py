"""Ingest against a Node-RED flow that decodes and batches into the same table, in one run on the same servers.

The flow is as quick as such a flow can be made: one function node that parses, one that inserts a thousand messages
with a single statement and knows the datastreams beforehand. It acknowledges before it stores, checks nothing, and
registers nothing; a crash loses what it holds.

Node-RED is no dependency of Pulso: `npm install node-red pg` in a directory, and give that with --node-red.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from bench.ingest import bare_paho, drain, ingest_service
from bench.mqtt_load import Loader, traffic_messages
from bench.servers import private_broker, private_database

_DECODE = """
const body = JSON.parse(msg.payload), at = Date.parse(body.phenomenon_time), now = Date.now();
const stream = 3 * Number(msg.topic.slice(-5)) + 1;
const batch = flow.get('batch') || [];
let place = 0;
for (const name in body.observations) batch.push([stream + place++, at, body.observations[name], now]);
if (batch.length < 3000) { flow.set('batch', batch); return null; }
flow.set('batch', []);
return { payload: batch };
"""
_REST = "const batch = flow.get('batch') || []; flow.set('batch', []); return batch.length ? { payload: batch } : null;"
_STORE_SETUP = (
    "const pool = new pg.Pool({ connectionString: env.get('BENCH_DSN'), max: 4 }); context.set('pool', pool);"
)
_STORE = """
const rows = msg.payload, columns = [[], [], [], []];
for (const row of rows) for (let place = 0; place < 4; place++) columns[place].push(row[place]);
await context.get('pool').query(
  `INSERT INTO observation (datastream_id, phenomenon_time, result, quality, received_at)
   SELECT stream, to_timestamp(at / 1000.0), result, 2, to_timestamp(received / 1000.0)
   FROM unnest($1::int[], $2::float8[], $3::float8[], $4::float8[]) AS told (stream, at, result, received)
   ON CONFLICT DO NOTHING`, columns);
return null;
"""


def flow(port: int) -> list[dict[str, object]]:
    """The flow as Node-RED reads it: mqtt in -> decode -> store, and a clock that sends what is left."""
    broker = {
        "id": "broker", "type": "mqtt-broker", "broker": "127.0.0.1", "port": str(port), "clientid": "node-red",
        "autoConnect": True, "protocolVersion": "5", "keepalive": "60", "cleansession": False, "sessionExpiry": "3600",
    }  # fmt: skip
    function = {"type": "function", "z": "tab", "outputs": 1, "libs": []}
    return [
        {"id": "tab", "type": "tab", "label": "ingest"},
        broker,
        {"id": "in", "type": "mqtt in", "z": "tab", "topic": "pulso/v1/#", "qos": "1", "datatype": "utf8",
         "broker": "broker", "wires": [["decode"]]},
        {**function, "id": "decode", "func": _DECODE, "wires": [["store"]]},
        {"id": "clock", "type": "inject", "z": "tab", "repeat": "0.2", "once": True, "props": [], "wires": [["rest"]]},
        {**function, "id": "rest", "func": _REST, "wires": [["store"]]},
        {**function, "id": "store", "func": _STORE, "initialize": _STORE_SETUP, "wires": [[]],
         "libs": [{"var": "pg", "module": "pg"}]},
    ]  # fmt: skip


@contextmanager
def node_red(installed: Path, home: Path, dsn: str) -> Iterator[None]:
    """Node-RED with the flow that lies in `home`."""
    log = (home / "log").open("ab")
    command = ["node", str(installed / "node_modules" / "node-red" / "red.js"), "--userDir", str(home), "flows.json"]
    environment = os.environ | {"BENCH_DSN": dsn, "NODE_PATH": str(installed / "node_modules")}
    process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=home)
    try:
        yield
    finally:
        process.kill()  # a regular end would unsubscribe, and nothing would wait for the next round
        process.wait(30)
        log.close()


def prepare(home: Path, installed: Path, port: int) -> None:
    """A user directory of Node-RED: its flow, its settings, and the database driver."""
    (home / "flows.json").write_text(json.dumps(flow(port)), encoding="utf-8")
    settings = (
        "module.exports = { uiHost: '127.0.0.1', uiPort: 0, functionExternalModules: true, httpAdminRoot: false }"
    )
    (home / "settings.js").write_text(settings, encoding="utf-8")
    dependencies = {"name": "bench", "version": "1.0.0", "dependencies": {"pg": "*"}}
    (home / "package.json").write_text(json.dumps(dependencies), encoding="utf-8")
    (home / "node_modules").symlink_to(installed / "node_modules")


def flow_drains(installed: Path, home: Path, dsn: str, count: int) -> float:
    """Messages/s that the flow stores of `count` waiting ones: first receipt to the last row that is seen."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("TRUNCATE observation, observation_batch, observation_correction")
        with node_red(installed, home, dsn):
            deadline = time.monotonic() + 120
            while True:
                (stored, first), seen = (
                    connection.execute(
                        "SELECT count(*), extract(epoch FROM min(received_at))::float8 FROM observation"
                    ).fetchone()
                    or (0, 0.0),
                    time.time(),
                )
                if stored >= 3 * count:
                    return count / (seen - first)
                if time.monotonic() > deadline:
                    raise SystemExit(f"the flow stored {stored} of {3 * count} within 120 s; see {home / 'log'}")
                time.sleep(0.05)


def main() -> None:
    """Print both rates, and their ratio, of each round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--node-red", type=Path, required=True, help="directory in which node-red and pg are installed")
    parser.add_argument("--messages", type=int, default=60_000, help="waiting messages per round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="pulso-node-red-"))
    ratios: list[float] = []
    with private_broker() as broker, private_database() as (dsn, database):
        prepare(home, options.node_red.resolve(), broker.port)
        bare_paho(broker.port, 0)
        with ingest_service(broker.port, dsn), node_red(options.node_red.resolve(), home, dsn):
            time.sleep(10)  # long enough for both to make their sessions
        print(f"node-red: {options.messages:,} messages of 3 observations, {options.rounds} rounds, {database}")
        for number in range(options.rounds):
            with Loader("127.0.0.1", broker.port) as loader:
                start = datetime.now(UTC) - timedelta(days=1 + number)
                loader.publish(traffic_messages(options.messages, start=start))
            bare = bare_paho(broker.port, options.messages)
            ours = drain(broker.port, dsn, options.messages).rate
            theirs = flow_drains(options.node_red.resolve(), home, dsn, options.messages)
            ratios.append(ours / theirs)
            print(f"  round {number + 1}: bare paho {bare:,.0f}/s, ingest {ours:,.0f}/s, Node-RED {theirs:,.0f}/s")
    print(f"  ingest / Node-RED: {statistics.median(ratios):.2f}")
    shutil.rmtree(home)


if __name__ == "__main__":
    main()
