"""System calls of whole commands: loopback alone is reached, whatever a file or variable says.

Every `connect`, `sendto`, `sendmsg` and `sendmmsg` of all processes of a command is traced
(strace), in a network namespace in which there is nothing but loopback.
"""

import json

import certifi
import pytest
from tracing import BIN, CONSENT, FAR, Tracer, elsewhere

from loadtest import casting


@pytest.fixture
def traced(tmp_path, shelter):
    """Callable: run a command under strace; `address:port` it reached for, and what it said."""
    return Tracer(tmp_path).run


@pytest.mark.real
def test_load_reaches_loopback_alone(traced, topology_file, tmp_path):
    """A real grid is deployed, driven and taken down; its servers are traced as well."""
    program, out = BIN / "gridlab", tmp_path / "runs"
    script = f"{program} grid up {topology_file} && {program} load {topology_file} --duration 1"
    reached, ended = traced("sh", "-c", f"{script} --out {out}; {program} grid down")
    assert list(out.iterdir()), ended.stderr
    assert reached
    assert not elsewhere(reached)


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
    assert not elsewhere(reached)


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
    assert "no consent" in ended.stderr
    assert elsewhere(reached) == [CONSENT], (reached, ended.stderr)
