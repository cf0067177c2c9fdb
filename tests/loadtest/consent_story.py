"""Run in a network namespace of its own: a grid on a veth address, driven with consent, then not.

`consent_story.py TOPOLOGY` prints one JSON object: what happened in each chapter.
"""

import asyncio
import datetime
import json
import os
import subprocess
import sys
import threading
import time

import topologies
from loadtest import consent, deployment, engine, pubsub, rails
from loadtest.problems import Problem
from loadtest.testbed import enter

FAR = "10.77.0.1"
BROKER = "broker.alpha.test"


def network():
    for line in (
        "link set lo up",
        "link add grid0 type veth peer name grid1",
        f"addr add {FAR}/24 dev grid0",
        "link set grid0 up",
        "link set grid1 up",
    ):
        subprocess.run(["ip", *line.split()], check=True)


def relay(address, port):
    """Lead the veth address to the server on loopback, outside of what is tested."""

    async def pass_on(reader, writer):
        onward = await asyncio.open_connection(address, port)

        async def copy(source, sink):
            try:
                while data := await source.read(65_536):
                    sink.write(data)
                    await sink.drain()
            except OSError:
                pass
            sink.close()

        await asyncio.gather(copy(reader, onward[1]), copy(onward[0], writer))

    async def serve():
        server = await asyncio.start_server(pass_on, FAR, port)
        await server.serve_forever()

    threading.Thread(target=lambda: asyncio.run(serve()), daemon=True).start()


async def owner_says(grid, *requests):
    owner = await enter(grid, "admin", grid.credentials()["admin@alpha.test"], "owner")
    for request in requests:
        reply = await owner.ask("set", BROKER, request)
        assert reply.ok, reply.text
    await owner.leave()


def consented(sessions):
    until = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=5)
    words = f"run='far' until='{until.isoformat()}' sessions='{sessions}'"
    payload = f"<consent xmlns='{consent.NODE}' {words} connections='100' stanzas='1000'/>"
    return pubsub.publish(consent.NODE, "consent", payload)


def refusal(action):
    try:
        action()
    except Problem as problem:
        return str(problem)
    return "nothing was refused"


def named(text, words):
    return words if words in text else text


def main(path):
    network()
    told = {}
    with deployment.ephemeral(topologies.load(path)) as near:
        document = near.document()
        served = document["controllers"]["alpha"]
        for port in (served["port"], served["direct_tls_port"]):
            relay(served["address"], port)
        running = {
            "address": FAR, "ca": served["ca_file"], "accounts": document["accounts_file"]
        }  # fmt: skip
        wishes = [f"controllers[0].running.{key}={value}" for key, value in running.items()]
        far = topologies.load(path, wishes)
        told["without"] = named(refusal(lambda: deployment.up(far, "far")), "no consent")
        make = pubsub.create(consent.NODE, {"persist_items": "true", "notify_retract": "true"})
        asyncio.run(owner_says(near, make, consented(sessions=2)))
        grid = deployment.up(far, "far")
        few = refusal(lambda: engine.play(far, grid, duration_s=2))
        told["too many"] = named(few, "above the cap of 2")
        asyncio.run(owner_says(near, consented(sessions=50)))
        time.sleep(1.0)
        ledger = engine.play(far, grid, duration_s=2).header.measurement["ledger"]
        told["with"] = ledger["delivered"] == ledger["expected"] > 0
        retract = pubsub.retract(consent.NODE, "consent")
        asyncio.run(owner_says(near, retract))
        begun_s = time.monotonic()
        while grid.document()["state"] == "up" and time.monotonic() < begun_s + 15:
            time.sleep(0.05)
        told["retracted"] = named(grid.document()["problem"] or "", "was retracted")
        told["within_s"] = time.monotonic() - begun_s < 2.0
        os.environ[rails.CONSENT_VARIABLE] = str(grid.directory / rails.CONSENT_FILE)
        deployment.down("far")
        far_away = refusal(lambda: rails.check_address(FAR))
        told["afterwards"] = named(far_away, "is not a loopback address")
    print(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1])
