"""A topology file of one's own from a few figures: commented, valid, ready to change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from pydantic_core import PydanticCustomError

from topologies.loading import parse
from topologies.problems import TopologyError, printable, quoted
from topologies.quantities import FREQUENCY, SIZE, Quantity

_SERVERS = {"prosody": ("prosody-0.12", 1), "ejabberd": ("ejabberd-23", 4)}
_COUNT_MAX = 5_000_000

_TEXT = """\
# What each section means, and all that can be written: topologies/README.md.
# Say of each figure where it comes from; the ones below are yours to replace.
schema: 1
name: {name}
description: {platforms} Platforms that receive {rate} of {payload} from {publishers} publishers

controllers:                      # XMPP servers
  - name: controller
    domain: grid.test
    profile: {profile}            # what its work costs, see topologies/profiles/
    cores: {cores}
    nic: 1 Gbit/s
    memory: 4 GiB

brokers:                          # publish-subscribe services, address broker.grid.test
  - name: broker
    controller: controller

topics:
  - name: incidents
    broker: broker
    payload:
      kind: {kind}
      size: {payload}             # mean; add `cv: 0.5` for sizes that vary
    provenance: {{kind: assumed, source: gridlab init}}

platforms:                        # groups of like clients
  - name: publisher
    count: {publishers}
    controller: controller
    publishes: [incidents]
    provenance: {{kind: assumed, source: gridlab init}}
  - name: subscriber
    count: {platforms}
    controller: controller
    subscribes: [incidents]       # or {{topic: incidents, fraction: 0.5}}
    provenance: {{kind: assumed, source: gridlab init}}

workload:
  study: steady
  duration: 10 min
  arrivals:                       # or deterministic, on-off, batch, sine, ramp, step, trace
    - topic: incidents
      by: publisher
      process: poisson
      rate: {rate}                # all publishers together
  provenance: {{kind: assumed, source: gridlab init}}

slo:
  deadline: 1 s                   # a later delivery is no goodput
"""


def compose(
    name: str,
    *,
    platforms: int = 200,
    publishers: int = 2,
    rate: str = "6/s",
    payload: str = "1.6 KB",
    kind: Literal["iodef", "json", "opaque"] = "iodef",
    server: Literal["prosody", "ejabberd"] = "prosody",
) -> str:
    """The text of a topology with one Controller and one Topic.

    Parameters
    ----------
    name : str
        What runs call it; made a valid name where it is not one.
    platforms, publishers : int
        Subscribing and publishing Platforms.
    rate : str
        Publications per second of all publishers together, e.g. "6/s".
    payload : str
        Size of an item, e.g. "1.6 KB".
    kind : str
        Kind of payload.
    server : str
        Server whose shipped profile is used.

    Raises
    ------
    TopologyError
        A figure that cannot be used; all of them at once.
    """
    problems = [
        *_count("--platforms", platforms),
        *_count("--publishers", publishers),
        *_figure("--rate", rate, FREQUENCY),
        *_figure("--payload", payload, SIZE),
    ]
    if problems:
        raise TopologyError(problems)
    profile, cores = _SERVERS[server]
    text = _TEXT.format(
        name=_valid_name(name),
        platforms=platforms,
        publishers=publishers,
        rate=rate.strip(),
        payload=payload.strip(),
        kind=kind,
        profile=profile,
        cores=cores,
    )
    parse(text, printable(name))
    return text


def write(path: Path, **figures: Any) -> None:
    """Write such a topology to a new file, named after it; figures as those of `compose`.

    Raises
    ------
    TopologyError
        The file is there already, cannot be written, or a figure cannot be used.
    """
    text = compose(path.name.removesuffix(".yaml"), **figures)
    begun = False
    try:
        with path.open("x", encoding="utf-8") as file:
            begun = True
            file.write(text)
    except FileExistsError:
        raise TopologyError([f"{path}: is there already; name another file"]) from None
    except OSError as error:
        if begun:
            path.unlink()
        rule = f"cannot be written ({error.strerror}); name another place"
        raise TopologyError([f"{path}: {rule}"]) from None


def _valid_name(name: str) -> str:
    """The nearest valid name: lower case, other characters become dashes."""
    valid = re.sub(r"[^a-z0-9._-]+", "-", name.lower()).lstrip("._-")[:63]
    return valid or "mine"


def _count(flag: str, count: int) -> list[str]:
    if 1 <= count <= _COUNT_MAX:
        return []
    return [f'{flag}: "{count}": must be 1 to {_COUNT_MAX:,}; write for example 200']


def _figure(flag: str, text: str, quantity: Quantity) -> list[str]:
    try:
        quantity.read(text)
    except PydanticCustomError as error:
        return [f"{flag}: {quoted(text)}: {error.message()}"]
    return []
