"""The steps of a login: each is a message to the server, its work, and its answer.

connect (the kernels' own round trip), stream, STARTTLS, TLS (two round trips in 1.2), stream,
SASL (two round trips for SCRAM), stream, bind, subscribe (all Topics in one go)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sim.clusters import controller_of
from sim.state import Floats, Integers
from topologies.profiles import Logins, Profile
from topologies.schema import Login, Population, Topology

ROUNDS_OF_CONNECT = 3  # delays from the decision to connect until the first message is there


@dataclass(frozen=True)
class Step:
    """A message of the Platform and the work that it makes. [s]"""

    name: str
    work_s: float


def steps(population: Population, login: Login, profile: Profile) -> tuple[Step, ...]:
    """The steps of a population's login on a server of this profile."""
    costs = profile.logins
    assert costs is not None
    named = [
        ("stream", costs.accept),
        ("starttls", costs.starttls),
        *_tls(login, costs),
        ("stream", costs.stream),
        *_sasl(login, costs),
        ("stream", costs.stream),
        ("bind", costs.bind),
    ]
    if population.subscribes:
        named.append(("subscribe", costs.subscribe * len(population.subscribes)))
    return tuple(Step(name, profile.speed * work_s) for name, work_s in named)


def proof_of(steps: Sequence[Step]) -> int:
    """Number of the step whose answer says if the password is right."""
    return max(number for number, step in enumerate(steps) if step.name == "sasl")


def _tls(login: Login, costs: Logins) -> list[tuple[str, float]]:
    cost = next(each.cost for each in costs.tls if (each.version, each.key) == _tls_of(login))
    return [("tls", cost)] if login.tls == "1.3" else [("tls", cost), ("tls", 0.0)]


def _tls_of(login: Login) -> tuple[str, str]:
    return login.tls, login.key


def _sasl(login: Login, costs: Logins) -> list[tuple[str, float]]:
    wanted = login.mechanism, login.storage
    cost = next(each for each in costs.sasl if (each.mechanism, each.storage) == wanted)
    rounds = [("sasl", cost.first)]
    if login.mechanism.startswith("scram"):
        rounds.append(("sasl", cost.final))
    if login.password == "wrong":
        name, check_s = rounds[-1]
        rounds[-1] = name, check_s + costs.deny
    return rounds


def works_s(
    topology: Topology, profiles: Mapping[str, Profile]
) -> tuple[Floats, Integers, Integers]:
    """Work of each step by station and population, how many steps it has, which is the proof. [s]

    After the steps comes what it takes to resume a session.
    What populations have that never log in there does not matter.
    """
    found = {
        (station, number): steps(each, each.login, profiles[name])
        for number, each in enumerate(topology.platforms)
        for station, name in enumerate(profiles)
        if each.login is not None and controller_of(name) in each.ring
    }
    counts, proof = np.zeros((2, len(topology.platforms)), np.int64)
    longest = max(map(len, found.values()), default=0)
    table = np.zeros((len(profiles), len(counts), longest + 1))
    for (station, number), own in found.items():
        table[station, number, : len(own)] = [step.work_s for step in own]
        table[station, number, len(own)] = resume_s(list(profiles.values())[station])
        counts[number], proof[number] = len(own), proof_of(own)
    return table, counts, proof


def resume_s(profile: Profile) -> float:
    """Work of resuming a session, or of finding that it cannot be. [s]"""
    return profile.speed * login_figure(profile, "resume")


def login_figure(profile: Profile, name: str) -> float:
    """A figure of a profile's logins; 0 without them."""
    return float(getattr(profile.logins, name)) if profile.logins is not None else 0.0
