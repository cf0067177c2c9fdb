"""A server under development: what a topology names is what runs; what it cannot use is told."""

import pytest

from loadtest import deployment, pairs
from loadtest.development import development
from loadtest.problems import DeploymentError
from topologies import load

MODULE = """
local clock = os.clock
local burn_s = module:get_option_number("burn_seconds", 0)
function module.load()
    module:hook("message/bare", function ()
        local stop = clock() + burn_s
        while clock() < stop do end
    end, 1000)
end
"""
GRID = """\
schema: 1
name: developed
controllers:
  - name: alpha
    domain: alpha.test
    profile: PROFILE
    server: SERVER
brokers:
  - {name: broker, controller: alpha}
topics:
  - {name: incidents, broker: broker, payload: {kind: opaque, size: 500 B}}
platforms:
  - {name: sensor, count: 1, controller: alpha, publishes: [incidents]}
  - {name: tool, count: 60, controller: alpha, subscribes: [incidents]}
workload:
  duration: 10 s
  arrivals:
    - {topic: incidents, by: sensor, process: poisson, rate: 4/s}
"""


def written(tmp_path, name, server, profile="prosody-0.12"):
    path = tmp_path / f"{name}.yaml"
    path.write_text(GRID.replace("SERVER", server).replace("PROFILE", profile))
    return load(path)


def test_all_that_cannot_be_used_is_told_at_once(tmp_path):
    (tmp_path / "plain.txt").write_text("no program")
    server = "{executable: plain.txt, configuration: none.lua, modules: [mod_a.lua, wrong.lua]}"
    topology = written(tmp_path, "bad", server)
    with pytest.raises(DeploymentError) as caught:
        development(topology, topology.controllers[0])
    for part in (
        'server.executable: "plain.txt"', 'server.configuration: "none.lua"',
        'server.modules[0]: "mod_a.lua"', "mod_NAME.lua",
    ):  # fmt: skip
        assert part in str(caught.value)


def test_ejabberd_takes_no_modules_from_files(tmp_path):
    (tmp_path / "mod_a.lua").write_text("")
    topology = written(tmp_path, "erlang", "{modules: [mod_a.lua]}", "ejabberd-23")
    with pytest.raises(DeploymentError, match="ejabberd does not load modules"):
        deployment.up(topology)


@pytest.mark.real
def test_a_module_that_burns_time_makes_deliveries_dearer(tmp_path, shelter):
    """One microsecond against one millisecond a delivery: several times the server's own."""
    (tmp_path / "mod_burn.lua").write_text(MODULE)
    sides = []
    for name, burn_s in (("base", 1e-6), ("head", 1e-3)):
        (tmp_path / f"{name}.lua").write_text(f"burn_seconds = {burn_s}\n")
        server = f"{{configuration: {name}.lua, modules: [mod_burn.lua]}}"
        sides.append(written(tmp_path, name, server))
    with pairs.grids(*sides, seed=1, duration_s=3.0, out=tmp_path, door="test") as play:
        pairs_played = [play(number) for number in range(2)]
    ratios = [cpu_s_per_delivery(head) / cpu_s_per_delivery(base) for base, head in pairs_played]
    assert min(ratios) > 2.0, ratios


def cpu_s_per_delivery(run):
    """Of the whole run, disturbed seconds included: core time is counted, not timed."""
    table = run.intervals
    return table["busy_s"].sum() / table["delivered"].sum()
