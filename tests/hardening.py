"""Damaged files and interrupted writes, and what the lab does about them.

`python tests/hardening.py --files 100000 --records 10000` is the long proof of `make prove`; the
short one is `tests/test_hardening.py`. Whatever is wrong with a file, a loader accepts it or raises
its one kind of error; anything else ends the proof with the file that did it.
"""

from __future__ import annotations

import argparse
import collections
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import fuzzing
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import sim
import topologies
from results import RecordError, Run, open_run
from topologies import TopologyError, loading

PROFILES = ("profiles/prosody-0.12", "profiles/ejabberd-23", "profiles/fifo-sketch")
SLOWEST_S = 20.0  # CPU time after which a file counts as a hang


@dataclass
class Tally:
    """How many were accepted and refused, and the most CPU time that one took. [s]"""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    slowest_s: float = 0.0

    def note(self, verdict: str, took_s: float) -> None:
        """One more."""
        assert took_s < SLOWEST_S, "took so long that people would call it a hang"
        self.counts[verdict] += 1
        self.slowest_s = max(self.slowest_s, took_s)


def topology(content: bytes) -> str:
    """Load a topology file and ask it what needs no simulation; accepted or refused."""
    try:
        found = topologies.parse(content, "damaged.yaml")
        topologies.describe(found)
        assert topologies.Plan(found).rows >= 0
        sim.estimate(found)
    except TopologyError as error:
        return refused(error.problems)
    return "accepted"


def profile(content: bytes) -> str:
    """Load a profile; accepted or refused."""
    try:
        loading.parse_profile(content, "damaged.yaml")
    except TopologyError as error:
        return refused(error.problems)
    return "accepted"


def refused(problems: list[str]) -> str:
    """Every problem is one printable line."""
    assert problems
    assert all(line.strip() and line.isprintable() for line in problems), problems
    return "refused"


def record(directory: Path) -> str:
    """Open a run and sum it up; accepted or refused."""
    try:
        open_run(directory).summary()
    except RecordError:
        return "refused"
    return "accepted"


def examine(
    strategy: st.SearchStrategy[bytes],
    judge: Callable[[bytes], str],
    examples: int,
    *,
    seeded: bool,
) -> Tally:
    """Judge that many examples of a strategy; `seeded` ones are the same each time."""
    tally = Tally()

    @settings(
        max_examples=examples, database=None, deadline=None, derandomize=seeded,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(strategy)
    def each(content: bytes) -> None:
        started_s = time.process_time()
        tally.note(judge(content), time.process_time() - started_s)

    each()
    return tally


def damaged_records(run: Run, examples: int, seed: int) -> Tally:
    """Damage copies of a stored run: bits flipped, ends cut, files lost, swapped or doubled."""
    tally, draws = Tally(), np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as place:
        whole = run.save(Path(place) / "whole")
        victim = Path(place) / "victim"
        for _ in range(examples):
            shutil.copytree(whole, victim)
            changed = damage(victim, draws)
            started_s = time.process_time()
            verdict = record(victim)
            tally.note(verdict, time.process_time() - started_s)
            assert verdict == "refused" or not changed, "damage was not found"
            shutil.rmtree(victim)
    return tally


def damage(directory: Path, draws: np.random.Generator) -> bool:
    """Damage one file of a run; whether that changed anything."""
    files = sorted(directory.iterdir())
    path = files[draws.integers(len(files))]
    content = path.read_bytes()
    at = int(draws.integers(len(content)))
    match draws.choice(["flip", "flip", "burst", "cut", "lose", "swap", "double", "folder"]):
        case "flip":
            made = (
                content[:at]
                + bytes([content[at] ^ 1 << int(draws.integers(8))])
                + content[at + 1 :]
            )
        case "burst":
            made = content[:at] + draws.bytes(min(64, len(content) - at)) + content[at + 64 :]
        case "cut":
            made = content[:at]
        case "double":
            made = content + content[at:]
        case "swap":
            made = files[draws.integers(len(files))].read_bytes()
        case kind:
            path.unlink()
            if kind == "folder":
                path.mkdir()
            return True
    path.write_bytes(made)
    return made != content


def small_run() -> Run:
    """A run of half a second's work, without compiled kernels."""
    found = topologies.load("single-broker", ["workload.duration=2 s"])
    return sim.simulate(found, replications=1, processes=1, engine="reference")


def prove(files: int, records: int) -> dict[str, object]:
    """The document of the long proof; it only exists if nothing went wrong."""
    tallies = {
        "topologies": examine(fuzzing.files(fuzzing.TOPOLOGIES), topology, files, seeded=False),
        "profiles": examine(fuzzing.files(PROFILES), profile, records, seeded=False),
        "records": damaged_records(small_run(), records, seed=1),
    }
    return {
        name: {
            "examined": sum(tally.counts.values()),
            "accepted": tally.counts["accepted"],
            "refused": tally.counts["refused"],
            "slowest_s": round(tally.slowest_s, 3),
        }
        for name, tally in tallies.items()
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=10_000)
    chosen = parser.parse_args()
    json.dump(prove(chosen.files, chosen.records), sys.stdout, indent=1)
