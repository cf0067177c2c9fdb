"""What every probe works with: a grid's door, its Topics' owner, Platforms of its own, own Topics.

Probes run at the same time and must not meet: each uses Topics that it has created and accounts
that nobody else uses meanwhile.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from loadtest import lease, provisioning, pubsub
from loadtest.dialogue import Dialogue, Door, Stanza, Tls
from loadtest.findings import Refused, Unobservable
from loadtest.grid import Grid

ACCOUNT_WITHIN_S: Final = 8.0
SETTLE_S: Final = 0.8  # what a server sends after its reply has come by then


@dataclass
class Testbed:
    """One Controller with its Broker, as probes use it; `on` opens one.

    Attributes
    ----------
    certified : Grid or None
        A grid of the same kind whose Platforms have certificates; it may be the same grid.
    """

    grid: Grid
    certified: Grid | None
    server: str
    version: str
    door: Door
    log_file: Path
    broker: str
    owner: Dialogue
    passwords: dict[str, str]
    free: asyncio.Queue[str] = field(default_factory=asyncio.Queue)

    @classmethod
    @contextlib.asynccontextmanager
    async def on(cls, grid: Grid, certified: Grid | None = None) -> AsyncIterator[Testbed]:
        """A test bed on the first Controller of a grid that has a Broker.

        Raises
        ------
        Unobservable
            None has one, or the owner of its Topics has no account.
        LoadError
            The owner of its Topics cannot log in.
        """
        name, broker = _served(grid)
        place = grid.document()["controllers"][name]
        launches = lease.read_json(grid.directory / lease.LAUNCH_FILE)["servers"]
        logs = (each["log_file"] for each in launches if each["controller"] == name)
        log_file = next(logs, os.devnull)  # of a grid that was not deployed here, none is seen
        door = door_of(grid)
        passwords = {
            jid.partition("@")[0]: password
            for jid, password in grid.credentials().items()
            if jid.endswith(f"@{door.domain}")
        }
        if provisioning.OWNER not in passwords:
            raise Unobservable(f"the grid has no account {provisioning.OWNER}@{door.domain}")
        owner = await enter(grid, provisioning.OWNER, passwords.pop(provisioning.OWNER), "conform")
        try:
            owner.say("<presence/>")
            bed = cls(
                grid,
                certified or (grid if has_certificates(grid) else None),
                place["server"],
                place["version"],
                door,
                Path(log_file),
                broker,
                owner,
                passwords,
            )
            for localpart in passwords:
                bed.free.put_nowait(localpart)
            yield bed
        finally:
            await owner.leave()

    @contextlib.asynccontextmanager
    async def platform(self) -> AsyncIterator[Dialogue]:
        """A session of an account that no other probe uses meanwhile.

        Raises
        ------
        Unobservable
            The grid has too few accounts.
        """
        async with self.account() as localpart, self.session(localpart) as session:
            yield session

    @contextlib.asynccontextmanager
    async def account(self) -> AsyncIterator[str]:
        """The localpart of an account that no other probe uses meanwhile."""
        try:
            async with asyncio.timeout(ACCOUNT_WITHIN_S):
                localpart = await self.free.get()
        except TimeoutError:
            raise Unobservable("the grid has too few Platforms to try it") from None
        try:
            yield localpart
        finally:
            self.free.put_nowait(localpart)

    @contextlib.asynccontextmanager
    async def session(self, localpart: str) -> AsyncIterator[Dialogue]:
        """A session of this account, available for messages."""
        resource = secrets.token_hex(4)
        session = await enter(self.grid, localpart, self.passwords[localpart], resource)
        try:
            session.say("<presence/>")
            yield session
        finally:
            await session.leave()

    @contextlib.asynccontextmanager
    async def stream(
        self, tls: Tls = "direct", door: Door | None = None
    ) -> AsyncIterator[Dialogue]:
        """An unauthenticated stream."""
        stream = await Dialogue.open(door or self.door, tls)
        try:
            yield stream
        finally:
            await stream.leave()

    @contextlib.asynccontextmanager
    async def topic(self, **configuration: object) -> AsyncIterator[str]:
        """A new Topic of the owner's, for as long as the block runs.

        Raises
        ------
        Refused
            The Broker does not accept this configuration.
        """
        node = f"conform-{secrets.token_hex(6)}"
        made = await self.owner.ask("set", self.broker, pubsub.create(node, configuration))
        if not made.ok:
            raise Refused(made.text)
        try:
            yield node
        finally:
            await self.owner.ask("set", self.broker, pubsub.delete(node))

    def context(self) -> ssl.SSLContext:
        """A new context that trusts the grid's authority and nobody else."""
        return ssl.create_default_context(cafile=str(self.grid.ca_file))

    async def must(self, who: Dialogue, request: str) -> Stanza:
        """Have the Broker do what a probe builds on; Refused where it does not."""
        reply = await who.ask("set", self.broker, request)
        if not reply.ok:
            raise Refused(reply.text)
        return reply


async def enter(grid: Grid, localpart: str, password: str, resource: str) -> Dialogue:
    """A session of an account: by its password, or by its certificate where no password is taken.

    Raises
    ------
    LoadError
        The server does not let it in.
    """
    door = door_of(grid)
    account = f"{localpart}@{door.domain}"
    if has_certificates(grid):
        door.context.load_cert_chain(grid.certificate(account))
    stream = await Dialogue.open(door)
    try:
        if any(each.startswith("SCRAM") for each in stream.mechanisms):
            await stream.authenticate(localpart, password)
        else:
            await stream.present(account)
        return await stream.bind(resource)
    except BaseException:
        await stream.leave()
        raise


def has_certificates(grid: Grid) -> bool:
    """Whether a grid's Platforms have certificates."""
    return "certificates_directory" in grid.document()


def door_of(grid: Grid) -> Door:
    """The door of the first Controller that has a Broker, with a new context."""
    place = grid.document()["controllers"][_served(grid)[0]]
    context = ssl.create_default_context(cafile=place["ca_file"])
    ports = place["port"], place["direct_tls_port"]
    return Door(place["address"], *ports, place["domain"], context)


def _served(grid: Grid) -> tuple[str, str]:
    """The first Controller that has a Broker, and the Broker's address."""
    document = grid.document()
    for controller, place in document["controllers"].items():
        for broker in document["brokers"].values():
            if broker.endswith(f".{place['domain']}"):
                return controller, broker
    raise Unobservable("the grid has no Broker")


def about(node: str, *words: str) -> Callable[[Stanza], bool]:
    """Whether a stanza speaks of a node and has all these words."""
    return lambda stanza: node in stanza.text and all(word in stanza.text for word in words)
