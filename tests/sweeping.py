"""A sweep of a thousand scenarios: how long it takes, whoever works, and that no kill loses any.

`python tests/sweeping.py` is a long proof of `make prove`. Each scenario is a hundred publications
to 100,000 subscribers of a `fifo` server, all of whose copies cost the same. Parts: two processes,
killed in the middle and asked again; two workers of a Dask scheduler; and three rounds, in each of
which the same sweep is made by one process and by two. All must leave the same bytes.

Cores that others use too are not twice one core. So each round also times scenarios worked by one
plain process, and by two at the same time that share nothing: the machine's own efficiency, beside
which the sweep's is set. What is asked for is 90 % of twice one process, whatever the machine is.
It goes on where it was stopped, part by part (`--minutes 4` begins no more parts after 4 minutes).
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import plain_work
from parts import PROOFS, ROOT, Parts

SCENARIOS = 1000
ROUNDS = 3
PLAIN = 120  # scenarios of each plain process in a round
EFFICIENCY = 0.9
GRIDLAB = [sys.executable, "-c", "import gridlab; gridlab.main()"]
SETS = (
    "controllers[0].profile=fifo-sketch",
    "platforms[analyst].count=100000",
    "controllers[0].nic=100 Gbit/s",
    "controllers[0].memory=16 GB",
    "workload.duration=1000 s",
    "workload.arrivals[0].rate=0.1/s",
)
LOADS = "load=0.9:1.1"
SWEEP = [
    "sweep", "single-broker", *(word for each in SETS for word in ("--set", each)),
    "--vary", "profile.costs.copy_distribution=constant",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LIMIT_S = 3600.0


def command(place: Path, points: int, *more: str) -> list[str]:
    """The sweep as a user would ask for it: so many points of a range."""
    asked = ["--vary", LOADS, "--samples", f"sobol:{points}"]
    return [*GRIDLAB, *SWEEP, *asked, "--out", str(place), "--json", *more]


def swept(place: Path, points: int, *more: str) -> dict[str, Any]:
    """Run it to its end: time taken, scenarios worked, and a hash of all that it left."""
    started_s = time.monotonic()
    run = subprocess.run(
        command(place, points, *more), capture_output=True, text=True, check=False,
        timeout=LIMIT_S, env=ENVIRONMENT,
    )  # fmt: skip
    if run.returncode != 0:
        raise SystemExit(f"{' '.join(more)}: ended with {run.returncode}:\n{run.stderr}")
    document = json.loads(run.stdout)
    return {
        "worked": document["worked"],
        "wall_s": round(time.monotonic() - started_s, 2),
        "sweep_s": round(document["wall_s"], 2),
        "bytes_sha256": tree(place),
    }


def tree(place: Path) -> str:
    """Hash of the names and the bytes of all files."""
    total = hashlib.sha256()
    for path in sorted(each for each in place.rglob("*") if each.is_file()):
        total.update(str(path.relative_to(place)).encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def stored(place: Path) -> list[Path]:
    """Outcomes that are there."""
    return list(place.rglob("outcomes/*.json"))


def killed(place: Path, count: int) -> dict[str, Any]:
    """SIGKILL for the sweep and its workers in the middle; then the same command again."""
    child = subprocess.Popen(
        command(place, count, "--processes", "2"), stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, env=ENVIRONMENT, start_new_session=True,
    )  # fmt: skip
    while len(stored(place)) < count // 3 and child.poll() is None:
        time.sleep(0.02)
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    before = {path: path.stat().st_mtime_ns for path in stored(place)}
    found = swept(place, count, "--processes", "2")
    after = {path: path.stat().st_mtime_ns for path in before}
    return {**found, "stored_before": len(before), "untouched": before == after,
            "none_twice": found["worked"] + len(before) == count}  # fmt: skip


@contextmanager
def scheduler() -> Iterator[str]:
    """A Dask scheduler on loopback with two workers of one thread each."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, host="127.0.0.1",
                      dashboard_address=None) as cluster:  # fmt: skip
        yield cluster.scheduler_address


def spread_out(place: Path, count: int) -> dict[str, Any]:
    """The same on Dask's workers."""
    with scheduler() as address:
        return swept(place, count, "--cluster", address)


def round_of(place: Path, number: int, count: int, plain: list[plain_work.Plain]) -> dict[str, Any]:
    """The sweep by one process and by two, and the machine beside both."""
    few = max(2, PLAIN * count // SCENARIOS)
    found: dict[str, Any] = {"plain": few}
    first = plain[number % 2]  # each core's turn
    legs: dict[str, Callable[[], Any]] = {
        "plain_one_s": lambda: plain_work.took_s([first], few),
        "one": lambda: swept(place / "one", count, "--processes", "1"),
        "plain_two_s": lambda: plain_work.took_s(plain, few),
        "two": lambda: swept(place / "two", count, "--processes", "2"),
    }
    for name in list(legs)[:: -1 if number % 2 else 1]:
        found[name] = legs[name]()
    return found


def played(number: int, place: Path, count: int) -> dict[str, Any]:
    """One of the rounds."""
    plain = [plain_work.Plain(SETS, ENVIRONMENT) for _ in range(2)]
    try:
        return round_of(place, number, count, plain)
    finally:
        for each in plain:
            each.close()


ROUND_NAMES = tuple(f"round {number + 1}" for number in range(ROUNDS))
PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    **{name: functools.partial(played, number) for number, name in enumerate(ROUND_NAMES)},
    "killed and asked again": killed,
    "Dask, two workers": spread_out,
}


def efficiencies(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """Of two processes, against twice one, and against what the machine gives two plain loops.

    The times are those of whole commands, from the program's start to its end.
    """
    from results.statistics import mean

    one_s, two_s = ([part[side]["wall_s"] for part in rounds] for side in ("one", "two"))
    ideal = [one / two / 2.0 for one, two in zip(one_s, two_s, strict=True)]
    machine = [part["plain_one_s"] / part["plain_two_s"] for part in rounds]
    return {
        "efficiency": mean(ideal),
        "machine_efficiency": mean(machine),
        "efficiency_of_machine": mean([a / b for a, b in zip(ideal, machine, strict=True)]),
        "one_process_s": max(one_s),
        "two_processes_s": max(two_s),
    }


def claims(found: dict[str, Any], count: int, measured: dict[str, Any]) -> dict[str, bool]:
    """What is promised, and whether it came out."""
    kept, spread = found["killed and asked again"], found["Dask, two workers"]
    rounds = [found[name] for name in ROUND_NAMES]
    trees = {part[side]["bytes_sha256"] for part in rounds for side in ("one", "two")}
    asked_s = 120.0 * count / SCENARIOS
    return {
        "two minutes a core": measured["one_process_s"] <= asked_s,
        "the same bytes whoever works": trees == {kept["bytes_sha256"]} == {spread["bytes_sha256"]},
        "nothing lost or worked twice after SIGKILL": kept["untouched"] and kept["none_twice"],
        "efficiency of two processes at least 90 %": measured["efficiency"]["value"] >= EFFICIENCY,
    }


def document(parts: Parts, count: int) -> dict[str, Any]:
    """What came out, and whether it is what is promised."""
    found = {name: part for name in PARTS if (part := parts.read(name)) is not None}
    whole = len(found) == len(PARTS)
    rounds = [found[name] for name in ROUND_NAMES if name in found]
    measured = efficiencies(rounds) if rounds else {}
    met = claims(found, count, measured) if whole else {}
    return {
        "asked": "2 minutes a core, parallel efficiency 90 % of twice one process, the same bytes "
        "whoever works, nothing lost or worked twice after SIGKILL",
        "scenarios": count,
        "whole": whole,
        "holds": whole and all(met.values()),
        "claims": met,
        # not asked for: whether the executor gives 90 % of what the machine has to give
        "nine_tenths_of_the_machine": measured["efficiency_of_machine"]["value"] >= EFFICIENCY
        if measured
        else None,
        **measured,
        "parts": found,
    }


def shown(estimate: dict[str, Any]) -> str:
    """An estimate with its interval, which one round has not."""
    value, low, high, n = (estimate[key] for key in ("value", "low", "high", "n"))
    if low is None or high is None:
        return f"{value:.1%}, n = {n}"
    return f"{value:.1%} [{low:.1%}, {high:.1%}], n = {n}"


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = []
    if "efficiency" in found:
        rounds = [found["parts"][name] for name in ROUND_NAMES if name in found["parts"]]
        lines.append(f"{'round':<8}{'one':>10}{'two':>10}{'plain one':>12}{'plain two':>12}")
        lines += [
            f"{r:<8}{each['one']['wall_s']:>8.1f} s{each['two']['wall_s']:>8.1f} s"
            f"{each['plain_one_s']:>10.1f} s{each['plain_two_s']:>10.1f} s"
            for r, each in enumerate(rounds, start=1)
        ]
        lines += [
            f"at most: one process {found['one_process_s']:.1f} s, "
            f"two {found['two_processes_s']:.1f} s",
            f"efficiency against twice one process: {shown(found['efficiency'])}",
            f"the machine's own, two plain loops:   {shown(found['machine_efficiency'])}",
            f"efficiency against the machine's own: {shown(found['efficiency_of_machine'])}",
        ]
    lines += [f"{'met' if met else 'MISSED'}: {claim}" for claim, met in found["claims"].items()]
    state = "holds" if found["holds"] else "DOES NOT HOLD" if found["whole"] else "not whole yet"
    return "\n".join([*lines, f"{state}: {found['asked']}"])


def main() -> int:
    """Play what is missing; 0 where all holds, 1 where it does not, 3 while it is not whole."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no part after")
    parser.add_argument("--scenarios", type=int, default=SCENARIOS)
    chosen = parser.parse_args()
    parts = Parts(PROOFS / f"sweep-{chosen.scenarios}", "sweep")
    until_s = time.monotonic() + 60.0 * chosen.minutes
    for name, play in PARTS.items():
        if parts.read(name) is None and time.monotonic() < until_s:
            place = parts.work / "outcomes"
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir(parents=True)
            parts.keep(name, play(place, chosen.scenarios))
            shutil.rmtree(place)
            print(f"{name}: done", file=sys.stderr, flush=True)
    found = document(parts, chosen.scenarios)
    print(table(found), file=sys.stderr, flush=True)
    json.dump(found, sys.stdout, indent=1)
    return 0 if found["holds"] else 1 if found["whole"] else 3


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
