"""What every kind of server has in common: where it is put, what it is told, how it is started.

A kind of server is a small class: it writes its own files into a directory of its own and says how
to start it and how to see that it is ready. The supervisor knows nothing else about it.
"""

from __future__ import annotations

import math
import os
import pwd
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from loadtest.development import Development
from loadtest.problems import DeploymentError
from loadtest.provisioning import OWNER, Account, Node

if TYPE_CHECKING:  # the supervisor, which needs `Launch` alone, does without pydantic
    from topologies.limits import Limits
    from topologies.services import Collection

_ITEMS: Final = 256  # Prosody's own limit, and above what either gives a Topic by default
COUNTERS_PORT: Final = 5280  # where both servers put their HTTP by custom
ACTIVITY_FILE: Final = "activity.log"  # in the directory of whoever writes it
COLLECTOR_FILE: Final = "collector.log"
READER_FILE: Final = "reader.log"  # in the server's directory, like the file that asks for it
READING_FILE: Final = "reading"
COMPONENT_PORT: Final = 5347  # the one that servers use by custom; XEP-0114 names none
FILES_FILE: Final = "files.pem"  # what Publishers show who fetch from them, in a grid's directory
FEDERATION_PORT: Final = 5269  # where RFC 6120 section 3.2.2 looks for a domain without SRV records
HELPER_MEMORY_BYTES: Final = 512e6
_HELLO: Final = (
    "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)


# How long a login may take where many sessions come and go [s]. A Prosody holds what is gone for as
# long (`c2s_timeout`), and its collector walks through it: with 30 s, a publication to fifty
# subscribers cost a tenth more at equal pace, once all had logged in some times.
BRIEF_LOGIN_S: Final = 5.0


@dataclass(frozen=True)
class Options:
    """How a grid is deployed; the defaults are what the cost profiles were measured with.

    Attributes
    ----------
    scram : {"SHA-256", "SHA-1"}
        Hash of the keys that the servers store; they offer the mechanisms of this one only.
    storage : {"hashed", "plain"}
        Whether the servers store keys or the passwords themselves; Prosody stores keys.
    certificates : bool
        Platforms have certificates and may log in with them (SASL EXTERNAL). Prosody then takes no
        passwords any more; ejabberd takes both.
    server_certificate : {"valid", "expired", "wrong-name", "wrong-authority"}
        What the servers show of themselves.
    offline : bool
        Messages for Platforms that are not online are kept (XEP-0160).
    proxied : bool
        A fault proxy stands before each Controller (see `front.Front`).
    counters : bool
        The servers tell what they count of themselves (see `Grid.counters`).
    administration : bool
        The owner may end sessions (XEP-0133; see `revocation.revoke`).
    activity : bool
        Servers and Brokers note what Platforms do (see `Grid.activity`).
    conflict : {"end-old", "refuse-new"}
        Which of two sessions of one resource lives (RFC 6120 section 7.7.2.2).
    resumption : bool
        Sessions can be resumed (XEP-0198).
    files : str or None
        Loopback address at which Publishers answer who fetches files (see `files`).
    collector : bool
        A Prosody tells what its garbage collector does (see `collector`).
    reader : bool
        Whoever runs the server may read what its clients send (see `disclosure`).
    unlimited : bool
        The limit of clients does not hold for the owner's sessions.
    multicast : bool
        A message may have a list of receivers (XEP-0033) at `multicast.DOMAIN`; ejabberd alone.
    creation : {"owner", "anyone"}
        Who may make Topics; on Prosody always the owner.
    login_s : float
        A connection that has not logged in within this is closed. [s]
    """

    scram: Literal["SHA-256", "SHA-1"] = "SHA-256"
    storage: Literal["hashed", "plain"] = "hashed"
    certificates: bool = False
    server_certificate: Literal["valid", "expired", "wrong-name", "wrong-authority"] = "valid"
    offline: bool = False
    proxied: bool = False
    counters: bool = False
    administration: bool = False
    activity: bool = False
    conflict: Literal["end-old", "refuse-new"] = "end-old"
    resumption: bool = False
    collector: bool = False
    files: str | None = None
    reader: bool = False
    unlimited: bool = False
    multicast: bool = False
    creation: Literal["owner", "anyone"] = "owner"
    login_s: float = 30.0

    @property
    def scram_hash(self) -> str:
        """The hash as hashlib calls it."""
        return self.scram.replace("-", "").lower()


@dataclass(frozen=True)
class Broker:
    """A publish-subscribe service: in the server's process, or with a `secret` beside it."""

    jid: str
    owner: str
    nodes: Sequence[Node]
    secret: str | None = None


@dataclass(frozen=True)
class Cluster:
    """What the servers of one domain share: a secret, and the address of the first of them."""

    cookie: str
    first: str


@dataclass(frozen=True)
class Site:
    """One Controller that is to be deployed, or one server of it where it is a cluster.

    `peers` has the address of each name (domain or Broker) of the grid's other Controllers; a
    Controller without them does not federate.
    """

    controller: str
    domain: str
    address: str
    port: int
    direct_tls_port: int
    directory: Path
    accounts: Sequence[Account]
    brokers: Sequence[Broker]
    peers: Mapping[str, str]
    options: Options
    cores_used: int
    memory_bytes: float
    cores: tuple[int, ...]
    limits: Limits
    development: Development = field(default_factory=Development)
    collection: Collection | None = None
    cluster: Cluster | None = None

    @property
    def in_process(self) -> list[Broker]:
        """The Brokers that the server itself is."""
        return [broker for broker in self.brokers if broker.secret is None]

    @property
    def components(self) -> list[Broker]:
        """The Brokers that come to it as components (XEP-0114)."""
        return [broker for broker in self.brokers if broker.secret is not None]

    @property
    def hello(self) -> str:
        """The head of a client's stream to it, in the clear (RFC 6120 section 4.7)."""
        return _HELLO.format(domain=self.domain)

    @property
    def owner(self) -> str:
        """Bare JID of the account that owns the Topics of its Brokers."""
        return f"{OWNER}@{self.domain}"

    @property
    def max_items(self) -> int:
        """The most items that a Topic of it may keep, also one that is made later."""
        nodes = (node for broker in self.brokers for node in broker.nodes)
        return max(_ITEMS, *(node.max_items for node in nodes))


@dataclass(frozen=True)
class Launch:
    """How to start one server, see that it is ready, and find what went wrong; ready for JSON.

    It is ready when it answers `hello`, if there is one, on its port with something that contains
    `answer`, and `ready_file`, if there is one, exists; anything in `errors_file` by then is a
    failed start. A helper has a `controller` of more than one word. `own_files` are
    put over the system's of that name, for this server's eyes alone. `forgotten` is removed before
    it is started once more.
    """

    controller: str
    argv: tuple[str, ...]
    directory: str
    user: str | None
    cores: tuple[int, ...]
    address: str
    port: int
    hello: str
    answer: str
    log_file: str
    errors_file: str
    memory_bytes: float
    environment: Mapping[str, str]
    ready_file: str | None
    own_files: Mapping[str, str]
    forgotten: tuple[str, ...] = ()


def helper(
    what: str,
    module: str,
    directory: Path,
    place: tuple[str, int],
    *,
    ready_file: Path,
    arguments: Sequence[str] = (),
) -> Launch:
    """How to start a process of ours beside the servers, `python -m MODULE`, as the caller."""
    return Launch(
        controller=what,
        argv=(sys.executable, "-P", "-m", module, *arguments),
        directory=str(directory),
        user=None,
        cores=(),
        address=place[0],
        port=place[1],
        hello="",
        answer="",
        log_file=str(directory / "log"),
        errors_file=str(directory / "errors"),
        memory_bytes=HELPER_MEMORY_BYTES,
        environment={"PYTHONPATH": python_path()},
        ready_file=str(ready_file),
        own_files={},
    )


def python_path() -> str:
    """Where a Python of ours finds this package, whatever its own directory is."""
    package_parent = str(Path(__file__).resolve().parents[1])
    return os.pathsep.join(filter(None, (package_parent, os.environ.get("PYTHONPATH"))))


class Server(Protocol):
    """A kind of server that can be deployed."""

    name: str

    def locate(self) -> None:
        """Check that it is installed; DeploymentError says how to install it."""

    def user(self) -> str | None:
        """The account that it must run as; None where that is the caller's own."""

    def prepare(self, site: Site) -> Launch:
        """Write all of its files into the site's directory, which exists and is private."""

    def limits_addresses(self) -> bool:
        """Whether it limits connections of one source address itself; a proxy does so otherwise."""

    def version(self, directory: Path) -> str:
        """The version of the server that was started there."""


def unprivileged(account: str, package: str) -> str | None:
    """The package's account for a caller who is root; None where the caller is unprivileged.

    Raises
    ------
    DeploymentError
        The caller is root and there is no such account.
    """
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(account).pw_name
    except KeyError:
        raise DeploymentError(
            f'user "{account}" does not exist, and the server is not run as root; install '
            f"Debian's package (apt-get install {package}) or deploy as an ordinary user"
        ) from None


def _whole(figure: float) -> int:
    """A figure as servers take it: a whole number, at least 1, never below what was asked for."""
    return max(1, math.ceil(figure))


def configuration(template: str, filters: Mapping[str, Callable[[Any], Any]], site: Site) -> bytes:
    """A configuration file for a site, from one of our templates."""
    import jinja2

    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )
    environment.filters.update({"whole": _whole, **filters})
    text = (resources.files("loadtest") / "templates" / template).read_text()
    rendered = environment.from_string(text).render(
        site=site,
        directory=str(site.directory),
        federation_port=FEDERATION_PORT,
        component_port=COMPONENT_PORT,
        counters_port=COUNTERS_PORT,
    )
    return rendered.encode()
