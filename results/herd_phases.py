"""The reconnect storm's phase diagram: where a herd drains and where it keeps its server down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NotRequired

import numpy as np
from rich.console import Group, RenderableType
from rich.text import Text
from typing_extensions import TypedDict

from results import style
from results.terminal import sheet
from results.variants import AbandonedStep

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WHOLE: Final = 0.99  # share online at the end with which a herd counts as drained


class Point(TypedDict):
    """One simulated herd: its size as the time that all its logins take, and its back-off."""

    platforms: int
    work_s: float
    cap_s: float
    online_share: float
    drained: bool
    foretold: bool


class Placed(Point):
    """A herd on a real server, and what the model said of it before."""

    predicted_share: float
    predicted_drained: bool


class Told(TypedDict):
    """Share online where the model is told the play's pace, or its cost; null: not known. [1]

    `cost_ratio` is what the server used over what the messages of all attempts, also of those that
    were given up, were predicted to cost it. [1]
    """

    given_pace_share: float | None
    given_cost_share: float | None
    cost_ratio: float | None


class RealPoint(Placed, Told):
    """Both; documents before 2026-11-28 have only the first."""


class RealPhases(TypedDict):
    """Herds on a real server, with the patience to which they are scaled. [s]

    `share` is how much of its core the server had [1]; documents before 2026-11-28 have none, and
    their servers had all of it. `noticed` is what abandoned logins cost it, `doubts` what is not to
    be relied on; `line_right`, `model_right`, `given_pace_right` and `given_cost_right` are the
    shares of the points of which the line, the model, and the model that is told the pace of the
    server's core or what messages cost it in the play, say what came. [1]
    """

    share: NotRequired[float]
    login_s: float
    patience_s: float
    horizon_s: float
    noticed: list[AbandonedStep]
    doubts: list[str]
    points: list[RealPoint]
    line_right: float | None
    model_right: float | None
    given_pace_right: NotRequired[float | None]
    given_cost_right: NotRequired[float | None]


class PhaseDiagram(TypedDict):
    """The document of `gridlab attack S-HERD --phase --json`; `real` is there with `--real`.

    `login_s` is what a login takes the server when nobody gives up: a patient herd's time over its
    size. The line says that a herd drains if its cap is above 2 (N / mu - 2 tau): `foretold` of
    each point. A server that pays less for who has given up lets in herds below it, too.
    `agreement` is the share of the points on the side that the line says, `agreement_apart` that of
    the points whose cap is at least a quarter off the line, `agreement_above` that of the points
    above it.
    """

    topology: str
    patience_s: float
    login_s: float
    horizon_s: float
    policy: str
    points: list[Point]
    agreement: float | None
    agreement_apart: float | None
    agreement_above: float | None
    real: NotRequired[RealPhases]


def boundary_cap_s(work_s: float, patience_s: float) -> float:
    """Cap of full jitter at which a herd just drains. [s]

    N_left / (C / 2 + tau) = mu, where N_left = N - mu tau are those who are not in before the first
    of them give up, so that C = 2 (N / mu - 2 tau). Above it the retries do not fill the server
    even if each is paid for like a login. A server that takes in all connections at once does pay
    so much: there herds below the line are stuck. Where a turn accepts one connection (Prosody),
    who gives up outside costs little. Yet it is those who have waited longest that are accepted:
    where more come than can be served, these give up within, after some of their steps. So herds
    are stuck there as well, but those near the line, whose waits now and then are short enough,
    are let in bit by bit, and those that come in waves at each wave.
    """
    return 2.0 * (work_s - 2.0 * patience_s)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def render(diagram: PhaseDiagram) -> RenderableType:
    """Rows by cap, columns by work, and how often the line is right."""
    works = sorted({each["work_s"] for each in diagram["points"]})
    caps = sorted({each["cap_s"] for each in diagram["points"]}, reverse=True)
    by_place = {(each["work_s"], each["cap_s"]): each for each in diagram["points"]}
    table = sheet("cap [s] \\ N / mu [s]", *(f"{work_s:.3g}" for work_s in works))
    for cap_s in caps:
        marks = [_mark(by_place[work_s, cap_s]) for work_s in works]
        table.add_row(f"{cap_s:g}", *marks)
    line = " ".join(f"{boundary_cap_s(each, diagram['patience_s']):.3g}" for each in works)
    count = len(diagram["points"])
    return Group(
        table,
        Text(f"share online after {diagram['horizon_s']:g} s; * is not on the line's side"),
        Text(f"cap on the line: {line}"),
        Text(
            f"{_percent(diagram['agreement'])} of {count} points on the line's side, "
            f"{_percent(diagram['agreement_apart'])} of those a quarter off it, "
            f"{_percent(diagram['agreement_above'])} of those above it",
            style="bold",
        ),
        *_real(diagram),
    )


def _real(diagram: PhaseDiagram) -> list[RenderableType]:
    """The herds on a real server, a row each."""
    real = diagram.get("real")
    if real is None:
        return []
    titles = ("Platforms", "N / mu [s]", "cap [s]", "line's cap [s]", "predicted")
    table = sheet(*titles, "given pace", "cost", "given cost", "online")
    for each in real["points"]:
        table.add_row(
            str(each["platforms"]),
            f"{each['work_s']:.3g}",
            f"{each['cap_s']:g}",
            f"{boundary_cap_s(each['work_s'], real['patience_s']):.3g}",
            f"{each['predicted_share']:.2f}",
            _number(each.get("given_pace_share")),
            _number(each.get("cost_ratio")),
            _number(each.get("given_cost_share")),
            _mark(each),
        )
    shares = ", ".join(f"{each['step']} {100 * each['noticed']:.0f} %" for each in real["noticed"])
    return [
        Text(
            f"On a real server with {_percent(real.get('share', 1.0))} of a core, patience "
            f"{real['patience_s']:.3g} s, after {real['horizon_s']:g} s"
        ),
        table,
        Text("cost: CPU time of the server over what was predicted for all messages"),
        Text(f"Of logins that were given up the server dropped unpaid: {shares}"),
        *(Text(f"In doubt: {each}", style="bold red") for each in real["doubts"]),
        Text(
            f"the line is right about {_percent(real['line_right'])} of them, the model about "
            f"{_percent(real['model_right'])}; told the plays' pace about "
            f"{_percent(real.get('given_pace_right'))}, told their cost about "
            f"{_percent(real.get('given_cost_right'))}",
            style="bold",
        ),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _mark(point: Point) -> str:
    return f"{point['online_share']:.2f}" + ("" if point["drained"] == point["foretold"] else "*")


@style.styled
def draw(diagram: PhaseDiagram) -> Figure:
    """Points that drain and points that do not, and the line between them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(style.WIDTH_IN, 4.6), layout="constrained")
    axes = figure.subplots()
    points, patience_s = diagram["points"], diagram["patience_s"]
    top_s = 1.12 * max([each["cap_s"] for each in points] + _scaled(diagram, "cap_s"))
    right_s = 1.06 * max([each["work_s"] for each in points] + _scaled(diagram, "work_s"))
    works = np.linspace(0.0, right_s, 200)
    line = boundary_cap_s(works, patience_s)  # type: ignore[arg-type]
    axes.fill_between(works, 0.0, np.clip(line, 0.0, top_s), color=style.VERMILION, alpha=0.08,
                      linewidth=0)  # fmt: skip
    axes.plot(works, line, color=style.INK, linewidth=1.4)
    for drained, colour, marker in ((True, style.GREEN, "o"), (False, style.VERMILION, "X")):
        own = [each for each in points if each["drained"] is drained]
        name = "drains" if drained else f"is stuck after {diagram['horizon_s']:g} s"
        axes.scatter(
            [each["work_s"] for each in own], [each["cap_s"] for each in own],
            c=colour, marker=marker, s=46, label=name, zorder=3, linewidths=0,
        )  # fmt: skip
    _draw_real(axes, diagram)
    axes.set_xlim(0.0, right_s)
    axes.set_ylim(0.0, top_s)
    axes.grid(axis="x")
    axes.set_xlabel("offered load: logins of the whole herd over the server's rate, N / mu [s]")
    axes.set_ylabel("cap of the back-off, full jitter [s]")
    axes.set_title(
        f"A reconnect herd drains above C = 2 (N / mu - 2 tau), tau = {patience_s:g} s",
    )
    axes.legend(loc="upper left", ncols=2)
    return figure


def _scaled(diagram: PhaseDiagram, name: Literal["cap_s", "work_s"]) -> list[float]:
    """A figure of the real points, at the scale of the diagram's patience. [s]"""
    real = diagram.get("real")
    if real is None:
        return []
    return [each[name] * diagram["patience_s"] / real["patience_s"] for each in real["points"]]


def _draw_real(axes: Axes, diagram: PhaseDiagram) -> None:
    """The herds on a real server, larger, at the scale of the diagram's patience."""
    real = diagram.get("real")
    if real is None:
        return
    scale = diagram["patience_s"] / real["patience_s"]
    for drained, colour, marker in ((True, style.GREEN, "o"), (False, style.VERMILION, "X")):
        own = [each for each in real["points"] if each["drained"] is drained]
        name = "all online on a real server" if drained else "not all online on a real server"
        axes.scatter(
            [scale * each["work_s"] for each in own], [scale * each["cap_s"] for each in own],
            c=colour, marker=marker, s=150, label=name, zorder=4, linewidths=1.6,
            edgecolors=style.INK,
        )  # fmt: skip
