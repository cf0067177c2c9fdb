"""Prosody as a grid's server: its configuration, its data files, how it is started.

Accounts and Topics are written as Prosody's own data files (storage `internal`), which it reads at
its start: ten thousand accounts need no login and no query. The settings are those under which the
cost profiles were measured.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from loadtest.lease import write_secret
from loadtest.problems import DeploymentError
from loadtest.provisioning import Node, ScramKeys, scram_keys
from loadtest.server import ACTIVITY_FILE, Broker, Launch, Site, configuration, unprivileged
from topologies.limits import ByteRate

_WELCOME: Final = re.compile(r"Welcome to Prosody version (\S+)", re.IGNORECASE)

_THROTTLE: Final = "c2s_conn_throttle"

LuaTable = Mapping[str, "str | int | bool | LuaTable"]


class Prosody:
    """Deploys Prosody 0.12 from the system's package."""

    name = "prosody"

    def locate(self) -> None:
        """Check that `prosody` is on the PATH.

        Raises
        ------
        DeploymentError
            It is not; names the package.
        """
        _executable()

    def user(self) -> str | None:
        """The unprivileged account to run as; None where the caller is unprivileged already.

        Raises
        ------
        DeploymentError
            The caller is root and the package's account is missing.
        """
        return unprivileged("prosody", "prosody")

    def prepare(self, site: Site) -> Launch:
        """Write configuration, accounts and Topics; the certificate files are there already."""
        if site.options.storage == "plain":
            raise DeploymentError(
                'storage: "plain": Prosody is deployed with internal_hashed alone; use ejabberd'
            )
        if site.options.multicast:
            raise DeploymentError(
                "multicast: Prosody's package has no lists of receivers (XEP-0033); use ejabberd"
            )
        if site.options.creation != "owner":
            raise DeploymentError(
                'creation: "anyone": only its administrators make Topics of a Prosody; use ejabberd'
            )
        data = site.directory / "data"
        for directory in (data, site.directory / "none"):
            directory.mkdir(mode=0o700)
        _write_accounts(data, site)
        for broker in site.in_process:
            _write_nodes(data, broker)
        _write_modules(site)
        if site.options.activity:
            write_secret(site.directory / ACTIVITY_FILE, b"")
        authority, revoked = (site.directory / name for name in ("ca.crt", "revoked.crl"))
        write_secret(site.directory / "clients.crt", authority.read_bytes() + revoked.read_bytes())
        settings = site.directory / "prosody.cfg.lua"
        write_secret(settings, configuration("prosody.cfg.lua", _FILTERS, site))
        return Launch(
            controller=site.controller,
            argv=(site.development.executable or _executable(), "-F", "--config", str(settings)),
            directory=str(site.directory),
            user=self.user(),
            cores=site.cores,
            address=site.address,
            port=site.port,
            hello=site.hello,
            answer="<stream:features",
            log_file=str(site.directory / "prosody.log"),
            errors_file=str(site.directory / "errors.log"),
            memory_bytes=site.memory_bytes,
            environment={},
            ready_file=None,
            own_files={},
        )

    def limits_addresses(self) -> bool:
        """Whether the package prosody-modules is there, with mod_c2s_conn_throttle."""
        library = Path(_executable()).resolve().parents[1] / "lib" / "prosody" / "modules"
        return (library / f"mod_{_THROTTLE}").is_dir()

    def version(self, directory: Path) -> str:
        """The version that the server's log names."""
        with (directory / "prosody.log").open(errors="replace") as log:
            for line in log:
                if found := _WELCOME.search(line):
                    return found[1]
        return "unknown"


def _executable() -> str:
    path = shutil.which("prosody")
    if path is None:
        raise DeploymentError(
            'server "prosody" is not installed; apt-get install prosody '
            "(Debian, Ubuntu), or put its program on the PATH"
        )
    return path


def _modules(site: Site) -> list[str]:
    """Modules that a site needs beside those that every site has; ours begin with `grid_`, and
    those of a server under development come last."""
    limits = site.limits
    wanted = {
        "grid_routes": bool(site.peers),
        "limits": limits.client is not None or limits.server is not None,
        _THROTTLE: limits.address is not None,
        "http_openmetrics": site.options.counters,
        "admin_adhoc": site.options.administration,
        "grid_activity": site.options.activity,
        "smacks": site.options.resumption,
        "grid_collector": site.options.collector,
        "grid_reader": site.options.reader,
        "grid_limits": limits.account.sessions is not None or limits.failed_logins is not None,
    }
    return [name for name, needed in wanted.items() if needed] + list(site.development.modules)


def _write_modules(site: Site) -> None:
    """Modules of ours and of a server under development: Prosody takes modules as files only."""
    modules = site.directory / "modules"
    modules.mkdir(mode=0o700)
    for name in _modules(site):
        source = resources.files("loadtest") / "modules" / f"mod_{name}.lua"
        if name in site.development.modules:
            write_secret(modules / f"mod_{name}.lua", site.development.modules[name])
        elif source.is_file():
            write_secret(modules / f"mod_{name}.lua", source.read_bytes())


def _rate(limit: ByteRate | None) -> str:
    """A rate as mod_limits reads it: its `b` stands for ten bytes, its `kb` for a thousand."""
    if limit is None:
        return lua("1000gb/s")  # the module has a default for whom it is told nothing about
    if limit.rate % 1000 == 0:
        return lua(f"{limit.rate / 1000:.0f}kb/s")
    return lua(f"{max(1, round(limit.rate / 10))}b/s")


def lua(value: str | int | bool | LuaTable) -> str:
    """A value as a Lua 5.1-5.4 literal; bytes outside printable ASCII become decimal escapes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        plain = (
            chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\{byte:03d}"
            for byte in value.encode()
        )
        return '"' + "".join(plain) + '"'
    return "{" + " ".join(f"[{lua(key)}]={lua(each)};" for key, each in value.items()) + "}"


def data_name(name: str) -> str:
    """A host, user or node name as Prosody spells it in file names: all but letters and digits
    as `%xx`."""
    return "".join(
        chr(byte) if chr(byte).isascii() and chr(byte).isalnum() else f"%{byte:02x}"
        for byte in name.encode()
    )


def _write_accounts(data: Path, site: Site) -> None:
    store = _new_store(data, site.domain, "accounts")
    keys = scram_keys([each.password for each in site.accounts], site.options.scram_hash)
    for account, scram in zip(site.accounts, keys, strict=True):
        _write_record(store, account.localpart, _account(scram))


def _account(scram: ScramKeys) -> LuaTable:
    return {
        "salt": scram.salt,
        "iteration_count": scram.iterations,
        "stored_key": scram.stored_key.hex(),
        "server_key": scram.server_key.hex(),
    }


def _write_nodes(data: Path, broker: Broker) -> None:
    store = _new_store(data, broker.jid, "pubsub_nodes")
    for node in broker.nodes:
        _write_record(store, node.name, _node(node))


def _node(node: Node) -> LuaTable:
    """A Topic as mod_pubsub stores it: its configuration by the form's field names, and rights.

    Only affiliated publishers may publish; on a whitelist everybody else is an outcast. `headline`
    notifications are not kept for those offline.
    """
    return {
        "name": node.name,
        "config": {
            "access_model": node.access,
            "publish_model": "publishers",
            "persist_items": node.persist,
            "max_items": node.max_items,
            "send_last_published_item": "never",
            "notify_items": True,
            "include_payload": True,
            "notification_type": "headline",
            "notify_retract": False,
        },
        "affiliations": {**node.rights, node.owner: "owner"},
        "subscribers": {},
    }


def _new_store(data: Path, host: str, name: str) -> Path:
    store = data / data_name(host) / name
    for directory in (store.parent, store):
        directory.mkdir(mode=0o700)
    return store


def _write_record(store: Path, name: str, record: LuaTable) -> None:
    write_secret(store / f"{data_name(name)}.dat", f"return {lua(record)};\n".encode())


_FILTERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "lua": lua,
    "modules": _modules,
    "rate": _rate,
}
