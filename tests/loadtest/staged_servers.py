"""Servers of virtual time for validations: they work as some profile says, and claim to be real."""

import random

import numpy as np

import results
import sim
from loadtest import agreement, calibration
from loadtest.agreement import Outcome, Point
from loadtest.phases import usual_warm_up_s
from results import evidence, pacing

SMALL = """\
schema: 1
name: small
controllers: [{name: a, domain: a.test, profile: prosody-0.12}]
brokers: [{name: broker, controller: a}]
topics: [{name: alerts, broker: broker, payload: {kind: iodef, size: 1.6 KB}}]
platforms:
  - {name: sensors, count: 2, controller: a, publishes: [alerts]}
  - {name: consoles, count: 50, controller: a, subscribes: [alerts]}
workload:
  duration: 40 s
  arrivals: [{topic: alerts, by: sensors, process: poisson, rate: 12/s}]
"""
LOADS = (0.5, 1.0, 4.0)
PACE_PER_S = 6e7  # of the cores for which the model's costs hold


def simulate(topology, profile, *, seed=1, load=1.0, replications=4, replication=0):
    """The model with these costs, on plan(seed, replication)."""
    return sim.simulate(
        topology, processes=1, replications=replications, seed=seed, load=load,
        profiles={"a": profile}, plan_replication=replication, door="test",
        warm_up_s=usual_warm_up_s(topology),
    )  # fmt: skip


def as_measured(run, repeat):
    """A simulated run that claims to be a repeat on a real server."""
    header = run.header
    controllers = {
        name: each.model_copy(update={"server": "prosody 0.12.3"})
        for name, each in header.controllers.items()
    }
    changes = {
        "run_id": f"measured-{repeat}-{header.run_id}",
        "origin": "measured",
        "controllers": controllers,
    }
    run.header = header.model_copy(update=changes)
    return run


def play(topology, profile, load, repeats=3, noise=0.0, paces=()):
    """Repeats of a point on a server that works as this profile says, in virtual time.

    Repeat r has the draws of replication r + 1 of a run on the same plan, on a core of the pace
    `paces[r]` [1/s], which is known then.
    """
    if paces:
        return [at_pace(topology, profile, load, repeat, pace) for repeat, pace in enumerate(paces)]
    if not noise:
        whole = simulate(topology, profile, load=load, replications=repeats + 1)
        return [as_measured(only(whole, repeat + 1), repeat) for repeat in range(repeats)]
    draws = random.Random(1)
    runs = []
    for repeat in range(repeats):
        speed = profile.speed * (1.0 + noise * draws.uniform(-1.0, 1.0))
        told = profile.model_copy(update={"speed": speed})
        whole = simulate(topology, told, load=load, replications=repeat + 2)
        runs.append(as_measured(only(whole, repeat + 1), repeat))
    return runs


def at_pace(topology, profile, load, repeat, pace_per_s):
    """A repeat on a core of this pace. [1/s]"""
    slower = pacing.slowdown(pace_per_s, PACE_PER_S)
    told = profile.model_copy(update={"speed": profile.speed * slower})
    whole = simulate(topology, told, load=load, replications=repeat + 2)
    run = as_measured(only(whole, repeat + 1), repeat)
    server = {"pace_per_s": {"a": pace_per_s}, "cpu_s": {"a": 1.0}}
    run.header = run.header.model_copy(update={"measurement": {"server": server}})
    return run


def only(run, replication):
    """A run of one of the replications of another."""
    tables = {}
    for name in ("intervals", "publications"):
        columns = run.columns(name)
        chosen = columns["replication"] == replication
        tables[name] = {column: values[chosen] for column, values in columns.items()}
        tables[name]["replication"] = np.zeros(chosen.sum(), dtype=np.uint16)
    keys = {key for key in run.latencies.keys if key[0] == replication}
    latency = {
        (0, *key[1:]): run.latencies.counts(
            replication=replication, phases=[key[1]], topic=key[2], population=key[3], role=key[4],
            stage=key[5],
        )
        for key in keys
    }  # fmt: skip
    header = run.header.model_copy(
        update={"replications": 1, "plan_sha256": run.header.plan_sha256[:1]}
    )
    return results.Run(results.Draft(header, tables["intervals"], latency, tables["publications"]))


def answer(topology, profiles, load):
    """The model, as a point asks it."""
    return simulate(topology, profiles["a"], load=load)


def validated(topology, model, truth, loads=LOADS, **server):
    """The document of a validation of one profile against a server that works by another."""
    points = []
    for load in loads:
        predicted = simulate(topology, model, load=load)
        pace_per_s = agreement.reference_per_s(predicted, {"a": model})
        kept = evidence.digest(agreement.prediction(predicted, pace_per_s))
        stored = "2026-01-01T00:00:00.000+00:00"
        point = Point(load, predicted, stored, kept, pace_per_s=pace_per_s)
        point.repeats += play(topology, truth, load, **server)
        point.tell(answer, topology, {"a": model})
        points.append(point)
    fit = calibration.given(topology, model)
    return Outcome(topology, fit, points).document
