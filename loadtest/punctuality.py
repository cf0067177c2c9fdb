"""How late publications start at half load, while what comes of them is received on the same core.

Sent minus intended, of every publication of a plan (`half_load` says of which plans, and how their
rate is found). The plan is open: it never waits, so that a publication which starts late says that
the generator was late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt
from typing_extensions import TypedDict

from loadtest import half_load, nullgrid, promises
from loadtest.cores import split_cores
from loadtest.half_load import WAYS, Load, PublishPath, Way
from loadtest.problems import LoadError
from loadtest.promises import Promise, promise
from results import units
from results.statistics import Estimate, Sample

if TYPE_CHECKING:
    from loadtest.grid import Grid

HALF: Final = 0.5  # of the generator's core, at least
LATE_S: Final = 1e-3  # p99 of the lateness, at most
PARTS: Final = 10  # of a plan, one after another, for the interval
COMPILED_SHARE: Final = 0.99  # of the publications of a plan that compiled code is to send


class Lateness(TypedDict):
    """Sent minus intended of all publications that were sent. [s]

    The interval of `p99_s` comes from the tenths of the plan; `late_share` is of those that started
    more than 1 ms late.
    """

    publications: int
    p50_s: float
    p99_s: Estimate
    max_s: float
    late_share: float


class Play(TypedDict):
    """A plan played at half load, and how late its publications started. [s], [1/s], [1]

    `compiled` is how many of them compiled code sent, `dropped` how many nobody did;
    `publishing_core_share` is part of `load.core_share`. `pilots` are the short plays before it.
    """

    path: PublishPath
    subscribers: int
    duration_s: float
    load: Load
    publishing_core_share: float
    deliveries_per_s: float
    lateness: Lateness
    compiled: int
    dropped: int
    limited_seconds: int
    scheduling: str
    valid: bool
    reasons: list[str]
    pilots: list[Load]


class Punctuality(TypedDict):
    """The document of `gridlab bench pace --json`."""

    plays: list[Play]
    claims: dict[str, Promise]


def bench(
    paths: Sequence[PublishPath], duration_s: float, progress: Callable[[float, str], None]
) -> Punctuality:
    """Play a plan at half load for each kind of code that publishes.

    Parameters
    ----------
    paths : sequence of {"compiled", "interpreted"}
        Which.
    duration_s : float
        Of the plan, beside the short plays before it. [s]
    progress : callable
        Gets the share done, and what is being done.
    """
    server, generator = split_cores()
    if not generator:
        raise LoadError("a bench needs two processors: one for the server, one for the generator")
    plays = []
    for number, path in enumerate(paths):
        way = WAYS[path]
        with nullgrid.ephemeral(way.topology(), cores=server) as grid:
            progress(number / len(paths), f"{path}: looking for half load")
            rate_per_s, pilots = half_load.search(way.rate_per_s, _pilot(way, grid))
            progress((number + 0.4) / len(paths), f"{path}: {rate_per_s:,.0f} publications/s")
            plays.append(measure(way, grid, rate_per_s, duration_s, pilots))
    return {"plays": plays, "claims": claims(plays)}


def _pilot(way: Way, grid: Grid) -> Callable[[float], Load]:
    described = way.topology()

    def pilot(rate_per_s: float) -> Load:
        return half_load.play(described, grid, rate_per_s, way.pilot_s(rate_per_s)).load()

    return pilot


def measure(
    way: Way, grid: Grid, rate_per_s: float, duration_s: float, pilots: Sequence[Load] = ()
) -> Play:
    """Play a plan of that rate, or the nearest that the same code publishes, on a grid for it."""
    rate_per_s = way.within(rate_per_s, duration_s)
    played = half_load.play(way.topology(), grid, rate_per_s, duration_s)
    header, columns = played.run.header, played.run.publications
    generator = header.measurement["generator"]
    return Play(
        path=way.path,
        subscribers=way.subscribers,
        duration_s=header.duration_s,
        load=played.load(),
        publishing_core_share=played.use.share(header.duration_s, ("publish",)),
        deliveries_per_s=header.counts.delivered / header.duration_s,
        lateness=lateness(columns["sent_s"] - columns["intended_s"]),
        compiled=generator["publish_path"]["compiled"],
        dropped=header.counts.dropped,
        limited_seconds=len(generator["limited_seconds"]),
        scheduling=generator["scheduling"],
        valid=header.verdict.valid,
        reasons=list(header.verdict.reasons),
        pilots=list(pilots),
    )


def lateness(late_s: npt.NDArray[np.float64]) -> Lateness:
    """What is told of how late publications started.

    Parameters
    ----------
    late_s : ndarray
        Sent minus intended, in the order of the plan; nan where one was never sent. [s]

    Raises
    ------
    LoadError
        None was sent.
    """
    late_s = late_s[~np.isnan(late_s)]
    if not len(late_s):
        raise LoadError("nothing was published: see why the null server ended, or play it longer")
    p50_s, p99_s = np.quantile(late_s, [0.5, 0.99])
    parts_s = np.array(
        [np.quantile(part, 0.99) for part in np.array_split(late_s, min(PARTS, len(late_s)))]
    )
    return Lateness(
        publications=len(late_s),
        p50_s=float(p50_s),
        p99_s=Sample(float(p99_s), parts_s, 0.0).estimate(),
        max_s=float(late_s.max()),
        late_share=float(np.mean(late_s > LATE_S)),
    )


def claims(plays: Sequence[Play]) -> dict[str, Promise]:
    """What is promised of each plan, and whether it was kept."""
    found: dict[str, Promise] = {}
    for each in plays:
        path, late = each["path"], each["lateness"]
        by_compiled = f"{path}: share of the publications that compiled code sent"
        p99_s = late["p99_s"]
        compiled, share = each["compiled"] / late["publications"], each["load"]["core_share"]
        late_ms = [v * 1e3 for v in (p99_s["value"],) if v is not None]
        ends_ms = [v * 1e3 for v in (p99_s["low"], p99_s["high"]) if v is not None]
        found |= {
            f"{path}_code": promise(by_compiled, "at least", COMPILED_SHARE, [compiled])
            if path == "compiled"
            else promise(by_compiled, "at most", 0.0, [compiled]),
            f"{path}_load": promise(
                f"{path}: share in use of the generator's core", "at least", HALF, [share]
            ),
            f"{path}_lateness": promise(
                f"{path}: p99 of sent minus intended in ms",
                "at most", LATE_S * 1e3, late_ms, ends_ms,
            ),
        }  # fmt: skip
    return found


def render(document: Punctuality) -> str:
    """The document for people."""
    return "\n".join(
        [line for play in document["plays"] for line in _lines(play)]
        + promises.lines(document["claims"])
    )


def _lines(play: Play) -> list[str]:
    load, late = play["load"], play["lateness"]
    verdict = "valid" if play["valid"] else f"invalid: {'; '.join(play['reasons'])}"
    return [
        f"{play['path']}: {late['publications']:,} publications in {play['duration_s']:g} s "
        f"({units.rate(load['publications_per_s'])}) to {play['subscribers']}, "
        f"{units.rate(play['deliveries_per_s'])} deliveries, {play['scheduling']}",
        f"  in use: {load['core_share']:.0%} of the generator's core "
        f"({play['publishing_core_share']:.0%} publishing), {load['server_core_share']:.0%} of the "
        f"null server's; {play['limited_seconds']} seconds limited; {verdict}",
        f"  late: p50 {units.seconds(late['p50_s'])}, p99 {units.latency(late['p99_s'])}, at most "
        f"{units.seconds(late['max_s'])}; {late['late_share']:.2%} by more than 1 ms",
    ]
