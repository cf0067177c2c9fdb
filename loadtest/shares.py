"""How a run is shared out among generator processes, and what each of them is told.

Publishing and receiving are processes of their own, so that reading deliveries never makes a
publication late. A Platform that does both has two sessions: its receiving one is the resource
`grid`, its publishing one `grid-publish`, which sends no presence and so gets no deliveries.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from loadtest.problems import LoadError
from loadtest.script import Script

if TYPE_CHECKING:
    import numpy.typing as npt

    from topologies.plan import Block
    from topologies.schema import Topology

Role = Literal["receive", "publish", "act"]
Receivers = Literal["counting", "interpreted", "full", "stock"]
"""What receiving sessions are once online: deliveries are counted off the bytes and slixmpp is
gone; likewise, but never by compiled code; slixmpp stays for all else; slixmpp's own handlers read
everything."""

RESOURCES: dict[Role, str] = {"receive": "grid", "publish": "grid-publish", "act": "grid-act"}
COMPILED_FROM = 10_000  # copies or publications: fewer are done sooner than a compiler is loaded
SESSIONS_PER_PROCESS = 16_000  # below the usual limit on descriptors


@dataclass(frozen=True)
class Door:
    """How to reach one server of a Controller."""

    domain: str
    address: str
    port: int
    tls: Literal["direct", "starttls"]
    ca_file: str


@dataclass(frozen=True)
class Login:
    """One session to open: the Platform, its account, and by which of the run's doors."""

    platform: int
    jid: str
    password: str
    door: str


@dataclass(frozen=True)
class Node:
    """A Topic as the sessions address it."""

    name: str
    broker: str
    kind: Literal["iodef", "json", "opaque"]


@dataclass(frozen=True)
class Prune:
    """Topics whose owner ends all subscriptions but the expected ones: (Topic, bare JIDs)."""

    owner: Login
    expected: tuple[tuple[int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class Spec:
    """All that one generator process needs; it holds passwords, so its file is private."""

    role: Role
    number: int
    tag: str
    parent_pid: int
    doors: dict[str, Door]
    logins: tuple[Login, ...]
    topics_of: tuple[tuple[int, ...], ...]  # by login: the Topics that it subscribes to
    nodes: tuple[Node, ...]
    prunes: tuple[Prune, ...]
    logins_per_s: float
    concurrent_logins: int
    cores: tuple[int, ...]
    receivers: Receivers
    plan_file: str
    result: str  # what the names of its result files begin with
    worker: int = 0  # which of the parents starts it
    script: dict[str, Any] | None = None  # what happens beside the plan

    def write(self, path: Path) -> None:
        """Write it for the owner's eyes only."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as stream:
            json.dump(asdict(self), stream)

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Read it back."""
        fields = json.loads(path.read_text())
        fields["doors"] = {name: Door(**door) for name, door in fields["doors"].items()}
        fields["logins"] = tuple(Login(**login) for login in fields["logins"])
        fields["nodes"] = tuple(Node(**node) for node in fields["nodes"])
        fields["topics_of"] = tuple(tuple(topics) for topics in fields["topics_of"])
        fields["cores"] = tuple(fields["cores"])
        fields["prunes"] = tuple(
            Prune(
                Login(**prune["owner"]),
                tuple((topic, tuple(jids)) for topic, jids in prune["expected"]),
            )
            for prune in fields["prunes"]
        )
        return cls(**fields)


@dataclass(frozen=True)
class Cast:
    """Who takes part in a run: subscribers by Topic, and the Platforms that publish in it."""

    subscribers: tuple[npt.NDArray[np.uint32], ...]
    publishers: npt.NDArray[np.uint32]

    @property
    def receivers(self) -> npt.NDArray[np.uint32]:
        """Platforms that subscribe to anything, ascending."""
        return np.unique(np.concatenate([np.empty(0, np.uint32), *self.subscribers]))

    @property
    def sessions(self) -> int:
        """Sessions that the run opens."""
        return len(self.receivers) + len(self.publishers)


def cast(topology: Topology, rows: Block, seed: int) -> Cast:
    """Who takes part: all subscribers, and whoever publishes in these rows of the plan."""
    from topologies import plan

    return Cast(
        tuple(plan.subscribers(topology, topic, seed) for topic in range(len(topology.topics))),
        np.unique(rows.publisher),
    )


class Accounts:
    """Which account, at which Controller, each Platform of a topology has.

    Parameters
    ----------
    topology : Topology
        Platforms are numbered by population, in file order.
    passwords : mapping
        Password of each bare JID: the grid's.
    servers : mapping, optional
        How many servers a Controller is, by its name; one by default. Platforms are dealt out to
        them in turn. [1]
    """

    def __init__(
        self,
        topology: Topology,
        passwords: Mapping[str, str],
        servers: Mapping[str, int] | None = None,
    ) -> None:
        self._populations = topology.platforms
        self._starts = np.array(list(topology.platform_offsets().values()))
        self._domains = {each.name: each.domain for each in topology.controllers}
        self._passwords = passwords
        self._servers = servers or {}

    def bare_jid(self, platform: int) -> str:
        """Bare JID of a Platform."""
        place = int(np.searchsorted(self._starts, platform, side="right")) - 1
        population = self._populations[place]
        domain = self._domains[population.controller]
        return f"{population.name}-{platform - int(self._starts[place])}@{domain}"

    def login(self, platform: int, resource: str) -> Login:
        """How a Platform logs in.

        Raises
        ------
        LoadError
            The grid has no account for it.
        """
        place = int(np.searchsorted(self._starts, platform, side="right")) - 1
        return self._login(
            platform, self.bare_jid(platform), resource, self._populations[place].controller
        )

    def owner(self, controller: str) -> Login:
        """How the owner of a Controller's Topics logs in."""
        from loadtest.provisioning import OWNER

        return self._login(
            -1, f"{OWNER}@{self._domains[controller]}", RESOURCES["receive"], controller
        )

    def _login(self, platform: int, jid: str, resource: str, controller: str) -> Login:
        password = self._passwords.get(jid)
        if password is None:
            raise LoadError(
                f'account "{jid}": is not on the grid; deploy it for this topology: '
                "gridlab grid down, then gridlab grid up TOPOLOGY"
            )
        number = max(platform, 0) % self._servers.get(controller, 1)
        return Login(platform, f"{jid}/{resource}", password, door_name(controller, number))


def door_name(controller: str, number: int) -> str:
    """What the door to a server of a Controller is called: the first has the Controller's name."""
    return controller if number == 0 else f"{controller} {number}"


def split(platforms: npt.NDArray[np.uint32], parts: int) -> list[npt.NDArray[np.uint32]]:
    """The Platforms dealt out to `parts` processes in turn, some of every kind to each."""
    return [platforms[part::parts] for part in range(parts)]


def topics_of(subscribers: Sequence[npt.NDArray[np.uint32]], platform: int) -> tuple[int, ...]:
    """Indices of the Topics that a Platform subscribes to."""
    found: list[int] = []
    for topic, platforms in enumerate(subscribers):
        place = int(np.searchsorted(platforms, platform))
        if place < len(platforms) and platforms[place] == platform:
            found.append(topic)
    return tuple(found)


def nodes(topology: Topology, brokers: Mapping[str, Any]) -> tuple[Node, ...]:
    """The Topics with the addresses of their Brokers."""
    return tuple(
        Node(topic.name, str(brokers[topic.broker]), topic.payload.kind)
        for topic in topology.topics
    )


@dataclass(frozen=True)
class Terms:
    """What all processes of a run have in common."""

    tag: str
    logins_per_s: float
    concurrent_logins: int
    cores: tuple[int, ...]
    tls: Literal["direct", "starttls"]
    receivers: Receivers
    directory: str
    plan_file: str
    parents: tuple[int, ...] = ()  # processes that start the shares; empty: this one
    script: Script | None = None


def specs(
    topology: Topology,
    cast: Cast,
    grid: Mapping[str, Any],
    passwords: Mapping[str, str],
    terms: Terms,
) -> list[Spec]:
    """What each generator process is to do: receiving ones first, then publishing ones.

    Raises
    ------
    LoadError
        The grid lacks an account.
    """
    servers = {name: len(each["addresses"]) for name, each in grid["controllers"].items()}
    accounts = Accounts(topology, passwords, servers)
    parents = terms.parents or (os.getpid(),)
    groups: list[tuple[Role, int, npt.NDArray[np.uint32]]] = [
        ("receive", *each) for each in _parts(cast.receivers, len(parents))
    ]
    groups += [("publish", *each) for each in _parts(cast.publishers, len(parents))]
    doors = _doors(grid["controllers"], terms.tls)
    prunes = _prunes(topology, cast, accounts)
    made = []
    script = terms.script
    if script and script.act:
        groups.append(("act", 0, _actors(topology, cast, script.users)))
    for number, (role, worker, platforms) in enumerate(groups):
        receiving = role == "receive"
        share_of_logins = len(platforms) / cast.sessions
        made.append(
            Spec(
                role=role,
                number=number,
                tag=terms.tag,
                parent_pid=parents[worker],
                doors=doors,
                logins=tuple(accounts.login(int(each), RESOURCES[role]) for each in platforms),
                topics_of=tuple(
                    topics_of(cast.subscribers, int(each)) if receiving else ()
                    for each in platforms
                ),
                nodes=nodes(topology, grid["brokers"]),
                prunes=prunes if number == 0 or role == "act" else (),
                logins_per_s=terms.logins_per_s * share_of_logins,
                concurrent_logins=max(1, round(terms.concurrent_logins * share_of_logins)),
                cores=terms.cores,
                receivers=terms.receivers,
                plan_file=terms.plan_file,
                result=f"{terms.directory}/result-{number}",
                worker=worker,
                script=asdict(script) if script and role != "publish" else None,
            )
        )
    return made


def _actors(topology: Topology, cast: Cast, users: int) -> npt.NDArray[np.uint32]:
    """Platforms whose accounts an act uses: receiving ones first."""
    total = topology.platform_count
    if users > total:
        raise LoadError(f"users: {users}: the topology has {total} Platforms; choose 1 to {total}")
    others = np.setdiff1d(np.arange(total, dtype=np.uint32), cast.receivers)
    return np.concatenate([cast.receivers, others])[:users]


def _parts(
    platforms: npt.NDArray[np.uint32], workers: int
) -> Iterator[tuple[int, npt.NDArray[np.uint32]]]:
    """Each worker's Platforms, in as many processes as they need; a worker may have none."""
    for worker, mine in enumerate(split(platforms, workers)):
        for part in split(mine, -(-len(mine) // SESSIONS_PER_PROCESS)):
            yield worker, part


def _doors(
    controllers: Mapping[str, Mapping[str, Any]], tls: Literal["direct", "starttls"]
) -> dict[str, Door]:
    """How to reach each server: a Controller that is a cluster has several."""
    return {
        door_name(name, number): Door(
            each["domain"],
            address,
            each["direct_tls_port"] if tls == "direct" else each["port"],
            tls,
            each["ca_file"],
        )
        for name, each in controllers.items()
        for number, address in enumerate(each["addresses"])
    }


def _prunes(topology: Topology, cast: Cast, accounts: Accounts) -> tuple[Prune, ...]:
    home = {broker.name: broker.controller for broker in topology.brokers}
    expected: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for number, topic in enumerate(topology.topics):
        jids = tuple(accounts.bare_jid(int(each)) for each in cast.subscribers[number])
        expected.setdefault(home[topic.broker], []).append((number, jids))
    return tuple(
        Prune(accounts.owner(controller), tuple(topics)) for controller, topics in expected.items()
    )
