"""Payloads of published items: XML of an exact size that carries its publication's number.

Three kinds, as a topology names them: `iodef` (a document of RFC 7970), `json` (a container of
XEP-0335), `opaque` (one element of the lab's own). The number has a fixed width and the rest is
padding, so all payloads of one kind and size differ in ten digits only and cost one substitution.
"""

from __future__ import annotations

import functools
from typing import Literal

Kind = Literal["iodef", "json", "opaque"]

_PAD = b"@"  # stands for the padding; in none of the templates otherwise

# The least that RFC 7970 section 3.2 asks of an Incident: IncidentID, GenerationTime, one Contact.
# AdditionalData (section 2.16.1) takes the padding.
_TEMPLATES: dict[Kind, bytes] = {
    "iodef": (
        b"<IODEF-Document xmlns='urn:ietf:params:xml:ns:iodef-2.0' version='2.00' xml:lang='en'>"
        b"<Incident purpose='reporting'>"
        b"<IncidentID name='grid.test'>%010d</IncidentID>"
        b"<GenerationTime>2026-01-01T00:00:00Z</GenerationTime>"
        b"<Contact type='organization' role='creator'><ContactName>Grid</ContactName></Contact>"
        b"<AdditionalData dtype='string'>@</AdditionalData></Incident></IODEF-Document>"
    ),
    # JSON has no leading zeros, so its number is padded with blanks.
    "json": b'<json xmlns=\'urn:xmpp:json:0\'>{"publication":%10d,"fill":"@"}</json>',
    "opaque": b"<data xmlns='urn:gridlab:opaque'>%010d@</data>",
}


MINIMUM_BYTES: dict[Kind, int] = {
    kind: len(template % 0) - len(_PAD) for kind, template in _TEMPLATES.items()
}
"""Smallest payload of each kind; a smaller one is not possible. [B]"""


@functools.lru_cache(maxsize=4096)
def template(kind: Kind, size_bytes: int) -> bytes:
    """A bytes template with one `%d` for the publication's number.

    Parameters
    ----------
    kind : {"iodef", "json", "opaque"}
        What the payload looks like.
    size_bytes : int
        Size of the filled template; one below `MINIMUM_BYTES[kind]` is raised to it. [B]
    """
    padding = max(0, size_bytes - MINIMUM_BYTES[kind])
    return _TEMPLATES[kind].replace(_PAD, b"x" * padding)


def parts(kind: Kind) -> tuple[bytes, bytes, bytes, bytes]:
    """What all payloads of a kind have in common.

    Their beginning, what fills the ten places of the number on its left, what stands between the
    number and the padding, their end.
    """
    begin, _, rest = _TEMPLATES[kind].partition(b"%")
    number, _, rest = rest.partition(b"d")
    inside, _, end = rest.partition(_PAD)
    return begin, b"0" if number.startswith(b"0") else b" ", inside, end


def payload(kind: Kind, size_bytes: int, publication: int) -> bytes:
    """The payload of one publication.

    Parameters
    ----------
    kind : {"iodef", "json", "opaque"}
        What it looks like.
    size_bytes : int
        Its size, at least `MINIMUM_BYTES[kind]`. [B]
    publication : int
        Row of the plan, below 10**10.

    References
    ----------
    RFC 7970 (IODEF version 2), XEP-0335 (JSON containers).
    """
    return template(kind, size_bytes) % publication


def item_id(tag: str, publication: int | str) -> str:
    """Item id of a publication: the run's tag and the row of the plan."""
    return f"{tag}-{publication}"
