"""Was the generator the limit? Judged second by second, from what its processes know of themselves.

A second in which the generator was late, busy or behind is *limited*: what was measured in it says
as much about the generator as about the server. A run with too many of them is invalid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

LIMITED_SHARE_MAX = 0.1


@dataclass(frozen=True)
class Limits:
    """Above any of these, a second is limited by the generator.

    Attributes
    ----------
    lateness_s : float
        p99 of sent minus intended. [s]
    lag_s : float
        Longest delay of an event loop. [s]
    cpu_share : float
        CPU time of a process over the second: it has one core at most. [1]
    unread_bytes : float
        Most that the kernel held for a sampled session; more, and TCP would slow the server. [B]
    delay_s : float
        p99 from the kernel's receipt to the application's. [s]
    """

    lateness_s: float
    lag_s: float = 0.1
    cpu_share: float = 0.9
    unread_bytes: float = 65_536.0
    delay_s: float = 0.1


LATENESS_S_MIN = 5e-3
LATENESS_SHARE = 0.1


def limits(latency_s: float, stamped: bool = True) -> Limits:
    """Limits for a run whose p99 of latency is `latency_s` [s].

    Lateness is part of the latency, so it may be a tenth of it, and 5 ms in any case. So is the
    delay from the kernel to the application where deliveries are not `stamped` by the kernel.
    """
    part_s = max(LATENESS_S_MIN, LATENESS_SHARE * latency_s)
    return Limits(lateness_s=part_s) if stamped else Limits(lateness_s=part_s, delay_s=part_s)


@dataclass(frozen=True)
class Second:
    """One second of the run over all processes: the worst of each figure, and what it exceeds."""

    second: int
    figures: dict[str, float]
    exceeded: tuple[str, ...]


def seconds(windows: Iterable[Mapping[str, Any]], bounds: Limits) -> list[Second]:
    """The run's seconds, each judged.

    Parameters
    ----------
    windows : iterable of mapping
        Of every process: `second`, and any of `lateness_s`, `lag_s`, `cpu_s`, `unread_bytes`,
        `delay_s`.
    bounds : Limits
        What is too much.
    """
    worst: dict[int, dict[str, float]] = {}
    for window in windows:
        figures = worst.setdefault(int(window["second"]), {})
        for name in vars(bounds):
            source = "cpu_s" if name == "cpu_share" else name
            figures[name] = max(figures.get(name, 0.0), float(window.get(source, 0.0)))
    return [
        Second(
            second,
            figures,
            tuple(name for name, bound in vars(bounds).items() if figures[name] > bound),
        )
        for second, figures in sorted(worst.items())
    ]


@dataclass
class Judgement:
    """Why a run may not be used, and what to know when using it."""

    reasons: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


_REPAIRS = {
    "lateness_s": "the pacer was late; free a core for the generator",
    "lag_s": "its event loop stood still; free a core for the generator",
    "cpu_share": "a process filled its core; lower the load or use a faster machine",
    "unread_bytes": "deliveries waited unread; lower the load or free a core",
    "delay_s": "deliveries waited in the kernel; lower the load or free a core",
}


def judge(
    judged: Sequence[Second], own_cost_s: float, server_cost_s: float, stamped: bool = True
) -> Judgement:
    """The generator's verdict on itself.

    Parameters
    ----------
    judged : sequence of Second
        The measured seconds.
    own_cost_s, server_cost_s : float
        CPU time per delivery of the receiving side and of the servers; nan if unknown. [s]
    stamped : bool
        Whether deliveries are timed by the kernel's receipt.
    """
    judgement = Judgement()
    limited = [second for second in judged if second.exceeded]
    if limited:
        causes: dict[str, int] = {}
        for second in limited:
            for name in second.exceeded:
                causes[name] = causes.get(name, 0) + 1
        cause = max(causes, key=lambda name: causes[name])
        worst = max(second.figures[cause] for second in limited)
        text = (
            f"generator limited in {len(limited)} of {len(judged)} s: {cause} up to {worst:.4g}; "
            f"{_REPAIRS[cause]}"
        )
        too_many = len(limited) > max(1.0, LIMITED_SHARE_MAX * len(judged))
        if too_many:
            judgement.reasons.append(text)
        else:
            judgement.warnings.append(f"{text}; what was published then is cut from the figures")
    if own_cost_s > server_cost_s:
        # Where the kernel stamps what waits, that is no reason by itself: too much is noticed.
        (judgement.warnings if stamped else judgement.reasons).append(
            f"a delivery costs the generator {own_cost_s * 1e6:.0f} us, the server "
            f"{server_cost_s * 1e6:.0f} us: near saturation the generator would be the limit"
        )
    return judgement


STARVED_SHARE_MAX = 0.1


def starved(
    cpu_s: Mapping[str, float], waited_s: Mapping[str, float], beside: int = 0
) -> list[str]:
    """Servers that other work kept from their cores: their latencies speak of the machine.

    Parameters
    ----------
    cpu_s, waited_s : mapping of str to float
        Of each server, CPU time used, and time ready to run without a core. [s]
    beside : int
        Other servers on the same cores, of this grid or of others; a server may wait for as much
        work of each as it does itself.
    """
    return [
        f"{name} waited {waited_s[name]:.2g} s for a core and ran {cpu_s[name]:.2g} s: "
        "something else uses the machine; leave it alone while measuring"
        for name in cpu_s
        if waited_s[name] > (STARVED_SHARE_MAX + beside) * cpu_s[name]
    ]
