"""Probes of what a Controller does about unusual behaviour: limits, logs, traces."""

from __future__ import annotations

import asyncio
import time

from loadtest import pubsub
from loadtest.findings import Finding, Unobservable, failed, passed, probe, probe_alone, unsupported
from loadtest.testbed import Testbed

_BURST = 240
_BURST_WITHIN_S = 20.0
_LOGGED_WITHIN_S = 3.5  # servers write their logs in blocks


@probe_alone
async def rate_limited(bed: Testbed) -> Finding:
    """A burst of 120 kB from one Platform is slowed down to a rate."""
    question = pubsub.disco("info", "x" * 400)
    async with bed.platform() as platform:
        begun_s = time.monotonic()
        burst = [
            platform.ask("get", bed.door.domain, question, _BURST_WITHIN_S) for _ in range(_BURST)
        ]
        await asyncio.gather(*burst)
        used_s = time.monotonic() - begun_s
    sent_bytes = _BURST * (len(question) + 60)
    note = f"{_BURST} queries, {sent_bytes / 1e3:.0f} kB, answered within {used_s:.1f} s"
    return passed(note) if sent_bytes / used_s < 30e3 else unsupported(note)


@probe
async def activity_logged(bed: Testbed) -> Finding:
    """The server's log names a Platform that logged in and the Topic that it published on."""
    async with bed.platform() as platform, bed.topic() as node:
        await bed.must(bed.owner, pubsub.affiliate(node, platform.bare, "publisher"))
        await bed.must(platform, pubsub.publish(node, "logged"))
        logins, deeds = await _logged(bed, platform.bare), await _logged(bed, node)
    if not logins:
        return failed(f"no line names {platform.bare}")
    if not deeds:
        return failed("a login is logged:", logins, "a publication is not")
    return passed(logins, deeds)


async def _logged(bed: Testbed, words: str) -> str:
    """The first line of the server's log that has these words; empty where none comes."""
    deadline_s = time.monotonic() + _LOGGED_WITHIN_S
    while time.monotonic() < deadline_s:
        try:
            lines = bed.log_file.read_text(errors="replace").splitlines()
        except OSError as error:
            raise Unobservable(f"the log cannot be read: {error.strerror}") from None
        found = [line for line in lines if words in line]
        if found:
            return found[0]
        await asyncio.sleep(0.2)
    return ""
