"""What `gridlab bench sim` times without a rival, each in a process of its own.

scaling       a fan-out to 10^4, from 10^6 to 10^9 deliveries: how its cost grows in the last decade
first-result  `gridlab simulate` of a small topology, from the shell and back, caches warm
edr-scale     500,000 Platforms, 10 Controllers, a day with a power cut and the storm after it

`python -m sim.benchmark_singles NAME MOST [profiled]` prints a `Single`.
"""

from __future__ import annotations

import json
import math
import os
import pstats
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from typing_extensions import TypedDict

import topologies
from results import environment
from sim.benchmark_grids import fan_out
from sim.benchmark_plays import SEED, BenchmarkError, Spot, Stopwatch, hottest
from sim.replications import simulate

SCALING, FIRST, EDR = "scaling", "first-result", "edr-scale"
SMALL = ("single-broker", "--set", "workload.duration=60s", "--replications", "2")
FAN_OUT = 10_000  # of the scaling
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
TRIES = 3  # of the small one, after one that fills caches


class Point(TypedDict):
    """Deliveries of a play, and what they took. [s]"""

    deliveries: int
    wall_s: float


class Single(TypedDict):
    """One of them: `size` in Platforms; `slope` is the largest of `slopes`. [1]"""

    name: str
    size: int
    points: list[Point]
    slopes: list[float]
    slope: float | None
    peak_rss_bytes: int | None


def singles(quick: bool) -> list[tuple[str, int]]:
    """Their names, and to how many deliveries each goes at most."""
    if quick:
        return [(SCALING, 10**7), (FIRST, 0)]
    return [(SCALING, 10**9), (FIRST, 0), (EDR, 0)]


def size_of(name: str) -> int:
    """Platforms of the grid that one of them plays."""
    if name == SCALING:
        return FAN_OUT
    grid = topologies.load({FIRST: SMALL[0], EDR: EDR}[name])
    return sum(each.count for each in grid.platforms)


def measured(name: str, most: int, *flags: str) -> tuple[Single, list[Spot]]:
    """One of them, timed in a new process; and its profile, if that is asked for by `profiled`.

    Raises
    ------
    BenchmarkError
        The process failed.
    """
    single, spots = json.loads(_output_of("-m", __name__, name, str(most), *flags))
    return single, spots


def first_result() -> Single:
    """A few, each in a process that did nothing before; without the one that fills caches.

    Caches are those of compiled kernels and Python's bytecode, which is kept here even where the
    environment says not to (`PYTHONDONTWRITEBYTECODE`).
    """
    points = list[Point]()
    for _ in range(1 + TRIES):
        started_s = time.perf_counter()
        _simulate_small()
        points.append({"deliveries": 0, "wall_s": time.perf_counter() - started_s})
    return _single(FIRST, size_of(FIRST), points[1:], None)


def scaling(most: int, watch: Stopwatch) -> Single:
    """Fan-outs to 10^4: hardly any deliveries, then ever more up to `most`; the last but one again.

    The first shows what set-up takes. The last is there because the longest takes so long that the
    machine may have become slower or faster meanwhile: what was measured before and after tells.
    """
    workload, points = fan_out(FAN_OUT, 2, 2), list[Point]()
    profiles = {"c": workload.profile}
    simulate(workload.full, seed=SEED, replications=1, processes=1, profiles=profiles)
    decades = range(6, round(math.log10(most)) + 1)
    for publications in (2, *(10**decade // FAN_OUT for decade in [*decades, decades[-2]])):
        grid = fan_out(FAN_OUT, 2, publications).full
        with watch:
            run = simulate(grid, seed=SEED, replications=1, processes=1, profiles=profiles)
        points.append({"deliveries": run.header.counts.delivered, "wall_s": watch.wall_s})
    return _single(SCALING, size_of(SCALING), points, environment.peak_rss_bytes())


def edr_scale(watch: Stopwatch) -> Single:
    """One replication of the day, what is compiled included where it is not cached yet."""
    grid = topologies.load(EDR)
    with watch:
        run = simulate(grid, seed=SEED, replications=1, processes=1)
    point: Point = {"deliveries": run.header.counts.delivered, "wall_s": watch.wall_s}
    return _single(EDR, size_of(EDR), [point], environment.peak_rss_bytes())


def slopes(points: Sequence[Point]) -> list[float]:
    """Exponents of cost in deliveries over the last decade: 1 is linear. [1]

    Parameters
    ----------
    points : sequence of Point
        As `scaling` plays them: what is hardly more than set-up, ever more deliveries, and the
        last but one again. Set-up is subtracted: it would hide what grows.

    Returns
    -------
    list of float
        From each play of the last but one to the longest; none of what took no more than set-up.
    """
    set_up, *_, before, longest, after = points
    set_up_s = set_up["wall_s"]
    return [
        math.log((longest["wall_s"] - set_up_s) / (each["wall_s"] - set_up_s))
        / math.log(longest["deliveries"] / each["deliveries"])
        for each in (before, after)
        if set_up_s < min(each["wall_s"], longest["wall_s"])
    ]


def render(single: Single) -> str:
    """A line for people."""
    if single["name"] == FIRST:
        took_s = statistics.median(each["wall_s"] for each in single["points"])
        return f"First result: {took_s:.2f} s for gridlab simulate {' '.join(SMALL)}, caches warm"
    told = ", ".join(
        f"{each['wall_s']:.3g} s for {each['deliveries']:.3g}" for each in single["points"]
    )
    if single["slope"] is None:
        return f"{single['name']}, {single['size']:,} Platforms: {told} deliveries"
    powers = " and ".join(f"{each:.3f}" for each in single["slopes"])
    return f"Cost over deliveries: {told}; in the last decade to the power of {powers}"


def _single(name: str, size: int, points: list[Point], peak_rss_bytes: int | None) -> Single:
    found = slopes(points) if name == SCALING else []
    return {
        "name": name,
        "size": size,
        "points": points,
        "slopes": found,
        "slope": max(found, default=None),
        "peak_rss_bytes": peak_rss_bytes,
    }


def _simulate_small(*before: str) -> None:
    with tempfile.TemporaryDirectory() as kept:
        _output_of(*before, "-m", "gridlab", "simulate", *SMALL, "--out", kept)


def _profile_of_small() -> list[Spot]:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "profile")
        _simulate_small("-m", "cProfile", "-o", str(path))
        return list(hottest(pstats.Stats(str(path))))


def _output_of(*arguments: str) -> str:
    command = [sys.executable, *arguments]
    kept = {name: value for name, value in os.environ.items() if name != NO_BYTECODE}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=kept)
    if done.returncode != 0:
        reason = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise BenchmarkError(f"{' '.join(arguments)}: failed: {reason[0]}")
    return done.stdout


def main(name: str, most: str, *flags: str) -> None:
    """Time one and print it, with its profile."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    watch = Stopwatch("profiled" in flags)
    if name == FIRST:
        print(json.dumps([first_result(), _profile_of_small() if "profiled" in flags else []]))
        return
    single = scaling(int(most), watch) if name == SCALING else edr_scale(watch)
    print(json.dumps([single, watch.hottest()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
