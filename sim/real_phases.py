"""Real points for the phase diagram of reconnect herds: predicted first, then played in a row.

A point's size is the time that all its logins take the server when nobody gives up, as the model
with the costs of this machine has it. Sizes and caps are multiples of the patience, which leaves
the line where it is. The server is held to a share of its core: logins take so long then that the
largest herd with a patience of a second may connect at once within the caps of the rails. Where
they are quicker, patience is shorter. So the server alone decides, within a minute.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import numpy as np

from results.herd_phases import WHOLE, Placed, RealPhases, RealPoint, Told
from results.variants import Measured
from sim.herd_phases import last_login_s, point
from sim.reenactments import Real, unsure
from sim.replications import simulate
from sim.returned import cost_ratio, foretold, told_the_cost, told_the_pace
from topologies import Profile, overlays
from topologies.schema import Outage, Retry, Topology

PLACES: Final = (  # three on either side of the line, and three near it
    (5.0, 1.0), (5.0, 6.0), (5.0, 14.0), (7.0, 2.0), (7.0, 9.0), (7.0, 22.0), (9.0, 4.0),
    (9.0, 12.0), (9.0, 28.0),
)  # fmt: skip
SHARE: Final = 0.2  # of its core that the server gets
PATIENCE_S: Final = 1.0  # at most
PLATFORMS_MAX: Final = 850  # of a herd, all of whom connect at once: below the cap of the rails
HORIZON_S: Final = 50.0
PATIENT: Final = 200
DOOR: Final = "gridlab attack"


def points(
    real: Real,
    base: str | None = None,
    *,
    places: Sequence[tuple[float, float]] = PLACES,
    changes: Sequence[str] = (),
    seed: int = 1,
) -> RealPhases:
    """Predict and play a herd for each size and cap. [s]

    Parameters
    ----------
    real : Real
        Real grids.
    base : str, optional
        Topology instead of the scenario's own.
    places : sequence of (float, float)
        Sizes, as the time that all logins of the herd take the server, and caps of full jitter,
        both as multiples of the patience. [1]
    changes : sequence of str
        Of the base, as `--set` takes them.
    seed : int
        Of all runs.
    """
    laid = overlays.scenario("S-HERD", base, ["none"], changes, real=True).attacked["none"]
    profiles = real.fit_logins(laid, SHARE)
    login_s = _login_s(laid, profiles, seed)
    largest = max(size for size, _ in places)
    patience_s = min(PATIENCE_S, PLATFORMS_MAX * login_s / largest)
    herds = [
        herd(laid, round(size * patience_s / login_s), cap * patience_s, patience_s)
        for size, cap in places
    ]
    predicted_shares = []
    for each in herds:
        run = simulate(each, seed=seed, replications=1, processes=1, profiles=profiles, door=DOOR)
        real.predicted(each)
        predicted_shares.append(_online_share(foretold("herd", each, run)))
    played = real.series(herds, SHARE)
    found: list[RealPoint] = [
        {
            **_point(cap * patience_s, each, login_s, patience_s, predicted, _online_share(other)),
            **_told(each, profiles, other, login_s, seed),
        }
        for (_, cap), each, predicted, other in zip(
            places, herds, predicted_shares, played, strict=True
        )
    ]
    return {
        "share": SHARE,
        "login_s": login_s,
        "patience_s": patience_s,
        "horizon_s": HORIZON_S,
        "noticed": real.noticed(),
        "doubts": [
            *unsure(real.noticed()),
            *(
                f"{place[0]:g} times the patience in logins, cap {place[1]:g} times: {doubt}"
                for place, other in zip(places, played, strict=True)
                for doubt in other.doubts
            ),
        ],
        "points": found,
        "line_right": _share(each["drained"] == each["foretold"] for each in found),
        "model_right": _share(each["drained"] == each["predicted_drained"] for each in found),
        "given_pace_right": _told_right(found, "given_pace_share"),
        "given_cost_right": _told_right(found, "given_cost_share"),
    }


def _online_share(played: Measured) -> float:
    return played.sample("online_share").value


def _share(right: Iterable[bool]) -> float | None:
    answers = list(right)
    return float(np.mean(answers)) if answers else None


def _told(
    topology: Topology, profiles: dict[str, Profile], other: Measured, login_s: float, seed: int
) -> Told:
    """What the model makes of a herd when it is told the pace, or the cost, of the play."""
    asked = topology, other, profiles, seed, SHARE
    paced = told_the_pace(*asked, replications=1)
    ratio = cost_ratio(topology, other, profiles, login_s, SHARE)
    paid = None if ratio is None else told_the_cost(*asked, ratio, replications=1)
    return {
        "given_pace_share": None if paced is None else _online_share(paced),
        "given_cost_share": None if paid is None else _online_share(paid),
        "cost_ratio": ratio,
    }


def _told_right(
    points: Sequence[RealPoint], told: Literal["given_pace_share", "given_cost_share"]
) -> float | None:
    known = [(each["drained"], share) for each in points if (share := each[told]) is not None]
    return _share(drained == (share >= WHOLE) for drained, share in known)


def herd(laid: Topology, platforms: int, cap_s: float, patience_s: float) -> Topology:
    """The topology with a herd of this size that loses its connections and goes by this cap."""
    name = max(laid.platforms, key=lambda each: each.count).name
    retry = Retry.model_validate(
        {"policy": "full-jitter", "base": f"{min(patience_s, cap_s)} s", "cap": f"{cap_s} s",
         "first": "0 s", "timeout": f"{patience_s} s"}
    )  # fmt: skip
    fault = Outage.model_validate(
        {"kind": "outage", "name": "cut", "population": name, "start": "0.5 s", "duration": "2 s"}
    )
    others = {"login": None, "retry": Retry()}
    populations = tuple(
        each.model_copy(update={"count": platforms, "retry": retry})
        if each.name == name
        else each.model_copy(update=others)
        for each in laid.platforms
    )
    workload = laid.workload.model_copy(update={"duration": HORIZON_S})
    return laid.model_copy(
        update={"platforms": populations, "faults": (fault,), "workload": workload}
    )


def _login_s(laid: Topology, profiles: dict[str, Profile], seed: int) -> float:
    """Time of a login in a patient herd of this server. [s]"""
    topology = herd(laid, PATIENT, 1.0, HORIZON_S)
    run = simulate(topology, seed=seed, replications=1, processes=1, profiles=profiles, door=DOOR)
    return last_login_s(run, topology) / PATIENT


def _point(
    cap_s: float, topology: Topology, login_s: float, patience_s: float, predicted: float,
    share: float,
) -> Placed:  # fmt: skip
    platforms = max(each.count for each in topology.platforms)
    return {
        **point(platforms, platforms * login_s, cap_s, share, patience_s),
        "predicted_share": predicted,
        "predicted_drained": predicted >= WHOLE,
    }
