"""One scenario of a sweep: a base with some fields changed, and what is kept of its simulation.

A scenario's key names all that its outcome depends on: the base, the costs, the changes, the seed,
the replications and the code. What is kept are counts and merged histograms by phase and
replication; deliveries and publications never leave the process that made them.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import topologies
from results import histogram, latencies, outcomes
from sim.axes import LOAD, PROFILE, Settings
from sim.replications import simulate
from topologies import Profile, Topology, TopologyError
from topologies.loading import varied
from topologies.problems import choice, printable

KEY_DIGITS = 16


@dataclass(frozen=True)
class Base:
    """What all scenarios of a sweep have in common; `code` is the fingerprint of the model."""

    topology: Topology
    profiles: Mapping[str, Profile]
    seed: int
    replications: int
    load: float
    code: str

    @functools.cached_property
    def digest(self) -> str:
        """Hash of everything in it."""
        parts = [
            topologies.sha256(self.topology),
            *(f"{name}={profile.model_dump_json()}" for name, profile in self.profiles.items()),
            f"{self.seed} {self.replications} {self.load!r} {self.code}",
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Scenario:
    """A base and its changes; `number` is its place in the sweep."""

    base: Base
    number: int
    settings: Settings

    @functools.cached_property
    def key(self) -> str:
        """The name of its outcome."""
        text = json.dumps([self.base.digest, self.settings])
        return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def base(
    topology: Topology,
    *,
    seed: int = 1,
    replications: int = 1,
    load: float = 1.0,
    profiles: Mapping[str, Profile] | None = None,
) -> Base:
    """The base of a sweep over a topology, with the profiles that it names by default."""
    if profiles is None:
        profiles = {c.name: topologies.profile(topology, c.name) for c in topology.controllers}
    return Base(topology, profiles, seed, replications, load, code())


@functools.cache
def code() -> str:
    """Fingerprint of the code that outcomes depend on: equal code gives equal outcomes."""
    digest = hashlib.sha256()
    sources = [*Path(__file__).parent.glob("*.py")]
    sources += Path(topologies.__file__).parent.glob("*.py")
    sources += (Path(str(module.__file__)) for module in (histogram, latencies, outcomes))
    for path in sorted(sources):
        digest.update(f"{path.name}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:KEY_DIGITS]


def world(base: Base, settings: Settings) -> tuple[Topology, dict[str, Profile], float]:
    """The topology, the profiles and the load of a base with its changes.

    Raises
    ------
    TopologyError
        A field that there is not, or all that is wrong with the changed description.
    """
    overrides, load, costs = [], base.load, []
    for path, value in settings:
        head = path.partition(".")[0].partition("[")[0]
        if path == LOAD:
            load = base.load * _factor(value)
        elif head == PROFILE:
            costs.append((path, value))
        else:
            overrides.append(f"{path}={value}")
    topology = varied(base.topology, overrides) if overrides else base.topology
    named = {c.name: c.profile for c in base.topology.controllers}
    profiles = {
        c.name: base.profiles[c.name]
        if named.get(c.name) == c.profile
        else topologies.profile(topology, c.name)
        for c in topology.controllers
    }
    for path, value in costs:
        profiles = _recosted(profiles, path, value)
    return topology, profiles, load


def _factor(value: str) -> float:
    try:
        factor = float(value)
    except ValueError:
        factor = 0.0
    if not 0.0 < factor < 1e9:
        raise TopologyError([f'load: "{printable(value)}": must be more than 0; write 0.5 or 2'])
    return factor


def _recosted(profiles: dict[str, Profile], path: str, value: str) -> dict[str, Profile]:
    """The profiles with one field changed: in all of them, or in those of the name in brackets."""
    head, _, field = path.partition("].") if path.startswith(f"{PROFILE}[") else (path, "", "")
    name = head.removeprefix(f"{PROFILE}[") if field else None
    steps = (field or path.removeprefix(f"{PROFILE}.")).split(".")
    names = {profile.name for profile in profiles.values()}
    if name is not None and name not in names:
        repair = choice(name, names, "profiles are")
        raise TopologyError([f'{printable(path)}: "{printable(name)}": no such profile; {repair}'])
    return {
        controller: _changed(profile, steps, value, path)
        if name in (None, profile.name)
        else profile
        for controller, profile in profiles.items()
    }


def _changed(profile: Profile, steps: Sequence[str], value: str, place: str) -> Profile:
    document = profile.model_dump(mode="json", by_alias=True)
    section: Any = document
    for step in steps[:-1]:
        section = section.get(step) if isinstance(section, dict) else None
    if not isinstance(section, dict) or steps[-1] not in section:
        known = section if isinstance(section, dict) else document
        repair = choice(steps[-1], known, "fields are")
        raise TopologyError([f"{printable(place)}: {profile.name} has no such field; {repair}"])
    section[steps[-1]] = value
    try:
        return Profile.model_validate(document)
    except ValidationError as error:
        rule = error.errors()[0]["msg"]
        raise TopologyError([f'{printable(place)}: "{printable(value)}": {rule}']) from None


def work(scenario: Scenario) -> dict[str, Any]:
    """Simulate a scenario in this process: its outcome as plain data, the same everywhere.

    A scenario whose changes contradict each other, or that no simulation can carry, is refused,
    and the outcome says why.
    """
    head: dict[str, Any] = {"key": scenario.key, "settings": dict(scenario.settings)}
    try:
        topology, profiles, load = world(scenario.base, scenario.settings)
        run = simulate(
            topology,
            seed=scenario.base.seed,
            replications=scenario.base.replications,
            processes=1,
            profiles=profiles,
            load=load,
            stages=False,  # an outcome keeps none
            door="gridlab sweep",
        )
    except TopologyError as error:
        return head | {"refused": list(error.problems)}
    return head | outcomes.distilled(run)
