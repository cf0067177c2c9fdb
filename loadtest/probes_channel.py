"""Probes of the channel: TLS, STARTTLS, who may speak before it is known who speaks."""

from __future__ import annotations

import ssl
import warnings

from loadtest.dialogue import SASL, Silence
from loadtest.findings import Finding, failed, judged, passed, probe, unsupported
from loadtest.testbed import Testbed


@probe
async def tls_carried(bed: Testbed) -> Finding:
    """In the clear nothing but STARTTLS is on offer, and a login is refused."""
    async with bed.stream("none") as stream:
        offered, mechanisms = stream.features, stream.mechanisms
        stream.say(f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'>biwsbj1hLHI9YQ==</auth>")
        try:
            answer = (await stream.read("failure", "error", "challenge")).text
        except Silence as silence:
            answer = str(silence)
        right = "<required/>" in offered and not mechanisms and "<challenge" not in answer
        return judged(right, offered, answer)


@probe
async def tls_starttls(bed: Testbed) -> Finding:
    """The connection is upgraded in place, and authentication is offered after that."""
    async with bed.stream("starttls") as stream:
        return judged(bool(stream.mechanisms), *stream.transcript[-5:], stream.tls_version)


@probe
async def tls_direct(bed: Testbed) -> Finding:
    """TLS comes first on its own port."""
    async with bed.stream("direct") as stream:
        return judged(bool(stream.mechanisms), stream.tls_version, stream.features)


@probe
async def tls_1_2(bed: Testbed) -> Finding:
    """A handshake limited to TLS 1.2 goes through."""
    return await _handshake(bed, ssl.TLSVersion.TLSv1_2)


@probe
async def tls_1_3(bed: Testbed) -> Finding:
    """A handshake limited to TLS 1.3 goes through."""
    return await _handshake(bed, ssl.TLSVersion.TLSv1_3)


async def _handshake(bed: Testbed, version: ssl.TLSVersion) -> Finding:
    try:
        async with bed.stream(door=bed.door.with_context(limited(bed, version))) as stream:
            return judged(stream.tls_version == version.name.replace("_", "."), stream.tls_version)
    except ssl.SSLError as error:
        return unsupported(f"{version.name}: {error}")


@probe
async def tls_1_1_refused(bed: Testbed) -> Finding:
    """A client that can do no better than TLS 1.1 is turned away by the server's own alert."""
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context = limited(bed, ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")  # else it is our own library that says no
    try:
        async with bed.stream(door=bed.door.with_context(context)) as stream:
            return failed(stream.tls_version)
    except ssl.SSLError as error:
        return judged("ALERT" in str(error).upper(), f"TLS 1.1: {error}")
    except OSError as error:
        return passed(f"TLS 1.1: connection ended in the handshake ({type(error).__name__})")


def limited(bed: Testbed, version: ssl.TLSVersion) -> ssl.SSLContext:
    """A context that speaks one version only."""
    context = bed.context()
    context.minimum_version = context.maximum_version = version
    return context


@probe
async def controller_verified(bed: Testbed) -> Finding:
    """The lab's Platform ends the handshake with a Controller whose authority it does not trust."""
    stranger = ssl.create_default_context()
    try:
        async with bed.stream(door=bed.door.with_context(stranger)) as stream:
            return failed(f"{stream.tls_version} with an untrusted certificate")
    except ssl.SSLCertVerificationError as error:
        return passed(f"handshake ended by the Platform: {error.verify_message}")


@probe
async def authentication_required(bed: Testbed) -> Finding:
    """A stream that has not authenticated cannot take a resource."""
    async with bed.stream() as stream:
        bind = "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>"
        stream.say(f"<iq type='set' id='early'>{bind}</iq>")
        answer = await stream.read("error", "iq")
        return judged("not-authorized" in answer.text, *stream.transcript[-2:])


@probe
async def credentials_demanded(bed: Testbed) -> Finding:
    """A query without credentials is answered by an error that asks for them."""
    async with bed.stream() as stream:
        query = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
        stream.say(f"<iq type='get' id='early'>{query}</iq>")
        answer = await stream.read("error", "iq")
        right = "not-authorized" in answer.text
        return (passed if right else unsupported)(*stream.transcript[-2:])
