"""ejabberd as a grid's server: its configuration, what it is told at its start, how it is started.

Erlang's virtual machine is started directly and without distribution: no epmd, no cookie, no port
but the grid's own, and any user may do it. A short program brings ejabberd up in it and writes the
accounts and Topics into its tables, so that ten thousand accounts need no login and no query. The
settings are those under which the cost profiles were measured.
"""

from __future__ import annotations

import base64
import os
import re
import resource
import shutil
from importlib import resources
from pathlib import Path
from typing import Final

from loadtest import cluster
from loadtest.erlang import Atom, Term, term
from loadtest.lease import write_secret
from loadtest.problems import DeploymentError
from loadtest.provisioning import Account, Node, ScramKeys, scram_keys
from loadtest.server import ACTIVITY_FILE, Broker, Launch, Site, configuration, unprivileged

_READY_FILE: Final = "ready"
_LIBRARIES: Final = re.compile(r"^ERL_LIBS=['\"]?([^'\"\n]+)", re.MULTILINE)
_HASHES: Final = {"SHA-256": "sha256", "SHA-1": "sha"}  # as Erlang calls them
_SYSTEM_PATH: Final = "/usr/local/sbin:/usr/sbin:/sbin"  # not on an ordinary user's PATH
_RUN: Final = 'ok = file:eval("start.eval").'
# Erlang's own resolver is left without name servers, and the system's reads files alone.
_INETRC: Final = '{resolv_conf, "/dev/null"}.\n{clear_ns}.\n{lookup, [native]}.\n'
_NSSWITCH: Final = "hosts: files\n"


class Ejabberd:
    """Deploys ejabberd 23.01 or newer from the system's package."""

    name = "ejabberd"

    def locate(self) -> None:
        """Check that ejabberd and Erlang are on the PATH.

        Raises
        ------
        DeploymentError
            One is not; names the package.
        """
        _executable("erl")
        _libraries()

    def user(self) -> str | None:
        """The unprivileged account to run as; None where the caller is unprivileged already.

        Raises
        ------
        DeploymentError
            The caller is root and the package's account is missing.
        """
        return unprivileged("ejabberd", "ejabberd")

    def prepare(self, site: Site) -> Launch:
        """Write configuration, accounts and Topics; the certificate files are there already."""
        directory = site.directory
        (directory / "log").mkdir(mode=0o700)
        pem = (directory / "server.key").read_bytes() + (directory / "server.crt").read_bytes()
        write_secret(directory / "server.pem", pem)
        settings = configuration("ejabberd.yml", {"hash": _HASHES.__getitem__}, site)
        write_secret(directory / "ejabberd.yml", settings)
        if site.cluster is None or site.cluster.first == site.address:
            write_secret(directory / "grid.terms", _grid_terms(site).encode())
            write_secret(directory / "start.eval", program())
        else:
            first = term((Atom("first"), Atom(_node(site.cluster.first))))
            write_secret(directory / "first.terms", f"{first}.\n".encode())
            write_secret(directory / "start.eval", program("ejabberd_join.eval"))
        if site.cluster is not None:
            write_secret(directory / ".erlang.cookie", site.cluster.cookie.encode())
        if site.options.activity:
            _write_activity(site)
        if site.options.reader:
            _write_reader(site)
        write_secret(directory / "inetrc", _INETRC.encode())
        return Launch(
            controller=site.controller,
            argv=(site.development.executable or _executable("erl"), *_machine(site)),
            directory=str(directory),
            user=self.user(),
            cores=site.cores,
            address=site.address,
            port=site.port,
            hello=site.hello,
            answer="<stream:features",
            log_file=str(directory / "log" / "ejabberd.log"),
            errors_file=str(directory / "log" / "error.log"),
            memory_bytes=site.memory_bytes,
            environment=_environment(directory),
            ready_file=str(directory / _READY_FILE),
            own_files=_own_files(site),
            forgotten=(str(directory / _READY_FILE), str(directory / "tables")),
        )

    def limits_addresses(self) -> bool:
        """It counts failed logins of an address, never connections."""
        return False

    def version(self, directory: Path) -> str:
        """The version that the server told at its start."""
        return (directory / _READY_FILE).read_text()


def program(name: str = "ejabberd.eval") -> bytes:
    """What the virtual machine runs at its start."""
    return (resources.files("loadtest") / "templates" / name).read_bytes()


def _write_activity(site: Site) -> None:
    """The module that notes what Platforms do, whom it is to watch, and the file for its notes."""
    watched = term((Atom("activity"), site.domain, [each.jid for each in site.in_process]))
    write_secret(site.directory / "activity.terms", f"{watched}.\n".encode())
    write_secret(site.directory / "grid_activity.erl", program("grid_activity.erl"))
    write_secret(site.directory / ACTIVITY_FILE, b"")


def _write_reader(site: Site) -> None:
    """The module that reads what clients send, and of whom."""
    read = term((Atom("reader"), site.domain))
    write_secret(site.directory / "reader.terms", f"{read}.\n".encode())
    write_secret(site.directory / "grid_reader.erl", program("grid_reader.erl"))


def _executable(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:{_SYSTEM_PATH}")
    if path is None:
        raise DeploymentError(
            f'server "ejabberd" is not installed ({name} is not there); apt-get install ejabberd '
            "(Debian, Ubuntu), or put its programs on the PATH"
        )
    return path


def _libraries() -> str:
    """Where ejabberd's own code is: only its control script knows."""
    script = _executable("ejabberdctl")
    found = _LIBRARIES.search(Path(script).read_text(errors="replace"))
    if found is None:
        raise DeploymentError(
            f"{script}: does not say where ejabberd's code is (ERL_LIBS=...); "
            "install Debian's package (apt-get install ejabberd)"
        )
    return found[1]


def _machine(site: Site) -> list[str]:
    """Arguments of the virtual machine: one scheduler for each core; no name, no distribution
    unless it is one of a cluster, and no epmd in any case."""
    schedulers = min(site.cores_used, len(site.cores) or len(os.sched_getaffinity(0)))
    return [
        *("+S", f"{schedulers}:{schedulers}", "+SDcpu", f"{schedulers}:{schedulers}"),
        *("+SDio", "1", "+A", "1", "+sbwt", "none", "+K", "true", "+P", "250000", "+Bd"),
        *("-noinput", "-boot", "no_dot_erlang", "-mnesia", "dir", '"tables"'),
        *_distribution(site),
        *("-eval", _RUN),
    ]


def _distribution(site: Site) -> list[str]:
    """How the nodes of a cluster find each other: see `loadtest.cluster`."""
    if site.cluster is None:
        return []
    interface = "{" + site.address.replace(".", ",") + "}"
    return [
        *("-name", _node(site.address), "-start_epmd", "false"),
        *("-erl_epmd_port", str(cluster.PORT)),
        *("-kernel", "inet_dist_use_interface", interface),
    ]


def _node(address: str) -> str:
    return f"ejabberd@{address}"


def _environment(directory: Path) -> dict[str, str]:
    return {
        "ERL_LIBS": _libraries(),
        "ERL_INETRC": str(directory / "inetrc"),
        "ERL_MAX_PORTS": str(resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "ERL_CRASH_DUMP_BYTES": "0",
        "EJABBERD_CONFIG_PATH": str(directory / "ejabberd.yml"),
        "EJABBERD_LOG_PATH": str(directory / "log" / "ejabberd.log"),
    }


def _own_files(site: Site) -> dict[str, str]:
    """What tells the system's resolver where the other Controllers are; ejabberd asks only that."""
    if not site.peers:
        return {}
    places = {"/etc/hosts": site.directory / "hosts"}
    places["/etc/nsswitch.conf"] = site.directory / "nsswitch.conf"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for name, address in site.peers.items())]
    write_secret(places["/etc/hosts"], "\n".join([*lines, ""]).encode())
    write_secret(places["/etc/nsswitch.conf"], _NSSWITCH.encode())
    return {system: str(own) for system, own in places.items()}


def _grid_terms(site: Site) -> str:
    """Accounts and Topics as the program that starts ejabberd reads them."""
    accounts = _accounts(site)
    topics = [_topic(site, broker, node) for broker in site.in_process for node in broker.nodes]
    return f"{term((Atom('accounts'), accounts))}.\n{term((Atom('topics'), topics))}.\n"


def _accounts(site: Site) -> list[Term]:
    """Each with its keys, or with its password where that is what the server stores."""
    if site.options.storage == "plain":
        return [(each.localpart, each.domain, each.password) for each in site.accounts]
    keys = scram_keys([each.password for each in site.accounts], site.options.scram_hash)
    hash_name = _HASHES[site.options.scram]
    pairs = zip(site.accounts, keys, strict=True)
    return [_account(each, scram, hash_name) for each, scram in pairs]


def _account(account: Account, keys: ScramKeys, hash_name: str) -> Term:
    encoded = [
        base64.b64encode(each) for each in (keys.stored_key, keys.server_key, keys.salt.encode())
    ]
    return (account.localpart, account.domain, *encoded, Atom(hash_name), keys.iterations)


def _topic(site: Site, broker: Broker, node: Node) -> Term:
    """A Topic's place, owner, settings (by the names of mod_pubsub's own) and rights."""
    rights = [(account, Atom(right)) for account, right in node.rights.items()]
    approved = list(node.approved)
    return (broker.jid, site.domain, node.name, node.owner, _settings(node), rights, approved)


def _settings(node: Node) -> Term:
    """As Prosody's Topics are, where ejabberd's own defaults differ: no retractions are notified,
    nothing is sent at login."""
    settings: dict[str, Term] = {
        "access_model": Atom(node.access),
        "publish_model": Atom("publishers"),
        "persist_items": node.persist,
        "max_items": node.max_items,
        "send_last_published_item": Atom("never"),
        "deliver_notifications": True,
        "deliver_payloads": True,
        "notification_type": Atom("headline"),
        "notify_retract": False,
    }
    return [(Atom(name), value) for name, value in settings.items()]
