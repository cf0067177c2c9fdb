"""Damaged files and interrupted writes, and what the lab does about them.

`python tests/hardening.py --files 100000 --records 10000` is the long proof of `make prove`, which
goes on where it was stopped, slice by slice (`--minutes 10` begins no more after ten minutes); the
short one is `tests/test_hardening.py`. Whatever is wrong with a file, a loader accepts it or raises
its one kind of error; anything else ends the proof with the file that did it.
"""

from __future__ import annotations

import argparse
import collections
import json
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fuzzing
import hypothesis
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from parts import PROOFS, Parts

import sim
import topologies
from results import RecordError, Run, open_run
from topologies import TopologyError, loading

PROFILES = ("profiles/prosody-0.12", "profiles/ejabberd-23", "profiles/fifo-sketch")
SLICE = 2_000
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
    seed: int,
) -> Tally:
    """Judge that many examples of a strategy, the same each time for the same seed."""
    tally = Tally()

    @hypothesis.seed(seed)
    @settings(
        max_examples=examples, database=None, deadline=None,
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


def topologies_slice(count: int, seed: int) -> Tally:
    """Damaged topology files."""
    return examine(fuzzing.files(fuzzing.TOPOLOGIES), topology, count, seed=seed)


def profiles_slice(count: int, seed: int) -> Tally:
    """Damaged profiles."""
    return examine(fuzzing.files(PROFILES), profile, count, seed=seed)


def records_slice(count: int, seed: int) -> Tally:
    """Damaged records."""
    return damaged_records(small_run(), count, seed)


SLICES: dict[str, Callable[[int, int], Tally]] = {
    "topologies": topologies_slice, "profiles": profiles_slice, "records": records_slice,
}  # fmt: skip


def prove(parts: Parts, counts: Mapping[str, int], until_s: float) -> dict[str, Any] | None:
    """The document of the long proof, None while slices are missing; a failure ends it."""
    found: dict[str, Any] = {}
    missing = 0
    for what, count in counts.items():
        slices = [min(SLICE, count - at) for at in range(0, count, SLICE)]
        total, slowest_s = collections.Counter[str](), 0.0
        for number, size in enumerate(slices):
            name = f"{what}-{size}-{number:03}"
            part = parts.read(name)
            if part is None and time.monotonic() >= until_s:
                missing += 1
                continue
            if part is None:
                tally = SLICES[what](size, number)
                part = {"counts": dict(tally.counts), "slowest_s": tally.slowest_s}
                parts.keep(name, part)
                print(f"{what}: {number + 1} of {len(slices)} slices", file=sys.stderr, flush=True)
            total.update(part["counts"])
            slowest_s = max(slowest_s, part["slowest_s"])
        found[what] = {
            "examined": total.total(),
            "accepted": total["accepted"],
            "refused": total["refused"],
            "slowest_s": round(slowest_s, 3),
        }
    if missing:
        print(f"{missing} slices are missing", file=sys.stderr)
    return None if missing else found


def main() -> int:
    """0 when whole, 3 while slices are missing; what fails is raised, with the file that did it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no slice after")
    chosen = parser.parse_args()
    counts = {"topologies": chosen.files, "profiles": chosen.records, "records": chosen.records}
    until_s = time.monotonic() + 60.0 * chosen.minutes
    found = prove(Parts(PROOFS / "hardening", "hardening"), counts, until_s)
    if found is None:
        return 3
    json.dump(found, sys.stdout, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
