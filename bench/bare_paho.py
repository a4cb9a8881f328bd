"""The measure of ingest: a bare paho client that receives and acknowledges, and does nothing else.

Run as a process of its own, so that it has an interpreter to itself as ingest has: prints messages and seconds.
"""

import argparse
import threading
import time

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

TIMEOUT = 120.0


def receive(port: int, client: paho.Client, shared_filter: str, count: int, in_flight: int) -> float:
    """Receive and acknowledge `count` messages; returns seconds from the first to the last acknowledgement."""
    done = threading.Event()
    seen = 0
    first = last = 0.0

    def on_message(client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        nonlocal seen, first, last
        first = first or time.perf_counter()
        client.ack(message.mid, message.qos)
        seen += 1
        if seen == count:
            last = time.perf_counter()
            done.set()

    def on_connect(client: paho.Client, *_: object) -> None:
        client.subscribe(shared_filter, options=SubscribeOptions(qos=1))
        if count == 0:
            done.set()

    client.on_message = on_message
    client.on_connect = on_connect
    properties = Properties(PacketTypes.CONNECT)
    properties.ReceiveMaximum = in_flight
    properties.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_start()
    if not done.wait(TIMEOUT):
        raise SystemExit(f"only {seen} of {count} messages within {TIMEOUT:g} s")
    if count == 0:
        time.sleep(0.5)
    client.disconnect()
    client.loop_stop()
    return last - first


def main() -> None:
    """Command line of the process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--client-id", required=True)
    parser.add_argument("--share", required=True)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--in-flight", type=int, default=20_000)
    options = parser.parse_args()
    client = paho.Client(CallbackAPIVersion.VERSION2, options.client_id, protocol=paho.MQTTv5, manual_ack=True)
    shared_filter = f"$share/{options.share}/pulso/v1/#"
    seconds = receive(options.port, client, shared_filter, options.count, options.in_flight)
    print(options.count, seconds)


if __name__ == "__main__":
    main()
