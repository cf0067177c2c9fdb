"""Grids of all kinds come and go, are killed, run out of disk, serve strangers; nothing stays."""

import os
import random
import re
import signal
import subprocess
import sys
import time
from itertools import cycle, islice

import psutil
import pytest

import topologies
from loadtest import deployment, lease, processes

WITHIN_S = 15.0
UP_WITHIN_S = 90.0  # the limits of a start, added up
UP = """
import sys, topologies
from loadtest import deployment
deployment.up(topologies.load(sys.argv[1]))
"""


def eventually(fact):
    deadline_s = time.monotonic() + WITHIN_S
    while not fact():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


@pytest.fixture
def federation_file(topology_file):
    """A Prosody and an ejabberd that federate."""
    text = topologies.load("federation").source.text
    path = topology_file.with_name("federation.yaml")
    path.write_text(text)
    return path


@pytest.mark.real
@pytest.mark.slow
def test_twenty_cycles_of_all_kinds_leave_nothing(
    small, small_ejabberd, federation_file, traces, listens, open_descriptors
):
    federation = topologies.load(federation_file)
    kinds = cycle([small, small, small_ejabberd, small, federation])
    deployment.up(small)
    deployment.down()
    before = open_descriptors()
    ready_s = {"prosody": [], "ejabberd": []}
    for topology in islice(kinds, int(os.environ.get("GRIDLAB_CYCLES", "20"))):
        document = deployment.up(topology).document()
        servers = [each["server"] for each in document["controllers"].values()]
        supervisor = psutil.Process(document["supervisor_pid"])
        family = [processes.Identity.of(supervisor.pid)]
        family += [processes.Identity.of(each.pid) for each in supervisor.children(recursive=True)]
        if len(servers) == 1:
            ready_s[servers[0]].append(document["ready_s"])
        assert deployment.down()
        assert traces() == []
        assert not any(each.alive for each in family)
        for served in document["controllers"].values():
            ports = (served["port"], served["direct_tls_port"], 5269)
            assert not any(listens(served["address"], port) for port in ports)
    assert open_descriptors() == before
    print({server: f"{max(each):.2f} s" for server, each in ready_s.items()})
    assert min(ready_s["prosody"]) < 1.0
    assert min(ready_s["ejabberd"]) < 5.0
    assert not [each for each in psutil.process_iter(["name"]) if each.info["name"] == "epmd"]


AS_ORDINARY_USER = """
import os, sys, topologies
from loadtest import deployment
assert os.geteuid() == 1000
for path in sys.argv[1:]:
    document = deployment.up(topologies.load(path)).document()
    print({os.stat(f"/proc/{each['pid']}").st_uid for each in document["controllers"].values()})
    assert deployment.down()
"""


@pytest.mark.real
@pytest.mark.slow
def test_an_ordinary_user_needs_nothing_of_roots(
    topology_file, small_ejabberd, federation_file, traces
):
    """Both servers alone and federated, in a user namespace in which we are user 1000."""
    ejabberd = topology_file.with_name("small-ejabberd.yaml")
    ejabberd.write_text(small_ejabberd.source.text.replace("test-prosody", "test-ejabberd"))
    unshare = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
    files = map(str, (topology_file, ejabberd, federation_file))
    run = subprocess.run(
        [*unshare, sys.executable, "-c", AS_ORDINARY_USER, *files],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.stdout.splitlines() == ["{1000}"] * 3, run.stderr
    assert traces() == []


@pytest.mark.real
@pytest.mark.slow
def test_killed_at_any_moment_the_next_down_clears_all(federation_file, traces):
    """The asker, or its supervisor with the servers, is killed while a grid comes up or stands."""
    chance = random.Random(4)
    for victim in ("asker", "supervisor") * 2:
        delay_s = chance.uniform(0.1, 2.5)
        asker = subprocess.Popen(
            [sys.executable, "-c", UP, str(federation_file)], stderr=subprocess.DEVNULL
        )
        time.sleep(delay_s)
        if victim == "asker":
            asker.kill()
        else:
            supervisor = lease.read_json(lease.directory_of("default") / lease.STATE_FILE)
            if supervisor:
                os.kill(supervisor["supervisor"]["pid"], signal.SIGKILL)
        asker.wait(UP_WITHIN_S)  # nobody may have been killed, and machines are slow
        deployment.down()
        assert eventually(lambda: traces() == []), (victim, delay_s)


@pytest.mark.real
def test_a_full_disk_is_named_and_nothing_is_left(topology_file, tmp_path):
    """In a namespace of its own, on a disk of 32 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    story = (
        f"mount -t tmpfs -o size=32k,mode=711 none {place} && "
        f"! {sys.executable} -c {UP!r} {topology_file} && find {place} -mindepth 1"
    ).replace("\\n", "\n")
    environment = {**os.environ, "TMPDIR": str(place), "XDG_STATE_HOME": str(tmp_path / "state")}
    environment.pop("XDG_RUNTIME_DIR", None)
    run = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-c", story],
        capture_output=True,
        text=True,
        timeout=30,
        env=environment,
    )
    error = run.stderr.splitlines()[-1]
    assert re.search(rf"DeploymentError: {place}\S*: No space left on device; make room", error)
    assert run.stdout == ""


@pytest.mark.real
@pytest.mark.parametrize("tls", [["-t"], []], ids=["direct TLS", "STARTTLS"])
def test_a_client_that_is_not_ours_needs_the_document_alone(grid_of_each, tls, tmp_path):
    """Debian's go-sendxmpp sends a message from one account to another."""
    _, grid = grid_of_each
    document = grid.document()
    served = document["controllers"]["alpha"]
    passwords = grid.credentials()
    port = served["direct_tls_port" if tls else "port"]
    environment = {"SSL_CERT_FILE": served["ca_file"], "HOME": str(tmp_path), "LANG": "C.UTF-8"}

    def client(localpart, *arguments, output=subprocess.PIPE, **how):
        account = f"{localpart}@{served['domain']}"
        login = ["-u", account, "-p", passwords[account], "-j", f"{served['address']}:{port}"]
        return subprocess.Popen(
            ["go-sendxmpp", *tls, *login, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment | how,
        )

    heard = tmp_path / "heard"
    with heard.open("w") as output:
        listener = client("tool-1", "-l", output=output)
    try:
        deadline_s = time.monotonic() + WITHIN_S
        while "hello" not in heard.read_text() and time.monotonic() < deadline_s:
            sender = client("tool-0", f"tool-1@{served['domain']}")
            said, _ = sender.communicate("hello\n", timeout=WITHIN_S)
            assert sender.returncode == 0, said
            time.sleep(0.2)
        assert f"tool-0@{served['domain']}" in heard.read_text()
        stranger = client("tool-0", f"tool-1@{served['domain']}", SSL_CERT_FILE="/dev/null")
        said, _ = stranger.communicate("hello\n", timeout=WITHIN_S)
        assert stranger.returncode != 0
        assert "certificate" in said
    finally:
        listener.kill()
        listener.communicate()


def test_the_supervisor_starts_with_little():
    """It is there before the servers are, on every start, and stays for as long as they do."""
    program = (
        "import sys, loadtest.supervisor\n"
        "print(sorted({'asyncio', 'pydantic', 'numpy', 'cryptography'} & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30
    )
    assert run.stdout.strip() == "[]", run.stderr
