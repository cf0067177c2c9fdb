"""From what a run left to a run record: account, verdict, figures, header."""

from __future__ import annotations

import secrets
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from loadtest import columns, measurement
from loadtest.columns import Tables
from loadtest.ledger import NEVER, Ledger, Sent, account
from loadtest.measurement import stamped
from loadtest.phases import phases, without_limited
from loadtest.server import HELPER_MEMORY_BYTES
from results import environment
from results.records import (
    ControllerRecord,
    Counts,
    Draft,
    Header,
    Identity,
    TopologyText,
    Verdict,
)
from topologies import identity

if TYPE_CHECKING:
    from loadtest.engine import Played
    from loadtest.verdict import Second
    from results import Run

CLOCK = {
    "name": "CLOCK_MONOTONIC, one for all processes of the machine",
    "received": "by the kernel (SO_TIMESTAMPNS): now, less what it took until it was read",
    "offset_s_max": "0",
}
LOCAL_BYTES_PER_S = 1e12  # between processes of one machine: no limit
BY_HANDLER = "by slixmpp's handler in the application"


def record(played: Played, door: str) -> Run:
    """The record of a run that was played on a real grid."""
    from results import Run

    harvest = played.harvest
    sent = Sent(
        played.rows.publisher,
        played.rows.topic,
        harvest.sent_ns,
        harvest.answered_ns,
        harvest.refused,
        _unknown(played),
    )
    ledger = account(sent, harvest.received, played.cast.subscribers, harvest.deaf)
    whole = phases(played)
    tables = Tables(played, ledger, whole, played.plan.replication)
    latency = tables.latency()
    judged, p99_s = measurement.seconds(played, latency.total())
    kept = without_limited(whole, judged, p99_s)
    if kept != whole:
        tables = Tables(played, ledger, kept, played.plan.replication)
        latency = tables.latency()
    header = _header(played, ledger, tables, judged, door)
    return Run(Draft(header, tables.intervals(), latency, tables.publications()))


def _unknown(played: Played) -> npt.NDArray[np.bool_]:
    """By publication, whether its fate went with a process that was killed."""
    mute = np.array(sorted(played.harvest.mute), dtype=np.int64)
    # What had been answered is known: it is on disk as it happens.
    unknown: npt.NDArray[np.bool_] = np.isin(played.rows.publisher, mute)
    unknown &= played.harvest.answered_ns == NEVER
    return unknown


def _header(
    played: Played,
    ledger: Ledger,
    tables: Tables,
    judged: Sequence[Second],
    door: str,
) -> Header:
    plan, topology = played.plan, played.topology
    facts = measurement.facts(played, ledger, tables)
    judgement = measurement.judge(played, ledger, judged, facts)
    laws = _identities(played, ledger)
    return Header(
        run_id=_run_id(played),
        origin="measured",
        door=door,
        created=played.created.isoformat(timespec="milliseconds"),
        topology=TopologyText(
            name=topology.name, text=identity.text(topology), sha256=identity.sha256(topology)
        ),
        plan_sha256=(plan.sha256,),
        seed=plan.seed,
        study=topology.workload.study,
        duration_s=played.played_s,
        replications=1,
        phases=tuple(tables.phases),
        deadline_s=topology.slo.deadline,
        controllers={each.name: _controller(played, each.name) for each in topology.controllers}
        | {name: _component(played, name) for name in columns.components(played)},
        counts=_counts(played, ledger),
        identities=laws,
        verdict=Verdict(
            valid=not judgement.reasons and all(law.holds for law in laws),
            reasons=tuple(judgement.reasons),
            warnings=tuple(judgement.warnings),
        ),
        wall_s=played.wall_s,
        peak_rss_bytes=environment.peak_rss_bytes()
        + sum(each["peak_rss_bytes"] for each in played.harvest.facts),
        software=environment.software("numpy", "slixmpp", "locust")
        | {"openssl": ssl.OPENSSL_VERSION},
        environment=environment.machine(),
        clock=CLOCK if stamped(played.settings) else CLOCK | {"received": BY_HANDLER},
        measurement=facts,
    )


def _run_id(played: Played) -> str:
    """Readable, sortable by time, and different for each run."""
    token = f"{played.created:%Y%m%dT%H%M%S%f}-{secrets.token_hex(2)}"
    return f"{played.topology.name}-measured-{token}"


def _counts(played: Played, ledger: Ledger) -> Counts:
    return Counts(
        publications=len(played.rows),
        expected=ledger.expected,
        delivered=ledger.delivered,
        rejected=ledger.rejected,
        lost=ledger.lost + ledger.in_flight + ledger.dropped + ledger.unobserved,
        duplicated=ledger.duplicated,
        reordered=ledger.reordered,
        replayed=ledger.replayed,
        dropped=int(np.count_nonzero((played.harvest.sent_ns == NEVER) & ~_unknown(played))),
    )


def _identities(played: Played, ledger: Ledger) -> tuple[Identity, ...]:
    harvest = played.harvest
    unknown = _unknown(played)
    unsent = (harvest.sent_ns == NEVER) & ~unknown
    unanswered = ~unsent & (harvest.answered_ns == NEVER) & ~unknown
    accepted = ~harvest.refused & ~unsent & ~unanswered & ~unknown
    fates = [harvest.refused, unsent, unanswered, unknown, accepted]
    published = (len(played.rows), sum(int(np.count_nonzero(fate)) for fate in fates))
    sides = {
        "copies expected = delivered + rejected + dropped + in flight + lost + unobserved": (
            ledger.copies_balance
        ),
        "copies received = delivered + duplicated + replayed + unexpected": ledger.receipts_balance,
        "publications = accepted + refused + unanswered + unsent + unknown": published,
    }
    return tuple(
        Identity(name=name, left=left, right=right, tolerance=0.0, holds=left == right)
        for name, (left, right) in sides.items()
    )


def _component(played: Played, name: str) -> ControllerRecord:
    """A Broker that is a process of its own, as a simulated run names it."""
    return ControllerRecord(
        cores=1, memory_bytes=HELPER_MEMORY_BYTES, nic_bytes_per_s=LOCAL_BYTES_PER_S,
        profile="component", discipline="fifo", speed=1.0, server=f"component {name}",
    )  # fmt: skip


def _controller(played: Played, name: str) -> ControllerRecord:
    import topologies

    described = next(each for each in played.topology.controllers if each.name == name)
    profile = topologies.profile(played.topology, name)
    served = played.grid["controllers"][name]
    return ControllerRecord(
        cores=described.cores,
        memory_bytes=described.memory,
        nic_bytes_per_s=described.nic,
        profile=described.profile,
        discipline=profile.costs.discipline,
        speed=1.0,
        server=" ".join(str(served[key]) for key in ("server", "version") if key in served),
    )
