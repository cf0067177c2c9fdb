"""Which sockets whole commands open, seen from outside: their system calls are traced (strace).

Every `connect`, `sendto`, `sendmsg` and `sendmmsg` of all processes of a command, servers among
them, is looked at, in a network namespace in which there is nothing but loopback, and beside a
forged consent.
`python tests/tracing.py` is a long proof of `make prove`: attacks that are driven for real, the
load and Locust reach loopback alone, and none of them opens more at a far address than the one
reader of its consent. It goes on where it was stopped, command by command (`--minutes 2`).
`tests/loadtest/test_rails_traced.py` does the same for a few.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import certifi
from parts import PROOFS, Parts

import topologies
from loadtest import casting
from loadtest.localparts import localparts
from topologies import overlays
from topologies.schema import Topology

ROOT: Final = Path(__file__).resolve().parents[1]
BIN: Final = Path(sys.executable).parent
FAR: Final = "192.0.2.1"  # TEST-NET-1, RFC 5737
CONSENT: Final = f"{FAR}:5223"  # where the reader asks, and nobody else
ADDRESS: Final = re.compile(
    r'_port=htons\((\d+)\),[^}]*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([0-9a-f:.]+)"'
)
LIMIT_S: Final = 120.0
TOO_LONG: Final = 124  # exit code of what was ended, as of timeout(1)
# How commands end there: a run that others on this machine disturbed (3) is invalid, and has
# connected all the same.
WHERE: Final = {"near": (0, 3), "far": (2,)}
# What is driven for real, at the least scale that tells where it connects: a pilot as long as it
# is, then seconds of `none`, and of what has another server deployed. Nobody of S-HERD gives up, so
# that no pilot looks what that costs.
SHORT: Final[dict[str, tuple[tuple[str, ...], tuple[str, ...]]]] = {
    "S-HERD": (
        (),
        ("workload.duration=8 s", "platforms[$subscriber].count=8",
         "platforms[$subscriber].retry.timeout=30 s"),
    ),
    "S-PULL": ((), ("workload.duration=3 s", "platforms[$subscriber].count=4")),
    "S-FO": (
        ("heartbeat-2-ejabberd",),
        ("procedure.platforms=8", "procedure.silence=2 s", "procedure.duration=6 s"),
    ),
    "S-E2E": ((), ("procedure.receivers=4", "procedure.duration=4 s")),
    "S-ONBOARD": (("whitelist-prosody",), ("procedure.spread=1 s", "procedure.duration=4 s")),
    "S-REVOKE": ((), ("procedure.duration=2 s", "procedure.items=5")),
    "S-DUEL": ((), ("procedure.duration=2 s", "procedure.arrival=100 ms")),
    "S-BIGQ": ((), ("procedure.duration=3 s",)),
}  # fmt: skip
SMALL: Final = "single-broker"
FEW: Final = ("--set", "platforms[analyst].count=5")


class Tracer:
    """Runs commands under strace.

    Parameters
    ----------
    place : Path
        For the trace and the forged consent.
    """

    def __init__(self, place: Path) -> None:
        self._trace, self._forged = place / "trace", place / "consent.json"
        soon = {"until_s": time.time() + 3600, "read_s": time.time(), "sessions": 10}
        self._forged.write_text(json.dumps({FAR: soon}))
        self._forged.chmod(0o600)

    def run(
        self, *command: str | Path, limit_s: float = 60.0
    ) -> tuple[set[str], subprocess.CompletedProcess[str]]:
        """`address:port` that a command reached for, and how it ended."""
        tracing = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(self._trace)]
        tracing += ["-e", "trace=connect,sendto,sendmsg,sendmmsg"]
        mapped = ["--map-root-user"] if os.geteuid() else []
        script = 'ip link set lo up && exec "$@"'
        ended = subprocess.run(
            ["unshare", "--net", *mapped, "sh", "-c", script, "sh", *tracing, *map(str, command)],
            capture_output=True,
            text=True,
            check=False,
            timeout=limit_s,
            cwd=ROOT,
            env={**os.environ, "GRIDLAB_CONSENT": str(self._forged)},
        )
        found = ADDRESS.findall(self._trace.read_text())
        return {f"{address}:{port}" for port, address in found}, ended


def loopback(address: str) -> bool:
    """Whether `address:port` is of loopback."""
    return address.startswith(("127.", "::1:"))


def elsewhere(reached: set[str]) -> list[str]:
    """What is not of loopback."""
    return sorted(each for each in reached if not loopback(each))


def near(out: Path) -> Iterator[tuple[str, list[str | Path]]]:
    """Commands that drive a grid of this machine."""
    grid, locust = BIN / "gridlab", BIN / "locust"
    changed = " ".join(FEW)
    driven = {
        "load": f"{grid} load {SMALL} {changed} --duration 2",
        "locust": f"{locust} -f loadtest/locustfile.py --headless -u 7 -r 10 -t 2s --only-summary",
    }
    for name, command in driven.items():
        script = f"{grid} grid up {SMALL} {changed} && {command} --out {out}"
        yield name, ["sh", "-c", f"{script}; code=$?; {grid} grid down; exit $code"]
    for name, (defences, changes) in SHORT.items():
        wishes = [word for change in changes for word in ("--set", change)]
        chosen = [word for defence in ("none", *defences) for word in ("--defence", defence)]
        yield f"attack {name}", [grid, "attack", name, "--real", *chosen, *wishes, "--json"]


def far(place: Path) -> Iterator[tuple[str, list[str | Path]]]:
    """The same against a grid that is said to run far away, and that never consented."""
    grid, locust = BIN / "gridlab", BIN / "locust"
    for name, (_, changes) in SHORT.items():
        played = overlays.scenario(name, None, ["none"], real=True).attacked["none"]
        running = described(place, played)
        wishes = [word for change in (*changes, *running) for word in ("--set", change)]
        yield f"attack {name}", [grid, "attack", name, "--real", "--defence", "none", *wishes]
    (running,) = described(place, topologies.load(SMALL))
    yield "grid up", [grid, "grid", "up", SMALL, "--set", running]
    topology = place / "far.yaml"
    shipped = (ROOT / "topologies" / f"{SMALL}.yaml").read_text()
    entry = running.partition("=")[2]
    topology.write_text(
        shipped.replace("    cores: 1\n", f"    cores: 1\n    running: {entry}\n", 1)
    )
    command = ["-f", "loadtest/locustfile.py", "--headless", "--host", FAR]
    yield "locust --host", [locust, *command, "--topology", topology]


def described(place: Path, played: Topology) -> list[str]:
    """Changes that say that all Controllers run far away, with accounts for all Platforms."""
    accounts, changes = place / f"{len(list(place.glob('*.csv')))}.csv", []
    pilots = [f"pilot-{number}" for number in range(casting.PILOT_PLATFORMS)]
    names = ["admin", *localparts(played.platforms), *pilots]
    rows = [f"{each}@{node.domain},x" for node in played.controllers for each in names]
    accounts.write_text("\n".join(["jid,password", *rows, ""]))
    for number, _ in enumerate(played.controllers):
        running = f"{{address: {FAR}, ca: {certifi.where()}, accounts: {accounts}}}"
        changes.append(f"controllers[{number}].running={running}")
    return changes


def looked_at(
    tracer: Tracer,
    parts: Parts,
    where: str,
    commands: Iterator[tuple[str, Sequence[str | Path]]],
    until_s: float,
) -> list[dict[str, Any] | None]:
    """Where each command connected, by now or before; None where it was not tried yet.

    What failed, or took too long, is tried again the next time.
    """
    found = []
    for name, command in commands:
        part = f"{where} {name}".replace(" ", "-")
        kept = parts.read(part)
        if kept is None and time.monotonic() < until_s:
            kept = traced(tracer, name, command)
            if kept["exit"] in WHERE[where]:
                parts.keep(part, kept)
        found.append(kept)
    return found


def traced(tracer: Tracer, name: str, command: Sequence[str | Path]) -> dict[str, Any]:
    """Where a command connected."""
    begun_s = time.monotonic()
    try:
        reached, ended = tracer.run(*command, limit_s=LIMIT_S)
    except subprocess.TimeoutExpired:
        reached, ended = set(), subprocess.CompletedProcess(command, TOO_LONG, "", "too long")
    found = {
        "command": name,
        "exit": ended.returncode,
        "places": len(reached),
        "elsewhere": elsewhere(reached),
        "no_consent": "no consent" in ended.stderr,
        "took_s": round(time.monotonic() - begun_s, 1),
    }
    print(json.dumps(found), file=sys.stderr, flush=True)
    if ended.returncode:
        print(ended.stderr[-1000:], file=sys.stderr)
    return found


def document(place: Path, until_s: float) -> dict[str, Any] | None:
    """All commands, and whether what is claimed of them holds; None while some are missing."""
    tracer, parts = Tracer(place), Parts(PROOFS / "traced", "traced")
    here = looked_at(tracer, parts, "near", near(place / "runs"), until_s)
    away = looked_at(tracer, parts, "far", far(place), until_s)
    if missing := [*here, *away].count(None):
        print(f"{missing} commands are missing", file=sys.stderr)
        return None
    return {
        "near": here,
        "far": away,
        "claims": {
            "what is driven here reaches loopback alone": all(
                each["exit"] in WHERE["near"] and each["places"] and not each["elsewhere"]
                for each in here if each
            ),
            "nothing but its consent is asked for far away, and none is found": all(
                each["exit"] in WHERE["far"]
                and each["no_consent"]
                and each["elsewhere"] == [CONSENT]
                for each in away if each
            ),
        },
    }  # fmt: skip


def main() -> int:
    """0 if all that is claimed holds, 1 if not, 3 while commands are missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no command after")
    chosen = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="gridlab-traced-"))
    place.chmod(0o711)  # a server's user may pass through
    os.environ["TMPDIR"], os.environ["XDG_STATE_HOME"] = str(place), str(place / "state")
    os.environ.pop("XDG_RUNTIME_DIR", None)
    try:
        found = document(place, time.monotonic() + 60.0 * chosen.minutes)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if found is None:
        return 3
    json.dump(found, sys.stdout, indent=1)
    return 0 if all(found["claims"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
