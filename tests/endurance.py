"""Does memory grow? A day of simulated load, or half an hour of real load, watched all along.

`python tests/endurance.py sim` and `... real` are long proofs of `make prove`. Memory is what is
resident. Its slope is a straight line's through means of consecutive parts of the time after the
warm-up; the interval (95 %) counts as many parts as are worth independent ones, by the correlation
of neighbours [1]_. Memory grows if the whole interval is above zero, however little that is, and is
called so; the proof holds if no interval reaches `BOUND_MIB_PER_H`, the growth that is allowed.

References
----------
.. [1] H. von Storch and F. Zwiers, "Statistical Analysis in Climate Research," 1999, section 6.6.8.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sim
import topologies
from loadtest import deployment, engine, observation

# What a day may add to a process: 24 MiB (of simulated load), 120 MiB (of real load, whose observer
# keeps 32 bytes five times a second for the record, and whose generator a copy's latency on disk).
BOUND_MIB_PER_H = {"sim": 1.0, "real": 5.0}
WARM_UP = 0.2  # of the time: caches fill, garbage is first collected
PARTS = 30
MIB = 2.0**20
DAY_H, LOAD = 24, 0.4  # of campus-nac's load: 54 M deliveries an hour
BUSY = ["attacks=[]", "workload.duration=1 h", "workload.study=steady"]
REAL = ["platforms[analyst].count=48", "workload.arrivals[0].rate=5/s"]  # and two that publish
EVERY_S = 2.0
Floats = npt.NDArray[np.float64]
Series = list[tuple[float, float]]  # monotonic clock [s], memory [MiB]


def slope(times: Sequence[float], values: Sequence[float], bound_per_h: float) -> dict[str, Any]:
    """How fast values grow over time, with its interval, and over all of the time.

    Parameters
    ----------
    times, values : sequence of float
        When, and what; the warm-up is cut here. [h], [MiB]
    bound_per_h : float
        The growth that is allowed. [MiB/h]
    """
    t, y = np.array(times, dtype=float), np.array(values, dtype=float)
    span = t[-1] - t[0]
    late = t >= t[0] + WARM_UP * span
    parts = np.array_split(np.flatnonzero(late), min(PARTS, int(late.sum())))
    t, y = (np.array([column[part].mean() for part in parts]) for column in (t, y))
    n, centred = len(t), t - t.mean()
    rate = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - rate * centred
    scatter = float(rest @ rest)
    alike = float(rest[1:] @ rest[:-1]) / scatter if scatter > 0.0 else 0.0
    alike = min(max(alike, 0.0), 0.9)
    worth = max(n * (1.0 - alike) / (1.0 + alike), 4.0)  # parts that are worth independent ones
    error = np.sqrt(scatter / (worth - 2.0) / (centred @ centred)) if scatter > 0.0 else 0.0
    half = float(_t(worth - 2.0) * error)
    low, high = rate - half, rate + half
    held = float(y.mean())
    grows, bounded = low > 1.0 / MIB, high <= bound_per_h  # a byte an hour: rounding
    return {
        "per_h": {"value": rate, "low": low, "high": high, "n": n},
        "over_all": {"value": rate * span / held, "low": low * span / held,
                     "high": high * span / held, "n": n},
        "hours": span,
        "held_mib": held,
        "bound_per_h": bound_per_h,
        "grows": bool(grows),
        "bounded": bool(bounded),
        "steady": bool(not grows and bounded),
    }  # fmt: skip


def _t(degrees: float) -> float:
    """The 97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def resident_mib(pids: Sequence[int]) -> float:
    """Memory of processes that is in RAM. [MiB]"""
    total = 0
    for pid in pids:
        try:
            total += observation.resident_bytes(pid)
        except ProcessLookupError:
            continue
    return total / MIB


def simulated() -> dict[str, Any]:
    """A day hour by hour in one process, and the same day in one go."""
    os.nice(10)
    hours, held = [], []
    campus = topologies.load("campus-nac", BUSY)
    delivered = 0
    for hour in range(DAY_H):
        run = sim.simulate(campus, seed=hour, replications=1, processes=1, load=LOAD)
        delivered += run.header.counts.delivered
        del run
        gc.collect()
        hours.append(float(hour))
        held.append(resident_mib([os.getpid()]))
        tell(f"hour {hour + 1} of {DAY_H}: {held[-1]:.0f} MiB, {delivered / 1e6:.0f} M deliveries")
    day, seen = topologies.load("campus-nac", [*BUSY, f"workload.duration={DAY_H} h"]), []

    def watch(share: float, _: str) -> None:
        seen.append((DAY_H * share, resident_mib([os.getpid()])))

    run = sim.simulate(day, seed=1, replications=1, processes=1, load=LOAD, progress=watch)
    seen = seen[:-1]  # the last one comes with the record
    found = {
        "hour by hour": slope(hours, held, BOUND_MIB_PER_H["sim"]),
        "in one go": slope(*zip(*seen, strict=True), BOUND_MIB_PER_H["sim"]),
    }
    return {
        "deliveries": {"hour by hour": delivered, "in one go": run.header.counts.delivered},
        "memory": found,
        "series_mib": {"hour by hour": [round(each, 1) for each in held],
                       "in one go": [round(each, 1) for _, each in seen]},
    }  # fmt: skip


@contextmanager
def watched(pids: Mapping[str, Any], seen: dict[str, Series]) -> Iterator[None]:
    """Notes the memory of groups of processes every two seconds; a group is asked for its pids."""
    over = threading.Event()

    def note() -> None:
        while not over.wait(EVERY_S):
            now_s = time.monotonic()
            for name, members in pids.items():
                if found := members():
                    seen.setdefault(name, []).append((now_s, resident_mib(found)))

    thread = threading.Thread(target=note, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def generators() -> list[int]:
    """Processes of the load's generator that this process started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError, ValueError):
            continue
        if b"loadtest.share" in words and parent == os.getpid():
            found.append(int(entry.name))
    return found


def real(minutes: float) -> dict[str, Any]:
    """Load on a Prosody, a tenth of what it can do; memory of the server and of who drives it."""
    os.nice(10)
    topology = engine.lasting(topologies.load("single-broker", REAL), 60.0 * minutes)
    seen: dict[str, Series] = {}
    course = Course()
    with deployment.ephemeral(topology) as grid, tempfile.TemporaryDirectory() as place:
        served = grid.document()["controllers"].values()
        servers = [pid for each in served for pid in (each["pids"] or [each["pid"]])]
        groups = {
            "server": lambda: servers,
            "generator": generators,
            "conductor": lambda: [os.getpid()],
        }
        with watched(groups, seen):
            run = engine.play(topology, grid, seed=1, door="proof", progress=course)
        run.save(Path(place))
    counts = run.header.counts
    playing = {name: course.playing(rows) for name, rows in seen.items()}
    return {
        "sessions": sum(each.count for each in topology.platforms),
        "minutes": minutes,
        "publications": counts.publications,
        "delivered": counts.delivered,
        "lost": counts.lost,
        "memory": {name: slope(*zip(*rows, strict=True), BOUND_MIB_PER_H["real"])
                   for name, rows in playing.items()},
        "series_mib": {name: [round(value, 2) for _, value in rows[:: max(1, len(rows) // 60)]]
                       for name, rows in playing.items()},
    }  # fmt: skip


class Course:
    """Hears how far a run is, tells it once a minute, and remembers when it was played."""

    def __init__(self) -> None:
        self._told = -1
        self._begun_s = self._ended_s = 0.0

    def __call__(self, news: Mapping[str, Any]) -> None:
        """See `engine.play`."""
        minute = int(news["elapsed_s"] // 60)
        if minute > self._told:
            self._told = minute
            tell(f"{news['state']}, minute {minute} of {news['duration_s'] / 60:.0f}")
        if news["state"] == "playing":
            self._ended_s = time.monotonic()
            self._begun_s = self._begun_s or self._ended_s

    def playing(self, rows: Series) -> Series:
        """What was seen while all were online and the plan was played, in hours from the start.

        Logins come before it. After it the conductor reads what the generator left and makes a
        record of it, which takes tens of MiB: that is no growth under load.
        """
        begun_s, ended_s = self._begun_s, self._ended_s
        return [
            ((at_s - begun_s) / 3600.0, held) for at_s, held in rows if begun_s <= at_s <= ended_s
        ]


def tell(text: str) -> None:
    """For people, on standard error."""
    print(text, file=sys.stderr, flush=True)


def table(found: Mapping[str, Any]) -> str:
    """What was held, how it moved, and the verdict."""
    lines = [f"{'memory of':<14}{'held':>10}{'slope':>34}{'over all':>26}  verdict"]
    for name, each in found["memory"].items():
        rate, whole = each["per_h"], each["over_all"]
        slopes = f"{rate['value']:+.2f} ({rate['low']:+.2f} to {rate['high']:+.2f}) MiB/h"
        share = f"{whole['value']:+.1%} ({whole['low']:+.1%} to {whole['high']:+.1%})"
        lines.append(
            f"{name:<14}{each['held_mib']:>6.0f} MiB{slopes:>34}{share:>26}  {verdict(each)}"
        )
    return "\n".join(lines)


def verdict(each: Mapping[str, Any]) -> str:
    """In words; growth is called growth, also where it is less than the bound."""
    bound = f"{each['bound_per_h']:g} MiB/h"
    if each["grows"]:
        return f"grows, by less than {bound}" if each["bounded"] else f"GROWS, maybe over {bound}"
    return "steady" if each["bounded"] else f"not known to be less than {bound}"


def main() -> int:
    """0 where all growth there may be is within its bound, else 1."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("what", choices=["sim", "real"])
    parser.add_argument("--minutes", type=float, default=30.0, help="of real load")
    chosen = parser.parse_args()
    found = simulated() if chosen.what == "sim" else real(chosen.minutes)
    tell(table(found))
    json.dump(found, sys.stdout, indent=1)
    return 0 if all(each["bounded"] for each in found["memory"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
