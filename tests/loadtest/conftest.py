"""A shelter for grids under test: their files are apart, and none survives a test."""

import os
import shutil
import ssl
import tempfile
from pathlib import Path

import pytest

import topologies
from loadtest import deployment
from loadtest.authority import Authority

PROFILE = """
schema: 1
name: test-prosody
server: prosody
version: "0.12"
machine: any
measured: "2026-01-01"
provenance: {kind: assumed, source: a test}
costs: {discipline: fifo, publish: 1 ms, copy: 0.1 ms}
memory: {base: 20 MB, session: 40 KB}
"""

TOPOLOGY = """
schema: 1
name: small
controllers:
  - {name: alpha, domain: alpha.test, profile: test-prosody}
brokers:
  - {name: broker, controller: alpha}
topics:
  - {name: indicators, broker: broker, payload: {size: 500 B}}
  - {name: secrets, broker: broker, payload: {size: 500 B}, access: whitelist,
     persist: true, max_items: 3}
platforms:
  - {name: sensor, count: 1, controller: alpha, publishes: [indicators, secrets]}
  - {name: tool, count: 2, controller: alpha, subscribes: [indicators]}
  - {name: insider, count: 1, controller: alpha, subscribes: [secrets]}
workload:
  duration: 2 s
  arrivals:
    - {topic: indicators, by: sensor, process: poisson, rate: 5/s}
    - {topic: secrets, by: sensor, process: poisson, rate: 5/s}
"""


@pytest.fixture
def topology_file(tmp_path):
    """One Prosody Controller with an open Topic and a whitelisted one, beside its profile."""
    for server in ("prosody", "ejabberd"):
        (tmp_path / f"test-{server}.yaml").write_text(PROFILE.replace("prosody", server))
    path = tmp_path / "small.yaml"
    path.write_text(TOPOLOGY)
    return path


@pytest.fixture
def small_ejabberd(topology_file):
    """The same grid with ejabberd as its Controller."""
    return topologies.load(topology_file, ["controllers[0].profile=test-ejabberd"])


@pytest.fixture
def small(topology_file):
    return topologies.load(topology_file)


@pytest.fixture
def shelter(monkeypatch):
    """A temporary directory of its own, which a server's user may pass through but not read."""
    place = Path(tempfile.mkdtemp(prefix="gridtest-", dir="/tmp"))
    place.chmod(0o711)
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setenv("XDG_STATE_HOME", str(place / "state"))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    yield place
    deployment.down_all()
    shutil.rmtree(place)


@pytest.fixture
def traces(shelter):
    """Callable: everything that grids have left, as words; only the audit log is meant to stay."""

    def found():
        files = []
        for place, directories, names in os.walk(shelter):  # a place may vanish meanwhile
            if "state" in directories:
                directories.remove("state")
            files += [os.path.join(place, name) for name in (*directories, *names)]
        processes = [
            f"process {entry.name}"
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and str(shelter) in _command_line(entry)
        ]
        return sorted(files + processes)

    return found


def _command_line(entry):
    try:
        return (entry / "cmdline").read_text(errors="replace")
    except OSError:
        return ""


@pytest.fixture
def listens():
    """Callable: whether anybody listens on a loopback address and port."""

    def found(address, port):
        octets = bytes(int(part) for part in address.split("."))
        place = f"{octets[::-1].hex().upper()}:{port:04X}"
        rows = Path("/proc/net/tcp").read_text().splitlines()[1:]
        return any(row.split()[1] == place and row.split()[3] == "0A" for row in rows)

    return found


@pytest.fixture
def open_descriptors():
    return lambda: len(os.listdir("/proc/self/fd"))


@pytest.fixture(scope="module", params=["prosody", "ejabberd"])
def grid_of_each(request, tmp_path_factory):
    """The name of a server and a grid of it for `TOPOLOGY` that all tests of a module use."""
    yield from _grid_for_a_module(tmp_path_factory, request.param)


@pytest.fixture(scope="module")
def shared_grid(tmp_path_factory):
    """A grid for `TOPOLOGY` that all tests of a module use."""
    for _, grid in _grid_for_a_module(tmp_path_factory, "prosody"):
        yield grid


def _grid_for_a_module(tmp_path_factory, server):
    directory = tmp_path_factory.mktemp("shared")
    (directory / f"test-{server}.yaml").write_text(PROFILE.replace("prosody", server))
    (directory / "small.yaml").write_text(TOPOLOGY.replace("prosody", server))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        with deployment.ephemeral(topologies.load(directory / "small.yaml")) as grid:
            yield server, grid


TWO_TOPICS = """
schema: 1
name: two-topics
controllers:
  - {name: alpha, domain: alpha.test, profile: test-prosody}
brokers:
  - {name: broker, controller: alpha}
topics:
  - {name: incidents, broker: broker, payload: {kind: iodef, size: 700 B}}
  - {name: sessions, broker: broker, payload: {kind: json, size: 300 B, cv: 0.5}}
platforms:
  - {name: sensor, count: 2, controller: alpha, publishes: [incidents]}
  - {name: tool, count: 18, controller: alpha,
     subscribes: [incidents, {topic: sessions, fraction: 0.5}]}
  - {name: nac, count: 2, controller: alpha, publishes: [sessions], subscribes: [incidents]}
workload:
  duration: 1 min
  arrivals:
    - {topic: incidents, by: sensor, process: poisson, rate: 8/s}
    - {topic: sessions, by: nac, process: poisson, rate: 12/s}
"""
TWO_TOPICS_FAN_OUT = (20, 9)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A directory with a topology of two Topics, and with all that its grids leave."""
    directory = tmp_path_factory.mktemp("load")
    (directory / "test-prosody.yaml").write_text(PROFILE)
    (directory / "two-topics.yaml").write_text(TWO_TOPICS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(directory / "state"))
        patch.setenv("XDG_RUNTIME_DIR", str(directory))
        yield directory


@pytest.fixture(scope="module")
def topology(place):
    return topologies.load(place / "two-topics.yaml")


@pytest.fixture(scope="module")
def shipped(topology):
    """The profile of Controller `a`, of a topology that a module has instead of this one."""
    return topologies.profile(topology, "a")


@pytest.fixture(scope="module")
def grid(place, topology):
    """A grid called engine-test for the two Topics."""
    grid = deployment.up(topology, "engine-test")
    yield grid
    deployment.down("engine-test")


@pytest.fixture
def copies():
    """Callable: copies that a plan of the two Topics is to deliver."""

    def count(plan):
        topic = plan.columns().topic.tolist()
        return sum(TWO_TOPICS_FAN_OUT[each] for each in topic)

    return count


@pytest.fixture(scope="module")
def contexts(tmp_path_factory):
    """TLS contexts of a server called peer.test and of a client that trusts it."""
    authority, directory = Authority(), tmp_path_factory.mktemp("certificates")
    identity = authority.issue_server(["peer.test"])
    (directory / "chain.pem").write_bytes(identity.certificate_pem + identity.key_pem)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "chain.pem")
    client = ssl.create_default_context(cadata=authority.certificate_pem.decode())
    return server, client
