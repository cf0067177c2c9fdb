"""What a real grid makes of each requirement of RFC 8600 and of the extensions that it rests on.

    conform("prosody")               deploys a fresh grid, tries it, takes it down
    conform_grid(deployment.status())    tries a grid that is up

Each requirement that can be seen from outside has a probe: it tries the requirement through
ordinary sessions, on Topics and with accounts of its own, and brings back what was said. Probes run
at the same time, each bounded in time. What cannot be seen says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
from collections.abc import Callable, Iterator
from importlib import resources
from typing import TYPE_CHECKING, Final, Literal

import topologies
from loadtest import deployment, rails
from loadtest.findings import (
    ALONE,
    PROBES,
    Finding,
    Probe,
    Refused,
    Unobservable,
    failed,
    unsupported,
)
from loadtest.problems import LoadError
from loadtest.receiver import StreamError
from loadtest.requirements import Report, Row, requirements
from loadtest.testbed import Testbed

if TYPE_CHECKING:
    from loadtest.grid import Grid

SUBJECTS: Final = (
    "access",
    "authentication",
    "certificates",
    "channel",
    "conduct",
    "delivery",
    "discovery",
    "forms",
    "items",
    "publications",
    "rights",
    "subscriptions",
    "topics",
)
PROBE_WITHIN_S: Final = 25.0
AT_ONCE: Final = 16
ACCOUNTS_EACH: Final = 2
_PROFILES: Final = {"prosody": "prosody-0.12", "ejabberd": "ejabberd-23"}

Server = Literal["prosody", "ejabberd"]
Progress = Callable[[float, str], None]


def probes() -> dict[str, Probe]:
    """The probe of each requirement that has one, by the requirement's id."""
    for subject in SUBJECTS:
        importlib.import_module(f"loadtest.probes_{subject}")
    return PROBES


def conform(server: Server, progress: Progress | None = None) -> Report:
    """Deploy a fresh grid of one kind of server and try every requirement on it.

    Parameters
    ----------
    progress : callable, optional
        Is told the finished share [1] and the requirement just tried.

    Raises
    ------
    deployment.DeploymentError
        The server is not installed, or does not start.
    """
    with deployed(server) as (grid, certified):
        return conform_grid(grid, progress, certified=certified)


@contextlib.contextmanager
def deployed(server: Server) -> Iterator[tuple[Grid, Grid]]:
    """Two fresh grids: one with passwords and offline messages, one with certificates."""
    with (
        deployment.ephemeral(
            topologies.parse(topology(server)), options=deployment.Options(offline=True)
        ) as grid,
        deployment.ephemeral(
            topologies.parse(topology(server, platforms=2)),
            options=deployment.Options(certificates=True),
        ) as certified,
    ):
        yield grid, certified


def topology(server: Server, platforms: int = 100) -> str:
    """The grid that probes need: a Broker with one Topic, and Platforms enough for all of them."""
    text = (resources.files("loadtest") / "templates" / "conformance.yaml").read_text()
    return text.format(profile=_PROFILES[server], server=server, platforms=platforms)


def conform_grid(
    grid: Grid, progress: Progress | None = None, *, certified: Grid | None = None
) -> Report:
    """Try every requirement on a grid that is up.

    It uses the grid's own accounts, one Platform at a time for one purpose, and Topics that it
    makes and deletes; what else happens on the grid is left alone.

    Parameters
    ----------
    progress : callable, optional
        Is told the finished share [1] and the requirement just tried.
    certified : Grid, optional
        Another grid of the same kind whose Platforms have certificates, where this one's do not.

    Raises
    ------
    deployment.DeploymentError
        The grid is gone.
    LoadError
        The owner of its Topics cannot log in.
    """
    grid.check()
    told = progress or (lambda share, what: None)
    with rails.audited(f"conform {grid.name}", {"requirements": len(requirements())}):
        try:
            report = asyncio.run(_conform(grid, certified, told))
        except OSError as error:
            raise LoadError(f'grid "{grid.name}": its owner cannot log in: {error}') from None
        grid.check()
    return report


async def _conform(grid: Grid, certified: Grid | None, progress: Progress) -> Report:
    async with Testbed.on(grid, certified) as bed:
        findings = await try_all(bed, probes(), progress)
    rows = [
        Row(each, findings.get(each.id) or Finding("not observable", each.unobservable))
        for each in requirements()
    ]
    return Report(bed.server, bed.version, tuple(rows))


async def try_all(
    bed: Testbed, tried: dict[str, Probe], progress: Progress = lambda share, what: None
) -> dict[str, Finding]:
    """The finding of each probe, several at a time, and then of those that run alone."""
    enough = len(bed.passwords) // ACCOUNTS_EACH  # so that they never wait for each other
    turn = asyncio.Semaphore(max(1, min(AT_ONCE, enough)))
    findings: dict[str, Finding] = {}

    async def one(name: str, probe: Probe) -> None:
        async with turn:
            findings[name] = await attempt(bed, probe)
        progress(len(findings) / len(tried), name)

    async with asyncio.TaskGroup() as group:
        for name, probe in tried.items():
            if name not in ALONE:
                group.create_task(one(name, probe))
    for name in sorted(tried.keys() & ALONE):
        await one(name, tried[name])
    return findings


async def attempt(bed: Testbed, probe: Probe) -> Finding:
    """One probe's finding, also where the grid does not answer or refuses what it builds on."""
    try:
        async with asyncio.timeout(PROBE_WITHIN_S):
            return await probe(bed)
    except Refused as refusal:
        return unsupported(str(refusal))
    except Unobservable as reason:
        return Finding("not observable", str(reason))
    except TimeoutError:
        return failed(f"no end within {PROBE_WITHIN_S:g} s")
    except (LoadError, StreamError, ssl.SSLError, ConnectionError) as error:
        return failed(f"{type(error).__name__}: {error}")
