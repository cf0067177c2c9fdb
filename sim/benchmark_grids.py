"""The grids that `gridlab bench sim` plays, and how long.

fan-out      one Topic, 10^2, 10^4 or 10^5 subscribers with readers of their own, load 0.7
one-publish  one publication to 10^6 Platforms
storm        10^5 and more Platforms log in again after a restart, step by step
topology     campus-nac with 200 tools and a Controller that carries them: one hour
events       alerts and bulk to one Platform each, by priority, on four cores: nothing batches

A fan-out is also played by the disciplines that were measured, at the same utilisation.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import topologies
from sim.benchmark_storms import login_profile, storm_grid
from topologies.profiles import FanoutProcess, Fifo, LoopTurns, Profile
from topologies.schema import Topology

PUBLISH_S, COPY_S, UTILISATION = 200e-6, 10e-6, 0.7
CAMPUS = "campus-nac"
MEASURED = {"loop-turns": "prosody-0.12", "fanout-process": "ejabberd-23"}
WITNESSED = 10_000  # subscribers that the reference, stanza by stanza, is asked to serve at most
NAIVE_PER_S = 20e3  # copies, or steps of logins, that a naive model plays, about [1/s]
ROUNDS = ((1.0, 5), (20.0, 3), (float("inf"), 2))  # where a naive play takes so long at most [s]
EVENTS = 4  # a publication arrives; its only copy is written, has crossed the link, is read
TOOLS = {"siem": 50, "firewall": 70, "responder": 50, "console": 30}
COPIES_PER_S = 139e3  # that those tools get [1/s]
STEPS = 7  # of a login of the storm


@dataclass(frozen=True)
class Workload:
    """What is played: `short` by all engines, `full` by the kernels, whose rate is that of `full`.

    `set_up` says whether the time to set the grid up counts; where little is played it would be
    all that counts. `naive_s` is about how long the naive model plays. `others` are further
    programs that play `short`; `measured` has the same fan-out for servers of other disciplines,
    which the reference plays on the grid `witnessed`. `events_each` is how many events a delivery
    is made of, where those are counted.
    """

    name: str
    size: int
    short: Topology
    full: Topology
    profile: Profile
    naive_s: float
    set_up: bool = True
    measured: Mapping[str, Workload] = field(default_factory=dict)
    others: tuple[str, ...] = ()
    storm: bool = False
    events_each: int = 1
    witnessed: Topology | None = None

    @property
    def rounds(self) -> int:
        """How often all engines play it: fewer times where a play is long."""
        return next(rounds for most_s, rounds in ROUNDS if self.naive_s < most_s)

    @property
    def counts_events(self) -> bool:
        """Whether rates are those of events, not of deliveries."""
        return self.storm or self.events_each > 1


def carrier(publish_s: float, copy_s: float, distribution: str) -> Profile:
    """A plain `fifo` server with these costs. [s]"""
    return Profile.model_validate(
        {
            "schema": 1,
            "name": "carrier",
            "server": "none",
            "version": "1",
            "machine": "on paper",
            "measured": "2026-11-25",
            "provenance": {"kind": "assumed", "source": "costs of a benchmark, on paper"},
            "costs": {
                "discipline": "fifo",
                "publish": f"{publish_s!r} s",
                "copy": f"{copy_s!r} s",
                "copy_distribution": distribution,
            },
            "memory": {"base": "20 MB", "session": "50 kB", "queued_copy": "300 B"},
            "envelope": {"notification": "380 B"},
        }
    )


def fan_out(size: int, short: int, full: int) -> Workload:
    """Poisson publications to `size` subscribers, so many of them on average."""
    profile = carrier(PUBLISH_S, COPY_S, "exponential")
    short_grid, full_grid = _fan_outs(size, PUBLISH_S + size * COPY_S, (short, full))
    measured = {
        discipline: measured_fan_out(size, 2, max(full // 10, 2), discipline)
        for discipline in MEASURED
    }
    naive_s = short * size / NAIVE_PER_S
    return Workload("fan-out", size, short_grid, full_grid, profile, naive_s, measured=measured)


def measured_fan_out(size: int, short: int, full: int, discipline: str) -> Workload:
    """The same on a server that was measured, whose disciplines work copies one by one."""
    profile = topologies.read_profile(MEASURED[discipline])
    witnesses = min(size, WITNESSED)
    short_grid, full_grid = _fan_outs(size, _service_s(profile, size), (short, full))
    witnessed, _ = _fan_outs(witnesses, _service_s(profile, witnesses), (short, short))
    return Workload("fan-out", size, short_grid, full_grid, profile, 0.0, witnessed=witnessed)


def _service_s(profile: Profile, size: int) -> float:
    """CPU time of a publication to so many subscribers. [s]"""
    match profile.costs:
        case LoopTurns() as costs:
            return costs.publish + size * (costs.build + costs.write)
        case FanoutProcess() as costs:
            copy_s = costs.setup_per_subscriber + costs.route + costs.write
            return costs.setup + costs.finish + size * copy_s
        case Fifo() as costs:
            return costs.publish + size * costs.copy_


def _fan_outs(size: int, service_s: float, counts: tuple[int, int]) -> tuple[Topology, Topology]:
    """Grids that offer so many publications, each of which costs this much. [s]"""
    arrivals = {"process": "poisson", "rate": f"{UTILISATION / service_s!r}/s"}
    short, full = (_one_topic(size, arrivals, count * service_s / UTILISATION) for count in counts)
    return short, full


def one_publish(size: int) -> Workload:
    """A single publication, at the start."""
    grid = _one_topic(size, {"process": "deterministic", "rate": "0.001/s"}, 1.0)
    profile = carrier(PUBLISH_S, COPY_S, "exponential")
    naive_s = size / NAIVE_PER_S
    return Workload("one-publish", size, grid, grid, profile, naive_s, set_up=False)


def _one_topic(size: int, arrivals: dict[str, str], duration_s: float) -> Topology:
    return Topology.model_validate(
        {
            "schema": 1,
            "name": "bench",
            "controllers": [
                {"name": "c", "domain": "c.test", "profile": "carrier", "nic": "250 MB/s"}
            ],
            "brokers": [{"name": "b", "controller": "c"}],
            "topics": [{"name": "t", "broker": "b", "payload": {"size": "820 B"}}],
            "platforms": [
                {"name": "source", "count": 1, "controller": "c", "publishes": ["t"]},
                {
                    "name": "sink",
                    "count": size,
                    "controller": "c",
                    "subscribes": ["t"],
                    "network": {"delay": "2 ms"},
                    "read_rate": "200/s",
                },
            ],
            "workload": {
                "study": "campaign",
                "duration": f"{duration_s!r} s",
                "arrivals": [{"topic": "t", "by": "source", **arrivals}],
            },
        }
    )


def campus(short_s: float, full_s: float) -> Workload:
    """campus-nac without its flood, 200 tools, one core that needs 5 us a copy. [s]"""
    changes = [f"platforms[{name}].count={count}" for name, count in TOOLS.items()]
    changes += ["controllers[0].cores=1", "attacks=[]"]
    short_grid, full_grid = (
        topologies.load(CAMPUS, [*changes, f"workload.duration={length_s!r} s"])
        for length_s in (short_s, full_s)
    )
    profile = carrier(30e-6, 5e-6, "constant")
    naive_s = COPIES_PER_S * short_s / NAIVE_PER_S
    return Workload("topology", sum(TOOLS.values()), short_grid, full_grid, profile, naive_s)


def events(short_s: float, full_s: float) -> Workload:
    """Alerts and bulk to one Platform each; a core takes who waits by priority. [s]

    What is served next depends on who waits as a core falls idle, and each publication has one
    copy: no two events can be worked together.
    """
    cores, topics, service_s = 4, 8, PUBLISH_S + COPY_S
    rate_per_s = UTILISATION * cores / service_s / topics
    names = [f"t{number}" for number in range(topics)]
    short_grid, full_grid = (
        Topology.model_validate(
            {
                "schema": 1,
                "name": "events",
                "controllers": [{"name": "c", "domain": "c.test", "profile": "carrier",
                                 "cores": cores, "nic": "250 MB/s"}],
                "brokers": [{"name": "b", "controller": "c"}],
                "topics": [{"name": name, "broker": "b", "payload": {"size": "820 B"},
                            "priority": number % 2} for number, name in enumerate(names)],
                "platforms": [
                    {"name": "source", "count": 1, "controller": "c", "publishes": names},
                    *({"name": f"sink-{name}", "count": 1, "controller": "c",
                       "subscribes": [name], "network": {"delay": "2 ms"},
                       "read_rate": "5000/s"} for name in names),
                ],
                "workload": {
                    "study": "campaign",
                    "duration": f"{length_s!r} s",
                    "arrivals": [{"topic": name, "by": "source", "process": "poisson",
                                  "rate": f"{rate_per_s!r}/s"} for name in names],
                },
            }
        )
        for length_s in (short_s, full_s)
    )  # fmt: skip
    profile = carrier(PUBLISH_S, COPY_S, "exponential")
    naive_s = topics * rate_per_s * short_s / NAIVE_PER_S
    return Workload("events", topics, short_grid, full_grid, profile, naive_s, events_each=EVENTS)


def storm(size: int) -> Workload:
    """`size` Platforms that log in again; both engines play all of it."""
    grid = storm_grid(size)
    profile = login_profile(carrier(PUBLISH_S, COPY_S, "constant"))
    return Workload("storm", size, grid, grid, profile, STEPS * size / NAIVE_PER_S, storm=True)


def small_fan_out(short: int, full: int) -> Workload:
    """A fan-out to 100, small enough for ciw, if that is installed (the extra `verify`)."""
    others = ("ciw",) if importlib.util.find_spec("ciw") else ()
    return replace(fan_out(100, short, full), set_up=False, measured={}, others=others)


def workloads(quick: bool) -> list[Workload]:
    """All of them, or shorter ones."""
    if quick:
        return [
            small_fan_out(10, 10_000),
            fan_out(10_000, 4, 1_000),
            one_publish(100_000),
            storm(10_000),
            campus(0.3, 120.0),
            events(0.5, 20.0),
        ]
    return [
        small_fan_out(30, 100_000),
        fan_out(10_000, 10, 10_000),
        fan_out(100_000, 2, 1_000),
        one_publish(1_000_000),
        storm(300_000),
        campus(1.0, 3600.0),
        events(2.0, 150.0),
    ]
