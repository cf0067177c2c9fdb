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
import functools
import importlib
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any, Final, Literal

import topologies
from loadtest import deployment, rails
from loadtest.dialogue import Silence
from loadtest.findings import (
    ALONE,
    PROBES,
    VERDICTS,
    Finding,
    Probe,
    Refused,
    Unobservable,
    failed,
    unsupported,
)
from loadtest.receiver import StreamError
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
Level = Literal["MUST", "SHOULD", "SHOULD NOT", "MAY", "trusted"]
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Requirement:
    """One thing that a specification asks for.

    Attributes
    ----------
    reference : str
        Documents and sections, for example `RFC 8600 8.3.1; draft 8.3.1`.
    level : str
        RFC 2119's word, or `trusted` for what RFC 8600 section 8.1 takes for granted.
    unobservable : str
        Why no probe can see it; empty where one can.
    """

    id: str
    reference: str
    level: Level
    text: str
    unobservable: str = ""


@dataclass(frozen=True)
class Row:
    """A requirement and what was found out about it."""

    requirement: Requirement
    finding: Finding

    def document(self) -> dict[str, str]:
        """As JSON holds it."""
        asked, found = self.requirement, self.finding
        return {
            "id": asked.id,
            "reference": asked.reference,
            "level": asked.level,
            "text": asked.text,
            "verdict": found.verdict,
            "evidence": found.evidence,
        }


@dataclass(frozen=True)
class Report:
    """The conformance of one server."""

    server: str
    version: str
    rows: tuple[Row, ...]

    def document(self) -> dict[str, Any]:
        """What `gridlab conform --json` prints."""
        return {
            "server": self.server,
            "version": self.version,
            "counts": self.counts(),
            "requirements": [row.document() for row in self.rows],
        }

    def counts(self) -> dict[str, int]:
        """How many requirements got each verdict."""
        found = Counter(row.finding.verdict for row in self.rows)
        return {verdict: found[verdict] for verdict in VERDICTS}


@functools.cache
def requirements() -> tuple[Requirement, ...]:
    """All requirements, in the order of their documents."""
    import yaml

    text = (resources.files("loadtest") / "requirements.yaml").read_text()
    return tuple(Requirement(**each) for each in yaml.safe_load(text))


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
        return asyncio.run(_conform(grid, certified, told))


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
        return await asyncio.wait_for(probe(bed), PROBE_WITHIN_S)
    except Refused as refusal:
        return unsupported(str(refusal))
    except Unobservable as reason:
        return Finding("not observable", str(reason))
    except TimeoutError:
        return failed(f"no end within {PROBE_WITHIN_S:g} s")
    except (Silence, StreamError, ssl.SSLError, ConnectionError) as error:
        return failed(f"{type(error).__name__}: {error}")
