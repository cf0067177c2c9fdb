"""Whether a grid that is not on this machine agrees to be driven: read from its own Broker.

An owner of the node `urn:gridlab:consent` publishes there who may do what until when:

    <consent xmlns='urn:gridlab:consent' run='NAME' until='2030-01-31T18:00:00Z'
             sessions='100' connections='20' stanzas='200'/>

`python -m loadtest.consent DIRECTORY` holds the one session that may be opened before there is any
consent. It reads the item every ten seconds, and when the Broker tells of a change, and writes what
it found for the dialler (`rails.check_address`). It ends, and the grid with it, as soon as there is
no consent any more.
"""

from __future__ import annotations

import asyncio
import datetime
import math
import ssl
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from loadtest import lease, pubsub, rails
from loadtest.dialogue import Dialogue, Door, Stanza
from loadtest.problems import LoadError
from loadtest.server import Launch, helper

NODE: Final = "urn:gridlab:consent"
SETTINGS_FILE: Final = "consent-settings.json"
REREAD_S: Final = 10.0
_READY_FILE: Final = "ready"
_CAPS: Final = {
    "sessions": "sessions",
    "connections": "connections_per_s",
    "stanzas": "stanzas_per_s",
}


def launch(directory: Path, what: str, settings: Mapping[str, Any]) -> Launch:
    """How to start the reader of one Controller's consent.

    Parameters
    ----------
    directory : Path
        The reader's own, made here.
    what : str
        The Controller.
    settings : mapping
        `run`, `address`, `direct_tls_port`, `domain`, `broker`, `ca_file`, `account` and `password`
        of an owner of the node, and `consent_file`, where the dialler looks.
    """
    directory.mkdir(mode=0o700)
    lease.write_json(directory / SETTINGS_FILE, settings)
    return helper(
        f"consent of {what}",
        "loadtest.consent",
        directory,
        (settings["address"], settings["direct_tls_port"]),
        ready_file=directory / _READY_FILE,
        arguments=(str(directory),),
    )


def granted(item: ET.Element, run: str, now_s: float) -> dict[str, float]:
    """What an item allows this run: `until_s` (Unix time) and caps by their names.

    Raises
    ------
    LoadError
        It is for another run, has expired, or does not say what it must.
    """
    consent = item.find(f"{{{NODE}}}consent")
    if consent is None:
        raise LoadError(f"{NODE}: the item holds no <consent xmlns='{NODE}'/>")
    if consent.get("run") != run:
        raise LoadError(f'{NODE}: is for the run "{consent.get("run")}", this is "{run}"')
    try:
        until = datetime.datetime.fromisoformat(consent.get("until", ""))
        caps = {name: float(consent.get(word, "")) for word, name in _CAPS.items()}
    except ValueError as error:
        raise LoadError(
            f"{NODE}: needs until (with a time zone), sessions, connections, stanzas: {error}"
        ) from None
    if not all(math.isfinite(cap) and cap >= 0 for cap in caps.values()):
        raise LoadError(f"{NODE}: sessions, connections and stanzas must be numbers, 0 or more")
    if until.tzinfo is None or until.timestamp() <= now_s:
        raise LoadError(f"{NODE}: expired at {consent.get('until')}, or names no time zone")
    return {"until_s": until.timestamp(), **caps}


async def watch(directory: Path) -> None:
    """Read the consent again and again until there is none.

    Raises
    ------
    LoadError, OSError
        There is none (any more), or it cannot be read; the message says why.
    """
    settings = lease.read_json(directory / SETTINGS_FILE)
    consent_file = Path(settings["consent_file"])
    rails.permit_reading(settings["address"])
    context = ssl.create_default_context(cafile=settings["ca_file"])
    port = settings["direct_tls_port"]
    door = Door(settings["address"], port, port, settings["domain"], context)
    owner = await Dialogue.open(door)
    try:
        await owner.authenticate(settings["account"].partition("@")[0], settings["password"])
        await owner.bind("gridlab-consent")
        owner.say("<presence/>")
        await owner.ask("set", settings["broker"], pubsub.subscribe(NODE, owner.bare))
        while True:
            allowed = await _read(owner, settings)
            rails.write_consent(consent_file, settings["address"], allowed)
            (directory / _READY_FILE).touch(mode=0o600)
            left_s = min(REREAD_S, allowed["until_s"] - time.time())
            await _told_again(owner, settings["broker"], left_s)
    finally:  # nothing more is dialled, whoever has not heard of it yet
        rails.write_consent(consent_file, settings["address"], None)
        await owner.leave()


async def _told_again(owner: Dialogue, broker: str, within_s: float) -> None:
    """Wait until the Broker tells of a change, or the time is over. [s]"""

    def tells(stanza: Stanza) -> bool:
        return stanza.xml.get("from") == broker and NODE in stanza.text

    await owner.hear(tells, within_s)
    owner.forget()  # whatever else it was sent meanwhile


async def _read(owner: Dialogue, settings: Mapping[str, Any]) -> dict[str, float]:
    """The consent that stands now, once it is sure that only owners can have published it."""
    rights = f"<affiliations node='{NODE}'/>"
    rights = f"<pubsub xmlns='{pubsub.OWNER}'>{rights}</pubsub>"
    reply = await owner.ask("get", settings["broker"], rights)
    if not reply.ok:
        raise LoadError(f"{NODE}: {settings['account']} is no owner of it: {reply.text}")
    writers = {
        str(each.get("jid"))
        for each in reply.xml.iter(f"{{{pubsub.OWNER}}}affiliation")
        if each.get("affiliation") in ("publisher", "publish-only")
    }
    if writers:
        raise LoadError(f"{NODE}: others than its owners may publish: {', '.join(sorted(writers))}")
    wish = f"<pubsub xmlns='{pubsub.PUBSUB}'><items node='{NODE}'/></pubsub>"
    reply = await owner.ask("get", settings["broker"], wish)
    items = list(reply.xml.iter(f"{{{pubsub.PUBSUB}}}item"))
    problems = [f"{NODE}: there is no item; it was never given, or was retracted"]
    for item in items:
        try:
            return granted(item, settings["run"], time.time())
        except LoadError as problem:
            problems.append(str(problem))
    raise LoadError(problems[-1])


def main(directory: Path) -> None:
    """Watch until there is no consent; say why on standard error."""
    try:
        asyncio.run(watch(directory))
    except (ValueError, OSError) as problem:
        sys.exit(f"no consent: {problem}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
