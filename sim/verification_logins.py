"""A grid in which Platforms log in and do nothing else, and a server of which that is all work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sim.verification_worlds import SERVICE_S, World
from topologies.profiles import Logins, Profile
from topologies.schema import Topology


def logins_alone(
    counts: Mapping[str, int], delay: str, retry: Mapping[str, Any],
    faults: Sequence[Mapping[str, Any]], duration_s: float, more: Mapping[str, Any] | None = None,
) -> Topology:  # fmt: skip
    """So many Platforms by population that faults make log in; a publisher who never does is first.

    Parameters
    ----------
    counts : mapping of str to int
        Of the Platforms of each population.
    delay : str
        Of their network, with its unit.
    retry, faults : mapping, sequence of mapping
        As in a topology file.
    duration_s : float
        Of the run. [s]
    more : mapping, optional
        Further fields of the Controller.
    """
    controller = {"name": "c", "domain": "c.test", "profile": "known", "nic": "1 TB/s"}
    return Topology.model_validate(
        {
            "schema": 1,
            "name": "logins",
            "controllers": [{**controller, **(more or {})}],
            "brokers": [{"name": "b", "controller": "c"}],
            "topics": [{"name": "t", "broker": "b", "payload": {"size": "1000 B"}}],
            "platforms": [
                {"name": "pub", "count": 1, "controller": "c", "publishes": ["t"]},
                *(
                    {"name": name, "count": count, "controller": "c", "network": {"delay": delay},
                     "login": {"mechanism": "plain"}, "retry": retry}
                    for name, count in counts.items()
                ),
            ],
            "workload": {
                "study": "campaign",
                "duration": f"{duration_s!r} s",
                "arrivals": [
                    {"topic": "t", "by": "pub", "process": "poisson", "rate": "0.000001/s"}
                ],
            },
            "faults": [*faults],
        }
    )  # fmt: skip


def free_logins(cv: float) -> Profile:
    """A server whose work is all in the first step of a login."""
    assumed = {"kind": "assumed", "source": "a queue with a closed form"}
    nothing = {"version": "1.3", "key": "ecdsa-p256", "cost": "0 s"}
    return World((), 1.0, {"copy": "0 s"}).profile().model_copy(
        update={
            "logins": Logins.model_validate(
                {
                    "provenance": assumed, "accept": f"{SERVICE_S!r} s", "cv": cv,
                    "tls": [nothing],
                    "sasl": [{"mechanism": "plain", "storage": "hashed", "first": "0 s"}],
                }
            )
        }
    )  # fmt: skip
