"""A topology as one text and one hash: what a record keeps, so that a run can be made again."""

from __future__ import annotations

import hashlib

from pydantic import ValidationError

from topologies.documents import read
from topologies.problems import TopologyError
from topologies.profiles import Profile
from topologies.schema import Topology


def text(topology: Topology) -> str:
    """A file that describes exactly this topology: as written, or written anew where it changed.

    A topology with overrides, made in a program, or changed after loading is written from its
    fields, every figure with its unit.
    """
    source = topology.source
    if source is not None and _means(source.text, topology):
        return source.text
    import yaml

    fields = topology.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    head = f"# {topology.name}, written from its fields\n"
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    body = yaml.dump(fields, Dumper=dumper, sort_keys=False, allow_unicode=True, width=100)
    return head + str(body)


def sha256(topology: Topology) -> str:
    """Hash of what the topology says, whatever its layout, comments and defaults."""
    return hashlib.sha256(topology.model_dump_json(by_alias=True).encode()).hexdigest()


def described(written: str) -> Topology:
    """What a record's text describes; its profiles need not be there.

    Raises
    ------
    TopologyError, ValidationError
        A field is not what this version knows.
    """
    return Topology.model_validate(read(written, "").data)


def _means(written: str, topology: Topology) -> bool:
    """Whether the text, without any override, says the same."""
    try:
        return sha256(described(written)) == sha256(topology)
    except (TopologyError, ValidationError):
        return False


def profile_text(profile: Profile) -> str:
    """A file that describes exactly this profile, every figure with its unit."""
    import yaml

    fields = profile.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    fields = {"schema": profile.schema_, **fields}
    body = yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=100)
    return f"# {profile.name}, written by a program\n{body}"
