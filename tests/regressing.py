"""Does the gate keep its word? Runs of `gridlab regress --quick` whose right verdict is known.

`python tests/regressing.py` is a long proof of `make prove`: 20 gates of a real Prosody against
itself, and 10 of one that a module slows down by a tenth. It goes on where it was stopped: each
gate's verdict is a file in the work directory, and those made by other code are made anew.

    python tests/regressing.py --minutes 10     begin no more gates after ten minutes
    python tests/regressing.py --minutes 0      show what there is

The module writes some of the stanzas that are delivered out once more than is needed: work like the
server's own, so that both get slower together when the machine does (an empty loop did not). How
many rounds of it a delivery make a tenth is fitted first, on the machine as it is. A fit whose
interval leaves 8 to 12 % ends the proof. How much slower the heads were in the proof's own plays is
measured too: unless the middle of the slowed ones is 8 to 12 % slower, the proof does not hold.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from parts import PROOFS, ROOT, Parts

KINDS = {"identical": 20, "slowed": 10}
SHARE = 0.10
FITTED = (0.08, 0.12)  # the whole interval of the share that the fit's rounds make
PLAYED = (1.08, 1.12)  # how much slower the slowed heads were, in the middle
ROUNDS_TRIED = 1.0  # a third dearer: far beyond noise, yet as light a load as the gates are
PAIRS_FITTED, DEPLOYMENTS = 3, 16  # pairs on two servers, and how often two are deployed
QUICK_S = 120.0  # a quick gate may take so long
UNFINISHED = 3
MODULE = """\
local rounds, owed = module:get_option_number("burn_rounds", 0), 0
function module.load()
    module:hook("message/bare", function (event)
        owed = owed + rounds
        while owed >= 1 do
            owed = owed - 1
            tostring(event.stanza)
        end
    end, 1000)
end
"""
GRID = """\
schema: 1
name: gate
controllers:
  - name: controller
    domain: gate.test
    profile: prosody-0.12
    server: {configuration: SIDE.lua, modules: [mod_burn.lua]}
brokers:
  - {name: broker, controller: controller}
topics:
  - {name: incidents, broker: broker, payload: {kind: iodef, size: 1.6 KB}}
platforms:
  - {name: reporter, count: 1, controller: controller, publishes: [incidents]}
  - {name: analyst, count: 60, controller: controller, subscribes: [incidents]}
workload:
  duration: 1 min
  arrivals:
    - {topic: incidents, by: reporter, process: deterministic, rate: 10/s}
"""


@dataclass(frozen=True)
class Gate:
    """One gate of the proof."""

    kind: str
    number: int

    @property
    def name(self) -> str:
        """What its verdict is kept as."""
        return f"{self.kind}-{self.number:02}"


def gates(counts: dict[str, int]) -> Iterator[Gate]:
    """All of them, the kinds mixed, so that a part of the proof speaks of both."""
    places = sorted(
        ((number + 0.5) / count, kind, number)
        for kind, count in counts.items()
        for number in range(count)
    )
    for _, kind, number in places:
        yield Gate(kind, number + 1)


def sides(work: Path, rounds: float) -> tuple[Path, Path]:
    """Base and head as topologies that differ in how many rounds the module does a delivery."""
    work.mkdir(parents=True, exist_ok=True)
    (work / "mod_burn.lua").write_text(MODULE)
    for side, count in (("base", 0), ("head", rounds)):
        (work / f"{side}.lua").write_text(f"burn_rounds = {count}\n")
        (work / f"{side}.yaml").write_text(GRID.replace("SIDE", side))
    return work / "base.yaml", work / "head.yaml"


def fitted(parts: Parts) -> dict[str, Any]:
    """How many rounds a delivery make the server a tenth dearer; measured once.

    A round costs more where there are few of them, so a first guess is tried itself, on several
    deployments: two servers of one kind differ by a few percent for as long as they live.
    """
    if (known := parts.read("fit")) is not None:
        return known
    from results import statistics as estimates

    print(f"fitting how many rounds make {SHARE:.0%}", file=sys.stderr, flush=True)
    first = dearer(parts.work / "fit", ROUNDS_TRIED, PAIRS_FITTED)
    if first is None or first <= 1.0:
        raise SystemExit(f"the fit says nothing: {first}")
    tried = round(ROUNDS_TRIED * SHARE / (first - 1.0), 4)
    ratios = [dearer(parts.work / "fit", tried, PAIRS_FITTED) for _ in range(DEPLOYMENTS)]
    seen = estimates.mean([each for each in ratios if each is not None])
    if seen["value"] is None or seen["value"] <= 1.0 or seen["low"] is None:
        raise SystemExit(f"the fit says nothing: {ratios}")
    rounds = round(tried * SHARE / (seen["value"] - 1.0), 4)
    fit = {"rounds_first": ROUNDS_TRIED, "ratio_first": first, "rounds_tried": tried,
           "ratios": ratios, "ratio": seen["value"], "low": seen["low"], "high": seen["high"],
           "n": seen["n"], "rounds": rounds}  # fmt: skip
    fit["share"] = share(fit)
    if not certain(fit["share"]):
        raise SystemExit(f"the fit is too uncertain, try on a quieter machine: {fit}")
    parts.keep("fit", fit)
    return fit


def dearer(place: Path, rounds: float, count: int) -> float | None:
    """How much dearer so many rounds make a delivery, on two new servers; None if unmeasured."""
    import topologies
    from loadtest import pairs
    from results import regression

    both = [topologies.load(each) for each in sides(place, rounds)]
    limits = regression.Limits(pairs_min=count, pairs_max=count)
    with pairs.grids(*both, seed=1, duration_s=4.0, out=place / "runs", door="proof") as play:
        document, _ = regression.regress(play, limits)
    shutil.rmtree(place)
    ratios = {each["name"]: each["ratio"] for each in document["metrics"]}
    return ratios.get("cpu_s_per_delivery")


def share(fit: dict[str, Any]) -> dict[str, Any]:
    """How much dearer the fit's rounds make a delivery, with the interval of the fit."""
    each = fit["rounds"] / fit["rounds_tried"]
    value, low, high = ((fit[name] - 1.0) * each for name in ("ratio", "low", "high"))
    return {"value": value, "low": low, "high": high, "n": fit["n"]}


def certain(found: dict[str, Any]) -> bool:
    """Whether the whole interval of a share is near enough to a tenth."""
    return bool(FITTED[0] <= found["low"] <= found["high"] <= FITTED[1])


def play(gate: Gate, rounds: float, parts: Parts) -> dict[str, Any]:
    """Run one gate as a user would, and keep its verdict."""
    place = parts.work / gate.name
    shutil.rmtree(place, ignore_errors=True)  # what a stopped one left
    base, head = sides(place, rounds if gate.kind == "slowed" else 0)
    before, started_s = cpu_times(), time.monotonic()
    run = subprocess.run(
        [sys.executable, "-c", "import gridlab; gridlab.main()", "regress",
         "--base", str(base), "--head", str(head), "--quick", "--json",
         "--seed", str(gate.number), "--out", str(place / "runs")],
        capture_output=True, text=True, check=False, timeout=600,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    took_s, after = time.monotonic() - started_s, cpu_times()
    if run.returncode not in (0, 1, 3):
        raise SystemExit(f"{gate.kind} {gate.number} ended with {run.returncode}:\n{run.stderr}")
    document = json.loads(run.stdout)
    spent = [b - a for a, b in zip(before, after, strict=True)]
    metrics = {m["name"]: m for m in document["metrics"]}
    cpu = metrics.get("cpu_s_per_delivery", {})
    verdict = {
        "kind": gate.kind,
        "number": gate.number,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "verdict": document["verdict"],
        "exit_code": run.returncode,
        "pairs": document["pairs"],
        "discarded": document["discarded"],
        "ratio": cpu.get("ratio"),
        "low": cpu.get("low"),
        "high": cpu.get("high"),
        "reasons": document["reasons"],
        "base_cpu_us": costs_us(place / "runs", document["base"]),
        "head_cpu_us": costs_us(place / "runs", document["head"]),
        "stolen": round(spent[7] / max(sum(spent), 1), 4),
        "took_s": round(took_s, 1),
    }
    shutil.rmtree(place)
    parts.keep(gate.name, verdict)
    return verdict


def cpu_times() -> list[int]:
    """What the processors did so far, by kind; the eighth is time that the host took. [ticks]"""
    return [int(word) for word in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]


def costs_us(runs: Path, names: list[str]) -> list[float]:
    """CPU time per delivery of each play. [us]"""
    from results import open_run, ratios

    costs = (ratios.cost("cpu_s_per_delivery", open_run(runs / name)) for name in names)
    return [round(1e6 * cost, 3) for cost in costs]


def document(parts: Parts, counts: dict[str, int]) -> dict[str, Any]:
    """All verdicts, what was asked of them, and whether they keep it."""
    stored = [found for gate in gates(counts) if (found := parts.read(gate.name)) is not None]
    tallies = {kind: tally([each for each in stored if each["kind"] == kind]) for kind in counts}
    identical, slowed = tallies["identical"], tallies["slowed"]
    fit = parts.read("fit")
    stimulus = fit is not None and certain(share(fit)) and slowed["ratio_median"] is not None
    if stimulus:
        stimulus = PLAYED[0] <= slowed["ratio_median"] <= PLAYED[1]
    done = all(tallies[kind]["gates"] == count for kind, count in counts.items())
    holds = (
        identical["pass"] >= math.ceil(0.75 * counts["identical"])
        and identical["fail"] <= math.floor(0.05 * counts["identical"])
        and slowed["fail"] >= math.ceil(0.9 * counts["slowed"])
        and max(identical["longest_s"], slowed["longest_s"]) < QUICK_S
    )
    return {
        "asked": "identical: pass in 15 of 20, fail in at most 1; slowed by a tenth (8 to 12 %, as "
        "fitted and as played): fail in 9 of 10; none longer than 2 min",
        "whole": done,
        "slowed_as_asked": stimulus,
        "holds": done and stimulus and holds,
        "fit": fit,
        **tallies,
        "gates": stored,
    }


def tally(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """How often each verdict was given; the middle and the ends of the ratios."""
    ratios = [each["ratio"] for each in verdicts if each["ratio"] is not None]
    return {
        "gates": len(verdicts),
        **{
            name: sum(each["verdict"] == name for each in verdicts)
            for name in ("pass", "fail", "inconclusive", "invalid")
        },
        "ratio_median": statistics.median(ratios) if ratios else None,
        "ratio_least": min(ratios, default=None),
        "ratio_most": max(ratios, default=None),
        "mean_s": statistics.fmean(each["took_s"] for each in verdicts) if verdicts else None,
        "longest_s": max((each["took_s"] for each in verdicts), default=0.0),
    }


def line(verdict: dict[str, Any]) -> str:
    """One gate in one line."""
    ratio, low, high = (verdict[name] or math.nan for name in ("ratio", "low", "high"))
    return (
        f"{verdict['kind']} {verdict['number']}: {verdict['verdict']}, ratio {ratio:.3f} "
        f"({low:.3f} to {high:.3f}), {verdict['pairs']} pairs in {verdict['took_s']:.0f} s"
    )


def table(found: dict[str, Any]) -> str:
    """The proof's table."""
    names = ("pass", "fail", "inconclusive", "invalid")
    lines = [f"{'head':<10}{'gates':>6}" + "".join(f"{name:>14}" for name in names)
             + f"{'head / base':>26}{'longest':>10}"]  # fmt: skip
    for kind in KINDS:
        row = found[kind]
        spread = "" if row["ratio_median"] is None else (
            f"{row['ratio_median']:.3f} ({row['ratio_least']:.3f} to {row['ratio_most']:.3f})"
        )  # fmt: skip
        lines.append(f"{kind:<10}{row['gates']:>6}" + "".join(f"{row[n]:>14}" for n in names)
                     + f"{spread:>26}{row['longest_s']:>8.0f} s")  # fmt: skip
    if (fit := found["fit"]) is not None:
        made = share(fit)
        lines.append(f"fitted: {fit['rounds']:,} rounds a delivery make {made['value']:.1%} "
                     f"({made['low']:.1%} to {made['high']:.1%})")  # fmt: skip
    state = "holds" if found["holds"] else "DOES NOT HOLD" if found["whole"] else "not whole yet"
    return "\n".join([*lines, f"{state}: {found['asked']}"])


def main() -> int:
    """Play what is missing; print the table for people and the document for `make prove`."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin none after so many")
    parser.add_argument(
        "--work", type=Path, default=PROOFS / "regress", help="where verdicts are kept"
    )
    parser.add_argument("--identical", type=int, default=KINDS["identical"])
    parser.add_argument("--slowed", type=int, default=KINDS["slowed"])
    chosen = parser.parse_args()
    counts = {"identical": chosen.identical, "slowed": chosen.slowed}
    parts = Parts(chosen.work, "regress")
    until_s = time.monotonic() + 60.0 * chosen.minutes
    missing = [gate for gate in gates(counts) if parts.read(gate.name) is None]
    for place, gate in enumerate(missing):
        if time.monotonic() >= until_s:
            break
        found = play(gate, fitted(parts)["rounds"], parts)
        print(f"{line(found)}; {len(missing) - place - 1} to go", file=sys.stderr, flush=True)
    whole = document(parts, counts)
    print(table(whole), file=sys.stderr, flush=True)
    json.dump(whole, sys.stdout, indent=1)
    if not whole["whole"]:
        return UNFINISHED
    return 0 if whole["holds"] else 1


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
