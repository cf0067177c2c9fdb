"""What sessions cost a server: a login by mechanism, and the memory that it keeps for one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from loadtest import login_steps
from loadtest.dialogue import Dialogue
from loadtest.observation import cpu_s
from loadtest.testbed import door_of
from results.statistics import Estimate, Sample
from topologies.model import Provenance
from topologies.profiles import Memory

if TYPE_CHECKING:
    from loadtest.grid import Grid
    from results import Run
    from topologies.profiles import Profile

LOGINS, WARM_UP = 40, 5
MECHANISMS = ("scram", "plain")


def memory(light: Run, empty: int, base: Profile) -> tuple[Memory, dict[str, Estimate]]:
    """Resident bytes of the idle server, and what each session added until the end of a run."""
    sessions = light.header.measurement["generator"]["sessions"]
    most = max(light.header.measurement["server"]["rss_bytes_max"].values())
    each = max(most - empty, 0) / max(sessions, 1)
    grown = base.memory.model_copy(update={"base": float(empty), "session": round(each, 1)})
    figures = {
        "memory_base": Sample(float(empty)).estimate(),
        "memory_session": Sample(each).estimate(),
    }
    return grown, figures


async def logins(grid: Grid, pid: int) -> dict[str, Estimate]:
    """CPU time of one login by mechanism, of many one after another. [s]"""
    door = door_of(grid)
    names = [
        (jid.partition("@")[0], password)
        for jid, password in grid.credentials().items()
        if jid.endswith(f"@{door.domain}") and "group" in jid
    ]
    found = {}
    for mechanism in MECHANISMS:
        used = []
        for localpart, password in names[: WARM_UP + LOGINS]:
            before_s = cpu_s(pid)
            stream = await Dialogue.open(door)
            if mechanism == "plain":
                if "PLAIN" not in stream.mechanisms:
                    await stream.leave()
                    break
                await stream.authenticate_plainly(localpart, password)
            else:
                await stream.authenticate(localpart, password)
            await stream.bind("calibration")
            await asyncio.sleep(0.02)
            used.append(cpu_s(pid) - before_s)
            await stream.leave()
            await asyncio.sleep(0.01)
        if used:
            parts = np.array(used[WARM_UP:] or used)  # a server's first logins cost more
            found[mechanism] = Sample(float(parts.mean()), parts, 0.0).estimate()
    return found


def scaled(
    base: Profile, measured: dict[str, Estimate], shares: Mapping[str, Estimate]
) -> dict[str, Any]:
    """The login section scaled to what logins did cost; nothing where there is none to scale.

    Parameters
    ----------
    shares : mapping
        Among other figures those of `login_steps.shares`.
    """
    value_s = {name: estimate["value"] for name, estimate in measured.items()}
    if base.logins is None or not value_s.get("scram"):
        return {}
    section = login_steps.split(base.logins, shares)
    hashed = [each for each in section.sasl if each.storage == "hashed"]
    scram = next((each for each in hashed if each.mechanism.startswith("scram")), None)
    tls = next((each.cost for each in section.tls if each.version == "1.3"), 0.0)
    common = section.accept + section.starttls + tls + 2.0 * section.stream + section.bind
    told = common + (scram.first + scram.final if scram else 0.0)
    factor = (value_s["scram"] or told) / told
    plain = value_s.get("plain")

    def sasl(each: Any) -> Any:
        if each.mechanism == "plain" and each.storage == "hashed" and plain:
            return each.model_copy(update={"first": max(plain - factor * common, 0.0)})
        return each.model_copy(update={"first": each.first * factor, "final": each.final * factor})

    steps = ("accept", "starttls", "stream", "bind", "subscribe", "refuse")
    source = (
        "SCRAM's total and steps and PLAIN's total are measured (gridlab calibrate), the others "
        f"keep what they cost more or less in {base.name}"
    )
    return {
        "logins": section.model_copy(
            update={
                "provenance": Provenance.model_validate({"kind": "assumed", "source": source}),
                "tls": tuple(t.model_copy(update={"cost": t.cost * factor}) for t in section.tls),
                "sasl": tuple(map(sasl, section.sasl)),
                **{name: getattr(section, name) * factor for name in steps},
            }
        )
    }
