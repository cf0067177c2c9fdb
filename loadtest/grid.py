"""A grid that is up, as those see it who use it: addresses, accounts, state."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadtest import addresses, grid_file, lease, observation, processes, rails
from loadtest.problems import DeploymentError
from loadtest.server import FILES_FILE

if TYPE_CHECKING:
    from loadtest.front import Front


@dataclass(frozen=True)
class Grid:
    """A grid that is up: how to reach it and who may log in."""

    name: str
    directory: Path

    def document(self) -> dict[str, Any]:
        """What `gridlab grid status --json` prints: Controllers, Brokers, accounts, state.

        Raises
        ------
        DeploymentError
            The grid is no longer there.
        """
        fixed = lease.read_json(self.directory / grid_file.GRID_FILE)
        state = self._state()
        for controller, served in fixed["controllers"].items():
            served["pid"] = _pid(state, controller, served)
            served["pids"] = [
                identity["pid"]
                for name, identity in state["servers"].items()
                if name == controller or name.startswith(f"{controller} node ")
            ]
        return {
            "name": self.name,
            "state": state["state"],
            "problem": state["problem"],
            **fixed,
            "ready_s": state["ready_s"],
            "supervisor_pid": state["supervisor"]["pid"],
        }

    def check(self) -> None:
        """Raise DeploymentError where the grid is gone or a server of it has ended."""
        consent = self.directory / rails.CONSENT_FILE
        if consent.exists():  # processes that we start find it, too
            os.environ[rails.CONSENT_VARIABLE] = str(consent)
        state = self._state()
        if state["state"] != "up":
            raise DeploymentError(
                f'grid "{self.name}": {state["problem"]}\n'
                f"take it down: gridlab grid down {self.name}"
            )

    def credentials(self) -> dict[str, str]:
        """Password of each account by bare JID."""
        with (self.directory / grid_file.ACCOUNTS_FILE).open(newline="") as stream:
            return {row["jid"]: row["password"] for row in csv.DictReader(stream)}

    @property
    def ca_file(self) -> Path:
        """The certificate that the servers' certificates are verified with."""
        return self.directory / grid_file.AUTHORITY_FILE

    @property
    def files_identity(self) -> Path:
        """Key and certificate of Publishers with files, in a grid deployed for that."""
        return self.directory / FILES_FILE

    def certificate(self, account: str, flaw: str | None = None) -> Path:
        """Key and certificate of an account, in a grid deployed with certificates.

        Parameters
        ----------
        account : str
            Bare JID.
        flaw : str, optional
            One of `certificates.FLAWS`; only the owners, `admin@DOMAIN`, have such ones.
        """
        base = Path(self.document()["certificates_directory"])
        return base / (flaw or "") / f"{account}.pem"

    def server_pid(self, controller: str) -> int:
        """Process id of one Controller's server."""
        pid = self.document()["controllers"][controller]["pid"]
        if pid is None:
            raise DeploymentError(
                f'grid "{self.name}": the process of controller "{controller}" is not to be seen '
                "from here; it runs elsewhere, or as another user"
            )
        assert isinstance(pid, int)
        return pid

    def components(self) -> dict[str, int]:
        """Process id of each Broker that is a process of its own, by its address."""
        servers = self._state()["servers"]
        named = {name.removeprefix("broker "): each["pid"] for name, each in servers.items()
                 if name.startswith("broker ")}  # fmt: skip
        addresses = self.document()["brokers"].values()
        return {name: pid for name, pid in named.items() if name in addresses}

    def restart(self, controller: str, down_s: float) -> None:
        """Have a Controller's server killed in a moment, and answer again after `down_s`. [s]

        See `restarted`. Sessions are lost; of an ejabberd, subscriptions and items as well.
        """
        order = {"controller": controller, "down_s": down_s}
        lease.write_json(self.directory / lease.RESTART_FILE, order)

    def restarted(self) -> dict[str, float] | None:
        """When a server was last killed and when it answered again; None before. [s]

        On the clock of `time.monotonic`.
        """
        found: dict[str, float] | None = self._state().get("restarted")
        return found

    def counters(self, controller: str) -> dict[str, float]:
        """What a Controller's server counts of itself, by its own names.

        Raises
        ------
        DeploymentError
            It was deployed without counters.
        """
        from loadtest import counters

        served = self.document()["controllers"][controller]
        address = served.get("server_address", served["address"])
        return counters.read(served["server"], address)

    def activity(self) -> list[dict[str, str]]:
        """What Platforms did so far, the earliest first (see `activity`).

        Raises
        ------
        DeploymentError
            It is not noted: the grid was deployed without.
        """
        from loadtest import activity

        files = self.document().get("activity_files")
        if files is None:
            raise DeploymentError(
                f'grid "{self.name}": nobody notes what Platforms do; deploy it with '
                "Options(activity=True), or gridlab grid up --activity"
            )
        try:
            return activity.read([Path(each) for each in files])
        except OSError as error:
            raise DeploymentError(
                f"{error.filename}: {error.strerror}; is the grid still up, and yours?"
            ) from None

    def proxy(self, controller: str) -> Front:
        """The fault proxy before a Controller, to steer it.

        Raises
        ------
        DeploymentError
            It was deployed without one.
        """
        from loadtest.front import Front

        served = self.document()["controllers"][controller]
        if "proxy_directory" not in served:
            raise DeploymentError(
                f'grid "{self.name}": controller "{controller}" has no proxy before it; '
                "deploy it with Options(proxied=True), or gridlab grid up --proxied"
            )
        return Front(Path(served["proxy_directory"]))

    def _state(self) -> dict[str, Any]:
        state = lease.read_json(self.directory / lease.STATE_FILE)
        supervisor = state.get("supervisor")
        if supervisor is None or not processes.Identity(**supervisor).alive:
            raise _unknown(self.name)
        if state["state"] == "starting":
            raise DeploymentError(f'grid "{self.name}": is not up yet; try again in a second')
        return state


def render(grid: Grid) -> str:
    """How to reach a grid, what its servers use, and what to do next, for people."""
    document = grid.document()
    lines = [f'Grid "{grid.name}" for {document["topology"]}: {document["problem"] or "up"}']
    for name, served in document["controllers"].items():
        lines += [
            f"  {name}: {served['domain']} at {served['address']}",
            f"    port {served['port']} for STARTTLS, {served['direct_tls_port']} for direct TLS",
            f"    {served['server']} {served['version']}, {_usage(served['pid'])}",
        ]
    lines += [
        f"  Brokers:  {', '.join(document['brokers'].values())}",
        f"  Accounts: {document['accounts_file']}",
        f"  Trust:    {grid.ca_file}",
        f"Drive it with: gridlab load {document['topology']} --name {grid.name}",
        f"Take it down with: gridlab grid down {grid.name}",
    ]
    return "\n".join(lines)


def _pid(state: dict[str, Any], controller: str, served: dict[str, Any]) -> int | None:
    """The process of a server: ours, or the one that is seen to listen; None elsewhere."""
    own = state["servers"].get(controller)
    if own is None:
        return addresses.pid_of(served["address"], served["direct_tls_port"])
    assert isinstance(own["pid"], int)
    return own["pid"]


def _usage(pid: int | None) -> str:
    if pid is None:
        return "a process that is not to be seen from here"
    try:
        used_s, resident_bytes = observation.cpu_s(pid), observation.resident_bytes(pid)
    except ProcessLookupError:
        return f"process {pid} has ended"
    return f"process {pid}, {used_s:.2f} s of CPU, {resident_bytes / 2**20:.0f} MiB"


def _unknown(name: str) -> DeploymentError:
    others = ", ".join(each for each in lease.names() if each != name) or "none"
    return DeploymentError(
        f'grid "{name}": is not up (up: {others}); gridlab grid up TOPOLOGY --name {name}'
    )
