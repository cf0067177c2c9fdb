"""The points of a validation as runs, and the document that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from loadtest import paces
from loadtest.calibration import Fit
from results import beyond, evidence, pacing, pilots, twin
from results.evidence import Evidence
from results.figures import Figures
from results.statistics import Estimate
from results.twin_documents import (
    BracketedRun,
    BracketingLoad,
    LightLoad,
    PointEvidence,
    TwinPoint,
    Validation,
)

if TYPE_CHECKING:
    from results import Run
    from topologies.profiles import Profile
    from topologies.schema import Topology

KIND = "validation"


Answer: TypeAlias = Callable[["Topology", dict[str, "Profile"], float], "Run"]


@dataclass(frozen=True)
class Ahead:
    """What was predicted of one run, from a light load just before it on the same servers.

    `light` is what is known of that load, `stored` when the prediction was on disk (UTC), `sha256`
    its digest, `pace_per_s` the pace of the cores for which its costs hold [1/s].
    """

    predicted: Run
    light: BracketingLoad
    stored: str
    sha256: str
    pace_per_s: float | None

    def document(self, begun: str) -> BracketedRun:
        """What is kept of it, beside the instant at which its run began."""
        return {
            "predicted": prediction(self.predicted, self.pace_per_s),
            "light": self.light,
            "stored": self.stored,
            "sha256": self.sha256,
            "begun": begun,
        }


@dataclass
class Point:
    """One load: the prediction as stored, its measurements, and the model told their cost.

    `pace_per_s` is the pace of the cores for which the predicted costs hold [1/s]; `given_pace` the
    model told the pace of each measurement that counts, `structure` told what each did cost;
    `ahead` what was predicted of each of `repeats` just before it, None where nothing was.
    """

    load: float
    predicted: Run
    stored: str
    sha256: str
    repeats: list[Run] = field(default_factory=list)
    structure: list[Run] = field(default_factory=list)
    pace_per_s: float | None = None
    given_pace: list[Run] = field(default_factory=list)
    ahead: list[Ahead | None] = field(default_factory=list)

    @property
    def valid(self) -> list[Run]:
        """Measurements that the generator, or noise on the machine, did not spoil."""
        return [run for run in self.repeats if run.header.verdict.valid]

    @property
    def bracketed(self) -> list[tuple[Ahead, Run]]:
        """Those of them that were predicted just before they were played, with that."""
        return [
            (ahead, run)
            for ahead, run in zip(self.ahead, self.repeats, strict=False)
            if ahead is not None and run.header.verdict.valid
        ]

    def tell(
        self, answer: Answer, topology: Topology, profiles: Mapping[str, Profile],
        beside: Topology | None = None,
    ) -> None:  # fmt: skip
        """Tell the model what a publication did cost in each measurement, and let it answer again.

        Also when its cores were how fast, where that is known: the mean of a run whose core was
        slow for a while is not what any of its publications did cost. And how long each server
        waited for its core: pulses, the idle loop and the kernel's own work take it now and then.

        Parameters
        ----------
        answer : callable
            The model, of grid, profiles and load.
        topology : Topology
            The grid that was played.
        profiles : mapping of str to Profile
            Those of the prediction.
        beside : Topology, optional
            The grid of the prediction, on machines as they were expected to be.
        """
        self.tell_pace(answer, topology, profiles)
        answers = self.given_pace or [self.predicted] * len(self.valid)
        self.structure = []
        for run, told_pace in zip(self.valid, answers, strict=True):
            plain = beside or topology, profiles
            told_grid = paces.told(topology, profiles, run) if self.given_pace else None
            grid, costs = told_grid or plain
            told = at_cost(costs, Figures([told_pace]), Figures([run]))
            self.structure.append(answer(grid, told, self.load))

    def tell_pace(
        self, answer: Answer, topology: Topology, profiles: Mapping[str, Profile]
    ) -> None:
        """Tell the model when the cores were how fast in each measurement, and let it answer again.

        Nothing is told where the pace of any is not known, now or for the costs.
        """
        answers = []
        for run in self.valid:
            told = paces.told(topology, profiles, run)
            if told is None:
                return
            answers.append(answer(*told, self.load))
        self.given_pace = answers

    def document(self, changed: bool = False) -> TwinPoint:
        """What `gridlab validate --json` says of it; a grid that was changed is told apart."""
        measured = None
        if self.valid:
            each_per_s = [pacing.pace_per_s(run) for run in self.valid]
            measured = evidence.gather(self.valid, apart=True, pace_per_s=each_per_s)
        kept: PointEvidence = {
            "predicted": prediction(self.predicted, self.pace_per_s),
            "stored": self.stored,
            "sha256": self.sha256,
            "measured": measured,
            "begun": [run.header.created for run in self.valid],
            "structure": _together(self.structure),
            "given_pace": _together(self.given_pace),
            "pace_exponent": pacing.EXPONENT,
            "bracketed": [ahead.document(run.header.created) for ahead, run in self.bracketed],
        }
        facts = self._facts(measured)
        if changed:
            facts["server"] += twin.CHANGED
        return twin.point(kept, facts)

    def _facts(self, measured: Evidence | None) -> dict[str, Any]:
        run = (self.valid or self.repeats)[0]
        header, counts = run.header, run.header.counts
        payload = run.publications["payload_bytes"]
        kept = [each.header.run_id for each in self.valid]
        reasons = {why for each in self.repeats for why in each.header.verdict.reasons}
        return {
            "load": self.load,
            "offered_load_per_s": counts.publications / header.duration_s,
            "subscribers": round(counts.expected / max(counts.publications, 1)),
            "payload_bytes": float(payload.mean()) if len(payload) else None,
            "server": server(run),
            "ledger": counts.model_dump(),
            "generator": header.measurement.get("generator", {}),
            "invalid": [] if measured else sorted(reasons),
            "runs": {
                "predicted": self.predicted.header.run_id,
                "measured": kept,
                "invalid": [r.header.run_id for r in self.repeats if r.header.run_id not in kept],
                "structure": self.structure[0].header.run_id if self.structure else None,
            },
        }


def _together(answers: list[Run]) -> Evidence | None:
    """What is kept of the model's answers for each measurement; None where there are none."""
    each = [evidence.gather([run], apart=False) for run in answers]
    return evidence.together(each) if each else None


def at_cost(
    profiles: Mapping[str, Profile], predicted: Figures, measured: Figures
) -> dict[str, Profile]:
    """The profiles of Controllers on which a delivery costs what was measured."""
    told = {}
    done = [side.rate("delivered").value for side in (predicted, measured)]
    for name, profile in profiles.items():
        if name not in measured.controllers:  # a process that could not be watched
            told[name] = profile
            continue
        busy = [side.utilisation(name).value for side in (predicted, measured)]
        known = min(*busy, *done) > 0.0
        factor = (busy[1] / done[1]) / (busy[0] / done[0]) if known else 1.0
        told[name] = profile.model_copy(update={"speed": profile.speed * factor})
    return told


def prediction(run: Run, pace_per_s: float | None) -> Evidence:
    """What is kept of a prediction, and hashed: with the pace for which its costs hold. [1/s]"""
    return evidence.gather([run], apart=False, pace_per_s=[pace_per_s])


def reference_per_s(run: Run, profiles: Mapping[str, Profile]) -> float | None:
    """The pace of the cores for which a prediction's costs hold, of all its servers. [1/s]"""
    figures = Figures([run])
    used = {name: figures.utilisation(name).value for name in figures.controllers}
    known = {name: each.pace_per_s for name, each in profiles.items()}
    return pacing.reference_per_s(known, used)


def server(run: Run) -> str:
    """The kinds of servers of a measured run: `prosody`, `ejabberd+prosody`."""
    kinds = {each.server.split()[0] for each in run.header.controllers.values()}
    return "+".join(sorted(kinds))


def light_load(run: Run) -> LightLoad:
    """A light load that was played, before the runs or after; whether it counts, and why not."""
    verdict = run.header.verdict
    return {"run": run.header.run_id, "valid": verdict.valid, "reasons": list(verdict.reasons)}


@dataclass
class Outcome:
    """All points, and the fit that the predictions rest on; `light` are all light loads."""

    topology: Topology
    fit: Fit
    points: list[Point]
    seed: int = 1
    order: list[list[int]] = field(default_factory=list)
    drift: Estimate | None = None
    drift_given_pace: Estimate | None = None
    changes: tuple[str, ...] = ()
    light: tuple[LightLoad, ...] = ()
    kept: Path | None = None

    @property
    def valid(self) -> bool:
        """Whether at least one point was measured without the generator as its limit."""
        return any(point.valid for point in self.points)

    @property
    def runs(self) -> list[Run]:
        """Prediction and first measurement that counts of each point, in turn."""
        return [
            run
            for point in self.points
            for run in (point.predicted, *(point.valid or point.repeats)[:1])
        ]

    @property
    def document(self) -> Validation:
        """What `gridlab validate --json` prints."""
        points = [point.document(bool(self.changes)) for point in self.points]
        fitted, light_loads = self.fit.document(), list(self.light)
        why = pilots.spoiled({"fit": fitted, "light_loads": light_loads})
        told_by = ["bracketed"] if why else list(beyond.LEVELS)
        if why:
            points = [pilots.unfounded(each, why) for each in points]
        return {
            "kind": KIND,
            "topology": self.topology.name,
            "seed": self.seed,
            "duration_s": self.topology.workload.duration,
            "order": self.order,
            "fit": fitted,
            "light_loads": light_loads,
            "changes": list(self.changes),
            "drift": self.drift,
            "drift_given_pace": self.drift_given_pace,
            "points": points,
            "summary": twin.summary(points, self.drift, self.drift_given_pace),
            "beyond": beyond.of_points(points, self.changes, told_by),
            "refuted": twin.refutations(points),
        }
