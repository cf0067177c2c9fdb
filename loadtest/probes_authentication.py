"""Probes of authentication: which mechanisms there are, and what a password or none opens."""

from __future__ import annotations

import ssl

from loadtest.dialogue import SASL
from loadtest.findings import Finding, failed, judged, passed, probe, unsupported
from loadtest.probes_channel import limited
from loadtest.problems import LoadError
from loadtest.testbed import Testbed


@probe
async def sasl_used(bed: Testbed) -> Finding:
    """Authentication is SASL's, and the way of before (XEP-0078) is closed."""
    async with bed.stream() as stream:
        offered = stream.features
        stream.say("<iq type='get' id='old'><query xmlns='jabber:iq:auth'/></iq>")
        answer = await stream.read("iq", "error")
        closed = answer.xml.get("type") != "result"
        return judged(SASL in offered and closed, offered, answer)


@probe
async def external_or_scram(bed: Testbed) -> Finding:
    """One of the two mechanisms that interoperability rests on is offered."""
    async with bed.stream() as stream:
        found = [each for each in stream.mechanisms if each.startswith(("EXTERNAL", "SCRAM"))]
        return judged(bool(found), stream.features)


@probe
async def reusable_password_avoided(bed: Testbed) -> Finding:
    """PLAIN, which hands the password to the Controller, is not offered where SCRAM is."""
    async with bed.stream() as stream:
        return judged("PLAIN" not in stream.mechanisms, stream.features)


@probe
async def scram_sha256_plus_preferred(bed: Testbed) -> Finding:
    """SCRAM-SHA-256-PLUS is offered with every version of TLS."""
    offers = {}
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        async with bed.stream(door=bed.door.with_context(limited(bed, version))) as stream:
            offers[version.name] = stream.mechanisms
    has = ["SCRAM-SHA-256-PLUS" in mechanisms for mechanisms in offers.values()]
    shown = [f"{version}: {' '.join(mechanisms)}" for version, mechanisms in offers.items()]
    return judged(all(has), *shown) if any(has) else unsupported(*shown)


@probe
async def sha256_preferred(bed: Testbed) -> Finding:
    """SHA-256 is offered, and no SHA-1 before it."""
    async with bed.stream() as stream:
        offered = [each for each in stream.mechanisms if each.startswith("SCRAM")]
        ranks = {each: rank for rank, each in enumerate(offered)}
        best = ranks.get("SCRAM-SHA-256")
        right = best is not None and ranks.get("SCRAM-SHA-1", best) >= best
        return judged(right, " ".join(offered))


@probe
async def mutual_authentication(bed: Testbed) -> Finding:
    """The Controller proves itself by its certificate and by SCRAM's signature, too."""
    async with bed.account() as localpart, bed.stream() as stream:
        await stream.authenticate(localpart, bed.passwords[localpart])
        return passed(f"certificate verified, {stream.tls_version}", *stream.transcript[-6:-2])


@probe
async def password_set(bed: Testbed) -> Finding:
    """Accounts are pairs of name and password: the right one opens, a wrong one does not."""
    async with bed.account() as localpart:
        async with bed.stream() as stream:
            await stream.authenticate(localpart, bed.passwords[localpart])
        async with bed.stream() as stream:
            try:
                await stream.authenticate(localpart, "wrong")
            except LoadError as error:
                return judged("not-authorized" in str(error), str(error))
            return failed("a wrong password was accepted", *stream.transcript[-2:])
