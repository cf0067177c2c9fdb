"""How much of a server's CPU time is the receiving half of its clients' TCP, as on loopback?

`python tests/loopback.py` is a proof of `make prove`, for root. On loopback the kernel runs what
a receiver's TCP does in the sender's own system call, so that a server pays for it; on a network
the receiver's machine does. Here a network namespace of its own has a loopback that can hand
received packets to another core (receive packet steering, `rps_cpus`): pairs of plays of one plan,
one as usual and one steered to the generator's core, in random order, tell the difference.

Both halves of every pair see the same server, sessions and publications. What steering itself
costs the server, an interrupt sent to the other core, is in its half: the part that is found is
too small by that.

References
----------
Linux, Documentation/networking/scaling.rst, "RPS: Receive Packet Steering".
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import topologies
from loadtest import deployment, engine, spinner
from loadtest.calibration import DOOR
from loadtest.cores import cores_for
from results import evidence, statistics
from results.run import Run

STEERING = Path("/sys/class/net/lo/queues/rx-0/rps_cpus")
WITHIN = "--within"  # the namespaces that the first call makes
PAIRS_MIN, INVALID = 8, 3
SERVERS = {"prosody": "prosody-0.12", "ejabberd": "ejabberd-23"}


def steer(cores: Sequence[int]) -> None:
    """Let these cores do what received packets need; none: the core that sends."""
    STEERING.write_text(f"{sum(1 << core for core in cores):x}")


def cost_s(run: Run) -> float:
    """CPU time of the server per publication. [s]"""
    return evidence.samples(evidence.gather([run], apart=True))["cpu_per_publication"].value


def share(usual_s: Any, steered_s: Any) -> Any:
    """The part of a server's CPU time that goes away with steering, of each pair. [1]"""
    return 1.0 - steered_s / usual_s


def measure(server: str, pairs: int, duration_s: float, load: float) -> dict[str, Any]:
    """Pairs of plays on one deployed server; a pair of which one half is invalid does not count."""
    topology = topologies.load(
        "single-broker",
        [f"controllers[0].profile={SERVERS[server]}", "platforms[1].count=50"],
    )
    served, generator = cores_for(topology)
    played = engine.lasting(topology.model_copy(update={"attacks": ()}), duration_s)
    settings, draws = engine.Settings(cores=generator), random.Random(1)
    kept: list[tuple[float, float]] = []
    with deployment.ephemeral(topology, cores=served) as grid:
        for number in range(pairs):
            pair: dict[bool, Run] = {}
            for steered in draws.sample((False, True), 2):
                steer(generator if steered else ())
                with spinner.awake():
                    pair[steered] = engine.play(
                        played, grid, seed=number, load=load, door=DOOR, settings=settings
                    )
            costs_s = cost_s(pair[False]), cost_s(pair[True])
            reasons = [why for run in pair.values() for why in run.header.verdict.reasons]
            said = f"invalid: {'; '.join(reasons)}" if reasons else f"{share(*costs_s):+.1%}"
            print(f"{server}: pair {number + 1} of {pairs}: {said}", file=sys.stderr, flush=True)
            if not reasons:
                kept.append(costs_s)
    usual_s, steered_s = np.array(kept).reshape(-1, 2).T
    return {
        "pairs": len(kept),
        "usual_s": statistics.mean(usual_s),
        "steered_s": statistics.mean(steered_s),
        "share": statistics.mean(share(usual_s, steered_s)),
    }


def main() -> int:
    """Exit code 0 once both servers are measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--pairs", type=int, default=12)
    parser.add_argument("--duration", type=float, default=4.0, help="of one play, in seconds")
    parser.add_argument("--load", type=float, default=4.0, help="as of `gridlab load`")
    parser.add_argument(WITHIN, action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if not asked.within:
        command = ["unshare", "--net", "--mount", sys.executable, __file__, WITHIN, *sys.argv[1:]]
        return subprocess.run(command, check=False).returncode
    subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    found = {server: measure(server, asked.pairs, asked.duration, asked.load) for server in SERVERS}
    print(json.dumps(found, indent=1))
    return 0 if all(each["pairs"] >= PAIRS_MIN for each in found.values()) else INVALID


if __name__ == "__main__":
    sys.exit(main())
