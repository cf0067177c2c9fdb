"""System calls of whole commands: loopback alone is reached, whatever a file or variable says.

Every `connect`, `sendto` and `sendmsg` of all processes of a command is traced (strace), in a
network namespace in which there is nothing but loopback.
"""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import certifi
import pytest

from loadtest import casting

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FAR = "192.0.2.1"  # TEST-NET-1, RFC 5737
ADDRESS = re.compile(
    r'_port=htons\((\d+)\),[^}]*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([0-9a-f:.]+)"'
)


@pytest.fixture
def traced(tmp_path, shelter):
    """Callable: run a command under strace; `address:port` it reached for, and what it said."""
    forged = tmp_path / "consent.json"
    soon = {"until_s": time.time() + 3600, "read_s": time.time(), "sessions": 10}
    forged.write_text(json.dumps({FAR: soon}))
    forged.chmod(0o600)

    def run(*command):
        trace = tmp_path / "trace"
        tracing = ["strace", "-f", "--seccomp-bpf", "-qq", "-o", str(trace)]
        tracing += ["-e", "trace=connect,sendto,sendmsg"]
        namespace = (
            ["unshare", "--net", "--map-root-user"] if os.geteuid() else ["unshare", "--net"]
        )
        script = 'ip link set lo up && exec "$@"'
        ended = subprocess.run(
            [*namespace, "sh", "-c", script, "sh", *tracing, *map(str, command)],
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            env={**os.environ, "GRIDLAB_CONSENT": str(forged)},
        )
        found = ADDRESS.findall(trace.read_text())
        return {f"{address}:{port}" for port, address in found}, ended

    return run


def loopback(address):
    return address.startswith(("127.", "::1:"))


@pytest.mark.real
def test_load_reaches_loopback_alone(traced, topology_file, tmp_path):
    """A real grid is deployed, driven and taken down; its servers are traced as well."""
    program, out = BIN / "gridlab", tmp_path / "runs"
    script = f"{program} grid up {topology_file} && {program} load {topology_file} --duration 1"
    reached, ended = traced("sh", "-c", f"{script} --out {out}; {program} grid down")
    assert list(out.iterdir()), ended.stderr
    assert reached
    assert all(map(loopback, reached)), reached


@pytest.mark.real
@pytest.mark.parametrize(
    ("scenario", "changes"),
    [
        ("S-REVOKE", ("procedure.duration=1 s", "procedure.items=5")),
        ("S-DUEL", ("procedure.duration=1 s", "procedure.arrival=100 ms")),
    ],
)
def test_an_attack_reaches_loopback_alone(traced, scenario, changes):
    wishes = [word for change in changes for word in ("--set", change)]
    command = ("attack", scenario, "--real", "--defence", "none", *wishes, "--json")
    reached, ended = traced(BIN / "gridlab", *command)
    assert json.loads(ended.stdout)["measured"], ended.stderr
    assert reached
    assert all(map(loopback, reached)), reached


@pytest.fixture
def described(topology_file):
    """The file of a grid that is said to run far away, with all the accounts that it needs."""
    names = ["admin", "sensor-0", "tool-0", "tool-1", "insider-0"]
    pilots = [f"pilot-{number}" for number in range(casting.PILOT_PLATFORMS)]
    accounts = topology_file.with_name("accounts.csv")
    jids = [f"{name}@alpha.test" for name in names]
    jids += [f"{name}@grid.test" for name in ("admin", *pilots)]
    accounts.write_text("jid,password\n" + "".join(f"{jid},x\n" for jid in jids))
    running = f"{{address: {FAR}, ca: {certifi.where()}, accounts: {accounts}}}"
    text = topology_file.read_text()
    topology_file.write_text(
        text.replace("profile: test-prosody}", f"profile: test-prosody, running: {running}}}")
    )
    return {"{file}": str(topology_file), "{running}": running}


@pytest.mark.parametrize(
    "command",
    [
        ("gridlab", "grid", "up", "{file}"),
        ("gridlab", "attack", "S-HERD", "--real", "--set", "controllers[0].running={running}"),
        ("locust", "-f", "loadtest/locustfile.py", "--headless", "--host", FAR,
         "--topology", "{file}"),
    ],
    ids=lambda command: command[0] + " " + command[1],
)  # fmt: skip
def test_nothing_leads_away_from_loopback_without_consent(traced, described, command):
    """The reader alone asks there for consent, on its one port; a forged consent opens nothing.

    A consent that counts is in the directory of a grid that is up.
    """
    words = list(command)
    for place, text in described.items():
        words = [each.replace(place, text) for each in words]
    reached, ended = traced(BIN / words[0], *words[1:])
    assert ended.returncode == 2, ended.stderr
    far = {place for place in reached if not loopback(place)}
    assert "no consent" in ended.stderr
    assert far == {f"{FAR}:5223"}, (reached, ended.stderr)
