"""The storm after a restart: every Platform of a Controller logs in again, beside normal traffic.

Populations without a login of their own get the profile's first mechanism, so that a grid that
says nothing about logins is still told what a restart would cost it.
"""

from __future__ import annotations

import math

from results.sessions import WHOLE
from sim.designs import changed, parallel
from sim.logins import steps
from topologies.profiles import Profile
from topologies.schema import Crash, Login, Population, Topology

START_S, DOWN_S = 2.0, 10.0  # the Controller restarts then, and is down for so long
HORIZON_S = (60.0, 1200.0)  # least and greatest time that all are given to be back
PATIENCE = 3.0  # horizon over what closed forms say that it takes
# Delay of each Platform at least. A login is some ten round trips, so that this adds less than half
# a second to it; sessions are simulated in windows of the shortest delay: short ones take long.
NEAR_S = 0.02


def possible(profile: Profile) -> bool:
    """Whether the profile says what logins cost."""
    return profile.logins is not None and bool(profile.logins.tls and profile.logins.sasl)


def stormed(own: Topology, profile: Profile) -> Topology:
    """One Controller's topology with a restart in it, as long as its Platforms may need."""
    platforms = tuple(_able(each, profile) for each in own.platforms)
    name = own.controllers[0].name
    restart = Crash.model_validate(
        {"kind": "restart", "name": "restart", "controller": name, "start": f"{START_S:g} s",
         "duration": f"{DOWN_S:g} s"}
    )  # fmt: skip
    calm = changed(own, platforms=platforms, attacks=(), faults=(restart,))
    lasting_s = min(max(PATIENCE * whole_s(calm, profile), HORIZON_S[0]), HORIZON_S[1])
    duration_s = START_S + float(f"{lasting_s:.2g}")
    return changed(calm, workload=changed(calm.workload, study="campaign", duration=duration_s))


def worked_s(own: Topology, profile: Profile) -> float:
    """Before what instant 99 % cannot be back, from the restart on: their logins are work. [s]"""
    cores = own.controllers[0].cores if parallel(profile) else 1
    work_s = sum(
        each.count
        * sum(step.work_s for step in steps(each, each.login or _login(profile), profile))
        for each in _returning(own)
    )
    return DOWN_S + WHOLE * work_s / cores


def whole_s(own: Topology, profile: Profile) -> float:
    """About when 99 % of a large population are back, from the restart on. [s]

    A herd drains in max(w, N c / k): N logins of c seconds of CPU on k cores, begun within w of
    the loss; the work can begin when the Controller is up.
    """
    spread_s = max((each.retry.first for each in _returning(own)), default=0.0)
    return max(WHOLE * spread_s, worked_s(own, profile))


def _returning(own: Topology) -> tuple[Population, ...]:
    """Populations that can be back; those that guess passwords never were there."""
    return tuple(p for p in own.platforms if p.login is None or p.login.password == "right")


def _able(population: Population, profile: Profile) -> Population:
    """The population with a login, where it had none, and with a way that takes time."""
    login = population.login or _login(profile)
    network = changed(population.network, delay=max(population.network.delay, NEAR_S))
    return changed(population, login=login, network=network)


def _login(profile: Profile) -> Login:
    assert profile.logins is not None
    tls, sasl = profile.logins.tls[0], profile.logins.sasl[0]
    return Login.model_validate(
        {"mechanism": sasl.mechanism, "storage": sasl.storage, "tls": tls.version, "key": tls.key}
    )


def assumed(own: Topology, profile: Profile) -> str:
    """How Platforms are taken to log in whose population does not say it; empty if all do."""
    if not possible(profile) or all(each.login is not None for each in own.platforms):
        return ""
    login = _login(profile)
    return f"{login.mechanism.upper()} over TLS {login.tls}, first attempts within 60 s"


def longest_s(own: Topology) -> float:
    """How long a stormed topology gives its Platforms to be back, from the restart on. [s]"""
    return math.floor(own.workload.duration - START_S)
