"""What Platforms that hardly read cost, from made runs whose figures are known."""

import numpy as np
import pytest
from synthetic import steady

from results import Run, slow_readers

PLATFORMS = """
platforms:
  - {name: tools, count: 36}
  - {name: sleeper, count: 4, role: adversary, subscribes: [sessions]}
  - {name: forger, count: 9, role: adversary, publishes: [sessions]}
"""


def made(grown_bytes, platforms=PLATFORMS, **header):
    """A run whose server holds so much more from its second minute on."""
    draft = steady(replications=2, **header)
    text = draft.header.topology.text + platforms
    topology = draft.header.topology.model_copy(update={"text": text})
    draft.header = draft.header.model_copy(update={"topology": topology})
    late = draft.intervals["end_s"] > 60.0
    draft.intervals["memory_bytes_max"] = 5e6 + np.where(late, grown_bytes, 0.0)
    return Run(draft)


def test_what_grows_more_is_shared_out_to_those_who_do_not_read():
    found = slow_readers.figures(made(9e6), made(1e6))
    assert found["held_per_reader_bytes"].value == pytest.approx(8e6 / 4)
    assert found["cut_sessions"].value == 0.0


def test_sessions_that_the_server_ended_are_counted_on_both_sides():
    simulated = made(1e6, measurement={"sessions": {"nac": {"cut": 6}}})
    assert slow_readers.figures(simulated, made(1e6))["cut_sessions"].value == 3.0
    lost = {"generator": {"lost_sessions": [[3, "closed"]]}}
    measured = made(1e6, origin="measured", measurement=lost)
    assert slow_readers.figures(measured, made(1e6))["cut_sessions"].value == 1.0


def test_without_such_readers_there_are_no_figures():
    nobody = "\nplatforms:\n  - {name: tools, count: 40}\n"
    assert slow_readers.figures(made(9e6, nobody), made(1e6, nobody)) == {}
