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

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
FAR = "192.0.2.1"  # TEST-NET-1, RFC 5737
ADDRESS = re.compile(r'inet_addr\("([0-9.]+)"\)|inet_pton\(AF_INET6, "([0-9a-f:.]+)"')


@pytest.fixture
def traced(tmp_path, shelter):
    """Callable: run a command under strace; the addresses it reached for, and what it said."""
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
        return {a or b for a, b in found}, ended

    return run


def loopback(address):
    return address.startswith("127.") or address == "::1"


@pytest.mark.real
def test_load_reaches_loopback_alone(traced, topology_file, tmp_path):
    """A real grid is deployed, driven and taken down; its servers are traced as well."""
    program, out = BIN / "gridlab", tmp_path / "runs"
    script = f"{program} grid up {topology_file} && {program} load {topology_file} --duration 1"
    reached, ended = traced("sh", "-c", f"{script} --out {out}; {program} grid down")
    assert list(out.iterdir()), ended.stderr
    assert reached
    assert all(map(loopback, reached)), reached


@pytest.mark.parametrize(
    "command",
    [
        ("gridlab", "attack", "S-HERD", "--real", "--set", "controllers[0].running={far}"),
        ("locust", "-f", "loadtest/locustfile.py", "--headless", "--host", f"xmpp://{FAR}:5222"),
    ],
)
def test_no_host_or_address_leads_away_from_loopback(traced, topology_file, command):
    """A forged consent opens nothing either: one that counts is in the directory of a grid."""
    accounts = topology_file.with_name("accounts.csv")
    accounts.write_text("jid,password\nadmin@grid.test,x\n")
    far = f"{{address: {FAR}, ca: {ROOT / 'LICENSE'}, accounts: {accounts}}}"
    words = [each.replace("{file}", str(topology_file)).replace("{far}", far) for each in command]
    reached, ended = traced(BIN / words[0], *words[1:])
    assert ended.returncode != 0
    assert all(map(loopback, reached)), (reached, ended.stderr)
