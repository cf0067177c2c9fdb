"""Which part of a login each of its steps costs a server: what abandoned logins cost rests on it.

Clients take each step one after another, all of them before any takes the next, and the server's
CPU clock is read in between, when it rests. Collections fall into steps as they come, so it is done
many times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from loadtest.caller import STEPS, Account, Caller, Door, Mechanism
from loadtest.dialogue import Dialogue
from loadtest.notice import settled_s
from loadtest.testbed import door_of
from results.statistics import Estimate, Sample

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from topologies.profiles import Logins

CLIENTS: Final = 40
ROUNDS: Final = 10
# What a profile calls the steps; a stream is opened anew after TLS and after SASL.
NAMES: Final = {
    "accept": ("stream",), "starttls": ("starttls",), "tls": ("tls",),
    "streams": ("features", "restart"), "sasl_first": ("sasl",), "sasl_final": ("proof",),
    "bind": ("bind",),
}  # fmt: skip


async def shares(grid: Grid, pid: int) -> dict[str, Estimate]:
    """Shares of a login with SCRAM, by step, as figures of a calibration. [1]

    Parameters
    ----------
    grid : Grid
        Whose first Controller with a Broker is asked; with Platforms of populations `group-N`.
    pid : int
        Its server.
    """
    dialled = door_of(grid)
    door = Door(dialled.address, dialled.port, dialled.domain, dialled.context)
    stream = await Dialogue.open(dialled)
    offered = stream.mechanisms
    await stream.leave()
    mechanism: Mechanism = "SCRAM-SHA-256" if "SCRAM-SHA-256" in offered else "SCRAM-SHA-1"
    accounts = [
        Account(jid.partition("@")[0], password, mechanism)
        for jid, password in grid.credentials().items()
        if jid.endswith(f"@{door.domain}") and "group" in jid
    ][:CLIENTS]
    await _round(pid, door, accounts)  # a server's first logins cost more
    used_s = np.array([await _round(pid, door, accounts) for _ in range(ROUNDS)])
    total_s = used_s.sum(axis=1)
    found = {}
    for name, steps in NAMES.items():
        own_s = used_s[:, [STEPS.index(step) for step in steps]].sum(axis=1)
        value = float(own_s.sum() / total_s.sum())
        found[f"login_share_{name}"] = Sample(value, own_s / total_s, 0.0).estimate()
    return found


async def _round(pid: int, door: Door, accounts: Sequence[Account]) -> list[float]:
    """CPU time of the server for each step of all clients. [s]"""
    callers = [Caller(door, account) for account in accounts]
    used_s = []
    try:
        begun_s = await settled_s(pid)
        for step in STEPS:
            for caller in callers:
                await caller.begin(step)
                if step == STEPS[-1]:
                    caller.say("<presence/>")
            done_s = await settled_s(pid)
            used_s.append(done_s - begun_s)
            begun_s = done_s
    finally:
        for caller in callers:
            caller.close()
    return used_s


def split(section: Logins, measured: Mapping[str, Estimate]) -> Logins:
    """A profile's logins that cost as much with hashed SCRAM and TLS 1.3, step by step as measured.

    Of TLS, other versions and keys keep how much more or less they cost; so does SCRAM of other
    hashes and storages. What has no such login, or was not measured whole, is left as it is.
    """
    share = {name: measured[f"login_share_{name}"]["value"] for name in NAMES}
    hashed = [each for each in section.sasl if each.storage == "hashed"]
    scram = next((each for each in hashed if each.mechanism.startswith("scram")), None)
    tls = next((each for each in section.tls if each.version == "1.3"), None)
    if scram is None or tls is None or None in share.values():
        return section
    total = section.accept + section.starttls + tls.cost + 2.0 * section.stream + section.bind
    total += scram.first + scram.final
    own: dict[str, float] = {name: (value or 0.0) * total for name, value in share.items()}
    more_tls = own["tls"] - tls.cost

    more = {"first": own["sasl_first"] - scram.first, "final": own["sasl_final"] - scram.final}

    def sasl(each: Any) -> Any:
        if not each.mechanism.startswith("scram"):
            return each
        moved = {name: max(getattr(each, name) + by, 0.0) for name, by in more.items()}
        return each.model_copy(update=moved)

    return section.model_copy(
        update={
            "accept": own["accept"], "starttls": own["starttls"], "stream": own["streams"] / 2.0,
            "bind": own["bind"], "sasl": tuple(map(sasl, section.sasl)),
            "tls": tuple(
                each.model_copy(update={"cost": max(each.cost + more_tls, 0.0)})
                for each in section.tls
            ),
        }
    )  # fmt: skip
