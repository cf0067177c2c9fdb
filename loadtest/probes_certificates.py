"""Probes of certificates (SASL EXTERNAL): whose are taken, and for whom.

They need a grid whose Platforms have certificates. The flawed ones are those of the owner.
"""

from __future__ import annotations

from loadtest import provisioning
from loadtest.dialogue import Dialogue, Silence
from loadtest.findings import Finding, Unobservable, failed, judged, passed, probe
from loadtest.grid import Grid
from loadtest.testbed import Testbed, door_of


def _certified(bed: Testbed) -> Grid:
    if bed.certified is None:
        raise Unobservable("the grid gives its Platforms no certificates")
    return bed.certified


async def _shown(grid: Grid, owner: str, flaw: str | None, claimed: str) -> tuple[bool, list[str]]:
    """Whether a certificate lets in who claims to be an account, and what was said."""
    door = door_of(grid)
    door.context.load_cert_chain(grid.certificate(f"{owner}@{door.domain}", flaw))
    claim, stream = f"claimed {claimed}@{door.domain}", None
    try:
        stream = await Dialogue.open(door)
        await stream.present(f"{claimed}@{door.domain}")
        await stream.bind("conform")
        return True, [f"{claim}, bound {stream.jid}", *stream.transcript[-4:-2]]
    except (OSError, Silence) as refusal:
        return False, [claim, str(refusal)]
    finally:
        if stream is not None:
            await stream.leave()


async def _turned_away(bed: Testbed, flaw: str) -> Finding:
    entered, words = await _shown(_certified(bed), provisioning.OWNER, flaw, provisioning.OWNER)
    return judged(not entered, f"{flaw} certificate,", *words)


@probe
async def certificate_accepted(bed: Testbed) -> Finding:
    """A Platform gets in with its certificate alone."""
    entered, words = await _shown(_certified(bed), "platform-0", None, "platform-0")
    return judged(entered, *words)


@probe
async def certificate_of_another_refused(bed: Testbed) -> Finding:
    """A Platform's certificate does not make it another Platform."""
    entered, words = await _shown(_certified(bed), "platform-0", None, "platform-1")
    return judged(not entered, *words)


@probe
async def certificate_without_name_refused(bed: Testbed) -> Finding:
    """A certificate of the right authority that names no account does not make its holder one."""
    return await _turned_away(bed, "nameless")


@probe
async def certificate_of_stranger_refused(bed: Testbed) -> Finding:
    """A certificate of another authority is refused."""
    return await _turned_away(bed, "wrong-authority")


@probe
async def certificate_expired_refused(bed: Testbed) -> Finding:
    """A certificate that has expired is refused."""
    return await _turned_away(bed, "expired")


@probe
async def certificate_refusal_answered(bed: Testbed) -> Finding:
    """Who is refused for an expired certificate is told so."""
    _, words = await _shown(_certified(bed), provisioning.OWNER, "expired", provisioning.OWNER)
    return judged("<failure" in words[-1], "expired certificate,", *words)


@probe
async def controller_checks_revocation(bed: Testbed) -> Finding:
    """A certificate on the authority's revocation list is refused."""
    return await _turned_away(bed, "revoked")


@probe
async def certificate_and_password(bed: Testbed) -> Finding:
    """Certificates (EXTERNAL) and plain passwords (PLAIN) are both to be had, as is configured."""
    by_certificate = await _mechanisms(_certified(bed))
    by_password = await _mechanisms(bed.grid)
    both = "EXTERNAL" in by_certificate and "PLAIN" in by_certificate + by_password
    return judged(
        both, _listed("with certificates", by_certificate), _listed("without", by_password)
    )


@probe
async def administrator_certificate(bed: Testbed) -> Finding:
    """The owner of the Topics gets in with a certificate."""
    entered, words = await _shown(_certified(bed), provisioning.OWNER, None, provisioning.OWNER)
    return judged(entered, *words)


@probe
async def administrator_without_password(bed: Testbed) -> Finding:
    """Where the owner of the Topics has a certificate, no password is taken any more."""
    left = [each for each in await _mechanisms(_certified(bed)) if each != "EXTERNAL"]
    if left:
        return failed(_listed("still offered", left))
    return passed("only EXTERNAL is offered")


async def _mechanisms(grid: Grid) -> list[str]:
    stream = await Dialogue.open(door_of(grid))
    await stream.leave()
    return stream.mechanisms


def _listed(title: str, mechanisms: list[str]) -> str:
    return f"{title}: {' '.join(mechanisms)}"
