"""Users of one's own locustfile: sessions with a client whose requests Locust counts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]

LOCUSTFILE = """
import sys
from locust import constant, events, task
from loadtest import XmppUser


@events.request.add_listener
def tell(exception, **_):
    if exception:
        print(exception, file=sys.stderr)


class Sensor(XmppUser):
    grid = "engine-test"
    population = "sensor"
    fixed_count = 2
    wait_time = constant(0.1)

    def on_start(self):
        self.client.login()

    @task
    def report(self):
        self.client.publish("incidents", size_bytes=700, kind="iodef")


class Tool(XmppUser):
    grid = "engine-test"
    population = "tool"
    fixed_count = 3
    wait_time = constant(0.5)

    def on_start(self):
        self.client.login()
        self.client.subscribe("incidents")

    @task
    def look(self):
        reply = self.client.query(
            "<query xmlns='http://jabber.org/protocol/disco#items'/>", name="topics"
        )
        assert "incidents" in reply

    @task
    def ask_for_what_is_not_there(self):
        self.client.query(
            "<pubsub xmlns='http://jabber.org/protocol/pubsub'><items node='nowhere'/></pubsub>",
            name="nowhere",
        )
"""


def run(place, text, name, *arguments, **environment):
    """How Locust ends, and its rows by (method, name)."""
    path, stats = place / f"{name}.py", place / f"{name}-stats"
    path.write_text(text)
    outcome = subprocess.run(
        [
            *(str(Path(sys.executable).parent / "locust"), "-f", str(path), "--headless"),
            *("--only-summary", "-t", "6s", "-u", "5", "-r", "10", "--json-file", str(stats)),
            *arguments,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        check=False,
    )
    rows = json.loads(stats.with_suffix(".json").read_text())
    return outcome, {(row["method"], row["name"]): row for row in rows}


@pytest.mark.parametrize("patched", [True, False], ids=["patched", "unpatched"])
def test_users_log_in_publish_subscribe_and_ask(grid, place, patched):
    environment = {} if patched else {"LOCUST_SKIP_MONKEY_PATCH": "1"}
    outcome, rows = run(place, LOCUSTFILE, f"own-{patched}", **environment)
    assert rows["CONN", "login"]["num_requests"] == 5
    assert rows["CONN", "login"]["num_failures"] == 0, outcome.stderr
    assert rows["IQ", "subscribe"]["num_requests"] == 3
    published = rows["PUBLISH", "incidents"]
    assert published["num_requests"] > 10
    assert published["num_failures"] == rows["IQ", "topics"]["num_failures"] == 0
    # Three of five users hear what is published once they have subscribed.
    heard = rows["DELIVER", "incidents"]
    # Two may have been publishing when they were stopped: of that the copies alone are counted.
    most = 3 * (published["num_requests"] + 2)
    assert published["num_requests"] < heard["num_requests"] <= most
    assert 0.1 < heard["total_response_time"] / heard["num_requests"] < 1_000
    nowhere = rows["IQ", "nowhere"]
    assert nowhere["num_failures"] == nowhere["num_requests"] > 0
    assert "item-not-found" in outcome.stderr
    assert outcome.returncode == 1  # Locust's code where requests failed
    assert "Traceback" not in outcome.stderr


SLOW_TO_LOAD = """
import sys, time

if "loadtest.switchboard" in sys.orig_argv:
    time.sleep(4.0)
"""


def test_process_that_is_slow_to_load_does_not_eat_up_the_run(grid, place):
    """As on a busy machine: the run's 2 s begin once it is there."""
    slow = place / "slow"
    slow.mkdir()
    (slow / "sitecustomize.py").write_text(SLOW_TO_LOAD)
    path = os.pathsep.join((str(ROOT), str(slow)))
    outcome, rows = run(place, LOCUSTFILE, "slow", "-t", "2s", PYTHONPATH=path)
    assert rows["CONN", "login"]["num_requests"] == 5, outcome.stderr
    assert rows["CONN", "login"]["num_failures"] == 0, outcome.stderr
    assert rows["PUBLISH", "incidents"]["num_requests"] > 0


def test_without_a_grid_logins_fail_and_say_how_to_get_one(place):
    text = LOCUSTFILE.replace('"engine-test"', '"nowhere"')
    outcome, rows = run(place, text, "alone", "-t", "2s")
    assert rows["CONN", "login"]["num_failures"] == rows["CONN", "login"]["num_requests"] > 0
    assert "gridlab grid up" in outcome.stderr
    assert outcome.returncode == 1
