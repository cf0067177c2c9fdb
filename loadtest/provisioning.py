"""What servers must know before anyone logs in: accounts and Topics, in no server's format yet.

Every account has a random password of its own. The server is given SCRAM keys only (RFC 5802, RFC
7677), of one hash; the passwords stay in the grid's private directory, for the Platforms to come.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from topologies.schema import Population, Topic, Topology

OWNER: Final = "admin"  # no Platform can have it: theirs end in a number
ITERATIONS: Final = 4096  # the least that RFC 7677 asks for: each costs the *client* at login


@dataclass(frozen=True)
class Account:
    """Who may log in at a Controller, and with what."""

    localpart: str
    domain: str
    password: str

    @property
    def jid(self) -> str:
        """The bare JID."""
        return f"{self.localpart}@{self.domain}"


@dataclass(frozen=True)
class ScramKeys:
    """What a server stores instead of a password (RFC 5802 section 3)."""

    salt: str
    iterations: int
    stored_key: bytes
    server_key: bytes


@dataclass(frozen=True)
class Node:
    """A Topic as its Broker keeps it (XEP-0060 section 4.5), and who may do what there.

    Owner and publishers may publish; on a whitelist only they and the members may subscribe.
    Where `access` is `authorize`, the owner has approved the members, and whoever else subscribes
    waits for it.
    """

    name: str
    access: Literal["open", "whitelist", "authorize"]
    persist: bool
    max_items: int
    owner: str
    publishers: tuple[str, ...]
    members: tuple[str, ...]

    @property
    def rights(self) -> dict[str, str]:
        """Affiliation of each bare JID that has one beside the owner's."""
        members = self.members if self.access == "whitelist" else ()
        return dict.fromkeys(members, "member") | dict.fromkeys(self.publishers, "publisher")

    @property
    def approved(self) -> tuple[str, ...]:
        """Who is subscribed from the beginning."""
        return self.members if self.access == "authorize" else ()


def accounts(topology: Topology, controller: str) -> list[Account]:
    """New accounts at one Controller: the owner of its Topics, and its Platforms."""
    domain = _domain(topology, controller)
    localparts = [OWNER]
    for population in topology.platforms:
        if population.controller == controller:
            localparts += (f"{population.name}-{k}" for k in range(population.count))
    return [Account(localpart, domain, secrets.token_urlsafe(16)) for localpart in localparts]


def scram_keys(passwords: Sequence[str], hash_name: str) -> list[ScramKeys]:
    """SCRAM keys of each password, each with a salt of its own, on all cores.

    Parameters
    ----------
    hash_name : str
        `sha256` or `sha1`, as hashlib calls it.
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:  # hashlib works outside the interpreter lock
        return list(pool.map(lambda each: _new_keys(each, hash_name), passwords))


def _new_keys(password: str, hash_name: str) -> ScramKeys:
    salt = secrets.token_hex(16)
    return ScramKeys(salt, ITERATIONS, *derive(password, salt.encode(), ITERATIONS, hash_name))


def derive(password: str, salt: bytes, iterations: int, hash_name: str) -> tuple[bytes, bytes]:
    """StoredKey and ServerKey of RFC 5802 section 3 for an ASCII password."""
    salted = hashlib.pbkdf2_hmac(hash_name, password.encode(), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", hash_name)
    server_key = hmac.digest(salted, b"Server Key", hash_name)
    return hashlib.new(hash_name, client_key).digest(), server_key


def nodes(topology: Topology, broker: str) -> list[Node]:
    """The Topics of one Broker, with the rights that the description gives its populations."""
    home = next(each.controller for each in topology.brokers if each.name == broker)
    owner = f"{OWNER}@{_domain(topology, home)}"
    return [
        Node(
            name=topic.name,
            access=topic.access,
            persist=topic.persist,
            max_items=topic.max_items,
            owner=owner,
            publishers=tuple(_jids(topology, _publishing(topology, topic))),
            members=tuple(_jids(topology, _subscribing(topology, topic))),
        )
        for topic in topology.topics
        if topic.broker == broker
    ]


def _publishing(topology: Topology, topic: Topic) -> list[Population]:
    return [each for each in topology.platforms if topic.name in each.publishes]


def _subscribing(topology: Topology, topic: Topic) -> list[Population]:
    def names(population: Population) -> Iterable[str]:
        for wish in population.subscribes:
            yield wish if isinstance(wish, str) else wish.topic

    return [each for each in topology.platforms if topic.name in names(each)]


def _jids(topology: Topology, populations: Iterable[Population]) -> Iterable[str]:
    for population in populations:
        domain = _domain(topology, population.controller)
        for k in range(population.count):
            yield f"{population.name}-{k}@{domain}"


def _domain(topology: Topology, controller: str) -> str:
    return next(each.domain for each in topology.controllers if each.name == controller)


def accounts_csv(accounts_of_grid: Iterable[Account]) -> bytes:
    """The accounts as CSV with the header `jid,password`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("jid", "password"))
    writer.writerows((account.jid, account.password) for account in accounts_of_grid)
    return text.getvalue().encode()
