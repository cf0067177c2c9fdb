"""A sweep of a thousand scenarios: how long it takes, whoever works, and that no kill loses any.

`python tests/sweeping.py` is a long proof of `make prove`. Each scenario is a hundred publications
to 100,000 subscribers of a `fifo` server, all of whose copies cost the same. Parts: two processes;
one process; two processes, killed in the middle and asked again; two workers of a Dask scheduler.
All must leave the same bytes. It goes on where it was stopped, part by part (`--minutes 4` begins
no more parts after four minutes).
"""

from __future__ import annotations

import argparse
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

from parts import PROOFS, ROOT, Parts

SCENARIOS = 1000
GRIDLAB = [sys.executable, "-c", "import gridlab; gridlab.main()"]
SWEEP = [
    "sweep", "single-broker",
    "--set", "controllers[0].profile=fifo-sketch",
    "--set", "platforms[analyst].count=100000",
    "--set", "controllers[0].nic=100 Gbit/s",
    "--set", "controllers[0].memory=16 GB",
    "--set", "workload.duration=1000 s",
    "--set", "workload.arrivals[0].rate=0.1/s",
    "--vary", "load=0.9:1.1",
    "--vary", "profile.costs.copy_distribution=constant",
]  # fmt: skip
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
LIMIT_S = 3600.0


def command(place: Path, count: int, *more: str) -> list[str]:
    """The sweep as a user would ask for it."""
    return [*GRIDLAB, *SWEEP, "--samples", f"sobol:{count}", "--out", str(place), "--json", *more]


def swept(place: Path, count: int, *more: str) -> dict[str, Any]:
    """Run it to its end: time taken, scenarios worked, and a hash of all that it left."""
    started_s = time.monotonic()
    run = subprocess.run(
        command(place, count, *more), capture_output=True, text=True, check=False,
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


PARTS: dict[str, Callable[[Path, int], dict[str, Any]]] = {
    "two processes": lambda place, count: swept(place, count, "--processes", "2"),
    "one process": lambda place, count: swept(place, count, "--processes", "1"),
    "killed and asked again": killed,
    "Dask, two workers": spread_out,
}


def document(parts: Parts, count: int) -> dict[str, Any]:
    """What came out, and whether it is what is promised."""
    found = {name: part for name in PARTS if (part := parts.read(name)) is not None}
    whole = len(found) == len(PARTS)
    efficiency = alike = None
    if whole:
        one, two = (found[name]["sweep_s"] for name in ("one process", "two processes"))
        efficiency = one / two / 2.0
        alike = len({part["bytes_sha256"] for part in found.values()}) == 1
    kept = found.get("killed and asked again", {})
    return {
        "asked": "2 minutes a core, parallel efficiency 90 %, the same bytes whoever works, "
        "nothing lost or worked twice after SIGKILL",
        "scenarios": count,
        "whole": whole,
        "holds": bool(
            whole
            and alike
            and efficiency is not None
            and efficiency >= 0.9
            and found["one process"]["sweep_s"] <= 120.0 * count / SCENARIOS
            and kept["untouched"]
            and kept["none_twice"]
        ),
        "efficiency": efficiency,
        "same_bytes": alike,
        "parts": found,
    }


def table(found: dict[str, Any]) -> str:
    """For people."""
    lines = [f"{'worked by':<24}{'scenarios':>10}{'time':>10}  bytes"]
    for name, part in found["parts"].items():
        lines.append(f"{name:<24}{part['worked']:>10,}{part['sweep_s']:>8.1f} s  "
                     f"{part['bytes_sha256'][:12]}")  # fmt: skip
    if found["efficiency"] is not None:
        lines.append(f"parallel efficiency of two processes: {found['efficiency']:.1%}")
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
            print(f"{name}: {parts.read(name)}", file=sys.stderr, flush=True)
    found = document(parts, chosen.scenarios)
    print(table(found), file=sys.stderr, flush=True)
    json.dump(found, sys.stdout, indent=1)
    return 0 if found["holds"] else 1 if found["whole"] else 3


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
