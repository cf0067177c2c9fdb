"""Who plays what of a topology on a real grid: its server, its Platforms, the pilot's crowd."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, Literal

from loadtest import adversaries
from loadtest.caller import Account, Door, Mechanism
from loadtest.herd import Herd
from loadtest.localparts import localparts
from loadtest.membership import Member
from loadtest.problems import LoadError
from loadtest.retries import Retry
from loadtest.server import BRIEF_LOGIN_S, Options
from topologies.schema import Network, Outage, Poisson, Population
from topologies.schema import Retry as Described

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.schema import Topology

PILOT_PLATFORMS: Final = 120
PILOT_S: Final = 20.0
PILOT_GUESSES: Final = 12  # of each that guesses: about as long as the play, as speeds drift
_MECHANISMS: Final[dict[str, Mechanism]] = {
    "scram-sha-1": "SCRAM-SHA-1", "scram-sha-256": "SCRAM-SHA-256", "plain": "PLAIN",
}  # fmt: skip


def pilot(topology: Topology) -> Topology:
    """A patient crowd of the largest population that logs in: all at once, nobody gives up."""
    honest = [p for p in topology.platforms if p.login is not None and p.role == "legitimate"]
    crowd = max(honest, key=lambda each: each.count, default=None)
    if crowd is None or len(topology.controllers) != 1:
        raise LoadError(f"{topology.name}: one Controller and a population with a login are needed")
    count = min(PILOT_PLATFORMS, crowd.count)
    retry = Described.model_validate({"policy": "fixed", "first": "0 s", "timeout": f"{PILOT_S} s"})
    topic = topology.topics[0].name
    patient = crowd.model_copy(
        update={"name": "pilot", "count": count, "subscribes": (), "publishes": (topic,),
                "retry": retry, "addresses": None}
    )  # fmt: skip
    seldom = Poisson.model_validate(
        {"process": "poisson", "topic": topic, "by": "pilot", "rate": "1/min"}
    )
    fault = Outage.model_validate(
        {"kind": "outage", "name": "pilot", "population": "pilot", "start": "1 s",
         "duration": "1 s"}
    )  # fmt: skip
    node = topology.controllers[0]
    limits = node.limits.model_copy(update={"address": None, "failed_logins": None})
    workload = topology.workload.model_copy(
        update={"duration": PILOT_S, "arrivals": (seldom,), "study": "campaign"}
    )
    return topology.model_copy(
        update={
            "controllers": (node.model_copy(update={"limits": limits, "admission": None}),),
            "platforms": (patient,),
            "faults": (fault,),
            "attacks": (),
            "workload": workload,
        }
    )


def guessing(topology: Topology, guesses: int = PILOT_GUESSES) -> Topology | None:
    """The pilot's crowd at rest beside those who guess passwords, so often each; None without."""
    guessers = [p for p in topology.platforms if p.login and p.login.password == "wrong"]
    if not guessers:
        return None
    crowd = pilot(topology)
    (fault,) = crowd.faults
    limited = [
        each.model_copy(update={"retry": each.retry.model_copy(update={"attempts": guesses})})
        for each in guessers
    ]
    faults = tuple(
        fault.model_copy(update={"name": f"guessing {each.name}", "population": each.name})
        for each in guessers
    )
    return crowd.model_copy(update={"platforms": (*crowd.platforms, *limited), "faults": faults})


def bare(topology: Topology) -> Topology:
    """What is deployed of a topology whose logins and faults are played."""
    plain = {"login": None, "retry": Described(), "network": Network(), "addresses": None}
    platforms = tuple(each.model_copy(update=plain) for each in topology.platforms)
    return topology.model_copy(update={"platforms": platforms, "faults": ()})


def options(topology: Topology) -> Options:
    """How a server is deployed so that all may log in as they are described to, however slowly.

    Raises
    ------
    LoadError
        They differ in what the whole server is set to, or a way in is not deployed.
    """
    crowds = [each for each in topology.platforms if each.login is not None]
    logins = {each.login for each in crowds if each.login is not None}
    mechanisms = {each.mechanism for each in logins}
    storages = {each.storage for each in logins}
    problems = [f"{each} is not driven by an attack" for each in mechanisms - _MECHANISMS.keys()]
    if len(storages) > 1 or len(mechanisms - {"plain"}) > 1:
        problems.append("storage and the hash of SCRAM are one for a whole server")
    if any(each.key != "ecdsa-p256" or each.tls != "1.3" for each in logins):
        problems.append("servers are deployed with an ECDSA P-256 key, and speak TLS 1.3")
    if problems:
        raise LoadError("\n".join(f"platforms.login: {each}" for each in problems))
    storage: Literal["hashed", "plain"] = "plain" if "plain" in storages else "hashed"
    scram: Literal["SHA-256", "SHA-1"] = "SHA-256" if "scram-sha-256" in mechanisms else "SHA-1"
    login_s = max([BRIEF_LOGIN_S, *(each.retry.timeout for each in crowds)])
    return Options(scram=scram, storage=storage, login_s=login_s)


def door_of(grid: Grid, topology: Topology, number: int = 0) -> Door:
    """Where one of a topology's Controllers takes logins, by default the first."""
    place = grid.document()["controllers"][topology.controllers[number].name]
    context = ssl.create_default_context(cafile=place["ca_file"])
    return Door(place["address"], place["port"], place["domain"], context)


def pairs_on(
    grid: Grid, topology: Topology
) -> tuple[list[tuple[Account, Account]], tuple[Door, Door]]:
    """Accounts of Platforms at both of two Controllers, and where these take logins."""
    passwords, sides = grid.credentials(), []
    for node in topology.controllers[:2]:
        here = localparts(each for each in topology.platforms if each.controller == node.name)
        sides.append([Account(name, passwords[f"{name}@{node.domain}"]) for name in here])
    doors = door_of(grid, topology, 0), door_of(grid, topology, 1)
    return list(zip(*sides, strict=False)), doors


def herd_on(grid: Grid, topology: Topology, seed: int) -> Herd:
    """The Platforms of a topology that log in, on a grid that was deployed for it."""
    node, door = topology.controllers[0], door_of(grid, topology)
    passwords = grid.credentials()
    members = []
    for number, population in enumerate(topology.platforms):
        if population.login is not None:
            members += _members(population, number, node.domain, passwords)
    return Herd(
        grid, door, members, hostile_per_s=adversaries.CAPS.connections_per_s, seed=seed
    )  # fmt: skip


def _members(
    population: Population, number: int, domain: str, passwords: dict[str, str]
) -> list[Member]:
    login, wish = population.login, population.retry
    assert login is not None
    retry = Retry(wish.policy, wish.base, wish.cap, wish.attempts, wish.first, wish.timeout)
    own = population.addresses
    wrong = login.password == "wrong"
    found = []
    for place in range(population.count):
        localpart = f"{population.name}-{place}"
        password = "wrong" if wrong else passwords[f"{localpart}@{domain}"]
        source = None if own is None else f"127.90.{number}.{place % own + 1}"
        account = Account(localpart, password, _MECHANISMS[login.mechanism], source)
        hostile = population.role == "adversary"
        found.append(Member(population.name, place, account, retry, hostile))
    return found
