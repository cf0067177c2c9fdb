"""What the master of workers waits for before Locust ends."""

import importlib
import time
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="module")
def door():
    """The module, with Locust imported so that it does not patch this process for gevent."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCUST_SKIP_MONKEY_PATCH", "1")
        return importlib.import_module("loadtest.door")


def master(door, present):
    """A door whose Locust has these workers; `a` and `b` have a part of the run."""
    nodes = [SimpleNamespace(id=each) for each in present]
    clients = SimpleNamespace(ready=[], spawning=nodes[:1], running=nodes[1:])
    made = door.Door.__new__(door.Door)
    made._environment = SimpleNamespace(runner=SimpleNamespace(clients=clients))
    made._shared, made._reported = ("run-2", {"a", "b"}), set()
    return made


@pytest.mark.parametrize(
    ("present", "told", "least_s", "most_s"),
    [
        ("ab", [("run-2", "a", 0.0), ("run-2", "b", 0.3)], 0.3, 1.9),
        ("ab", [("run-2", "a", 0.0), ("run-1", "b", 0.1)], 2.0, 9.0),  # of another run
        ("a", [("run-2", "a", 0.2)], 0.2, 1.9),  # the other one was killed
        ("", [], 0.0, 1.9),
    ],
)
def test_master_waits_for_the_rows_of_workers_that_are_there(
    door, monkeypatch, present, told, least_s, most_s
):
    monkeypatch.setattr(door, "ROWS_WITHIN_S", 2.0)
    made, begun_s = master(door, present), time.monotonic()
    for tag, worker, after_s in told:
        message = SimpleNamespace(data=tag, node_id=worker)
        door.gevent.spawn_later(after_s, made._hear, message)
    made._await_rows()
    assert least_s <= time.monotonic() - begun_s < most_s
