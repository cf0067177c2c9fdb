"""Scenarios: what can be asked of a real grid beside its own plan, by name.

A scenario changes the topology's workload, has a script of what happens beside the plan, or both;
`play` makes a run record of each of its runs. What a server does not support is said in the record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from loadtest import engine, retries, workloads
from loadtest.conduct import Progress
from loadtest.grid import Grid
from loadtest.problems import LoadError
from loadtest.script import Script

if TYPE_CHECKING:
    from results import Run
    from topologies.schema import Topology

Parameters = Mapping[str, Any]
Variants = Callable[["Topology", Parameters], Iterator[tuple["Topology", tuple[Any, ...]]]]
_RETRY = {"retry": retries.AS_DESCRIBED, "base": 0.5, "cap": 5.0}
BEFORE_SHARE, DURING_SHARE = 0.2, 0.6  # of a run, before and during what happens beside the plan


@dataclass(frozen=True)
class Scenario:
    """One scenario.

    Attributes
    ----------
    about : str
        One line for those who choose.
    parameters : dict
        What may be chosen, with its default.
    workloads : callable
        From a topology to the workloads that are played, one run each, with the phases of each.
    act, receivers : str or None
        See `loadtest.script.Script`.
    closed : bool
        Whether its actors wait for answers and think.
    """

    about: str
    parameters: dict[str, Any] = field(default_factory=dict)
    workloads: Variants = workloads.as_it_is
    act: str | None = None
    receivers: str | None = None
    closed: bool = False


SCENARIOS: dict[str, Scenario] = {
    "steady": Scenario("the file's own load, as it is"),
    "step-to-knee": Scenario(
        "the load climbs in equal parts of the run until the server cannot follow",
        {"steps": 6, "highest": 4.0},
        workloads.steps,
    ),
    "ramp": Scenario("the load climbs evenly", {"lowest": 0.1, "highest": 2.0}, workloads.ramp),
    "burst": Scenario("the same load in batches", {"size": 10}, workloads.bursts),
    "fan-out-sweep": Scenario(
        "one run each with more and more of the Platforms", {"runs": 4}, workloads.fan_outs
    ),
    "mixed-topics": Scenario(
        "the load spread over the file's Topics by Zipf's law",
        {"exponent": 1.0},
        workloads.zipf,
    ),
    "federated": Scenario(
        "Topics heard across two Controllers (s2s)", {}, workloads.across_controllers
    ),
    "login-storm": Scenario(
        "Platforms log in at once, timed as TCP, TLS, SASL and bind, leave and come again",
        {"users": 50, "spread": 1.0, "think": 5.0, **_RETRY},
        act="login-storm",
        closed=True,
    ),
    "reconnect-storm": Scenario(
        "receivers lose their connections at one instant and log in again",
        {"share": 1.0, **_RETRY},
        receivers="reconnect-storm",
    ),
    "subscription-churn": Scenario(
        "Platforms subscribe and unsubscribe, thinking in between",
        {"users": 20, "think": 0.1},
        act="subscription-churn",
        closed=True,
    ),
    "item-sync": Scenario(
        "Platforms catch up on a Topic's items, page by page (XEP-0059)",
        {"users": 10, "items": 100, "page": 20, "size": 1000, "think": 0.5},
        act="item-sync",
        closed=True,
    ),
    "last-item-storm": Scenario(
        "Platforms subscribe at once to a Topic that sends its last item to newcomers",
        {"users": 50, "spread": 0.5, "size": 1000},
        act="last-item-storm",
    ),
    "slow-readers": Scenario(
        "some receivers read only for a moment in each period",
        {"share": 0.1, "period": 2.0, "reading": 0.2},
        receivers="slow-readers",
    ),
    "oversize-items": Scenario(
        "one Platform publishes larger and larger items",
        {"largest": 1 << 20},
        act="oversize-items",
        closed=True,
    ),
    "authorize": Scenario(
        "Platforms ask for subscriptions that the Topic's owner grants",
        {"users": 10, "think": 0.5},
        act="authorize",
        closed=True,
    ),
    "offline-online": Scenario(
        "some receivers go away and come back to what was published meanwhile",
        {"share": 0.5, "away": 0.4, **_RETRY},
        receivers="offline-online",
    ),
}


def listing() -> list[dict[str, Any]]:
    """Every scenario with what it does and what may be chosen."""
    return [
        {
            "name": name,
            "about": each.about,
            "workload": "closed" if each.closed else "open",
            "parameters": each.parameters,
        }
        for name, each in SCENARIOS.items()
    ]


def chosen(name: str, wishes: Sequence[str]) -> dict[str, Any]:
    """The parameters of a scenario, with what was asked for as `NAME=VALUE`.

    Raises
    ------
    LoadError
        There is no such scenario or parameter, or the value does not fit; all of them at once.
    """
    if name not in SCENARIOS:
        raise LoadError(f'scenario "{name}": is not known; there are {", ".join(SCENARIOS)}')
    parameters, problems = dict(SCENARIOS[name].parameters), []
    for wish in wishes:
        key, _, text = wish.partition("=")
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            problems.append(f'--with "{wish}": {name} has no such parameter; it has {known}')
            continue
        try:
            parameters[key] = _read(parameters[key], text)
        except ValueError:
            kind = type(parameters[key]).__name__
            problems.append(f'--with "{wish}": must be a {kind}, 0 or more')
    if problems:
        raise LoadError("\n".join(problems))
    return parameters


def _read(default: Any, text: str) -> Any:
    value = type(default)(text)
    if not isinstance(value, str) and not 0 <= value < math.inf:
        raise ValueError(text)
    return value


def play(  # noqa: PLR0913 (the keyword arguments are the run)
    topology: Topology,
    grid: Grid,
    name: str,
    wishes: Sequence[str] = (),
    *,
    seed: int = 1,
    load: float = 1.0,
    duration_s: float | None = None,
    progress: Progress | None = None,
    settings: engine.Settings | None = None,
) -> list[Run]:
    """Play a scenario on a grid: one run record for each of its workloads.

    Parameters
    ----------
    topology, grid, seed, load, duration_s, progress, settings
        See `loadtest.engine.play`.
    name : str
        Which scenario.
    wishes : sequence of str
        Parameters as `NAME=VALUE`.

    Raises
    ------
    LoadError, rails.RailsError, DeploymentError
        It cannot be played.
    """
    scenario, parameters = SCENARIOS.get(name), chosen(name, wishes)
    assert scenario is not None
    topology = engine.lasting(topology, duration_s)
    runs = []
    for variant, phases in scenario.workloads(topology, parameters):
        script = _script(name, scenario, parameters, variant, phases, seed)
        runs.append(
            engine.play(
                variant,
                grid,
                seed=seed,
                load=load,
                progress=progress,
                door=f"gridlab load --scenario {name}",
                settings=settings,
                script=script,
            )
        )
        if runs[-1].header.measurement["stopped"]:
            break
    return runs


def _script(
    name: str,
    scenario: Scenario,
    parameters: Mapping[str, Any],
    topology: Topology,
    phases: tuple[Any, ...],
    seed: int,
) -> Script:
    duration_s = topology.workload.duration
    start_s, end_s = BEFORE_SHARE * duration_s, (BEFORE_SHARE + DURING_SHARE) * duration_s
    if scenario.act or scenario.receivers:
        phases = (
            ("before", 0.0, start_s),
            ("during", start_s, end_s),
            ("after", end_s, duration_s),
        )
    users = int(parameters.get("users", 1)) if scenario.act else 0
    spread_s = float(parameters.get("spread", 1.0)) or 1.0
    return Script(
        scenario=name,
        seed=seed,
        closed=scenario.closed,
        act=scenario.act,
        receivers=scenario.receivers,
        users=users,
        start_s=start_s,
        end_s=end_s,
        connections_per_s=users / spread_s,
        parameters=dict(parameters),
        retries=retries.described(topology) if "retry" in parameters else {},
        phases=phases,
    )
