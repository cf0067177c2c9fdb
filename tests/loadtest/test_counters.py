"""What servers count of themselves is what happened to them."""

import jsonschema
import pytest
from sessions import Session, play

import topologies
from gridlab import typed_schema
from loadtest import deployment, engine
from loadtest.problems import DeploymentError


@pytest.mark.real
@pytest.mark.parametrize(
    ("server", "sessions"),
    [("prosody", "prosody_mod_c2s__connections"), ("ejabberd", "connected_users_number")],
)
def test_sessions_are_counted(topology_file, shelter, listens, server, sessions):
    topology = topologies.load(topology_file, [f"controllers[0].profile=test-{server}"])
    with deployment.ephemeral(topology, options=deployment.Options(counters=True)) as grid:
        before = grid.counters("alpha")

        async def story():
            async with Session(grid, "tool-0"), Session(grid, "tool-1"):
                return grid.counters("alpha")

        during = play(story())
        print(sorted(during))
        document = {"controllers": {"alpha": during}}
        jsonschema.validate(document, typed_schema("loadtest.documents", "Counters"))
        assert during[sessions] == before.get(sessions, 0) + 2


@pytest.mark.real
def test_a_record_has_what_was_counted_before_and_after(small, shelter):
    with deployment.ephemeral(small, options=deployment.Options(counters=True)) as grid:
        run = engine.play(small, grid, seed=1, duration_s=2)
    counted = run.header.measurement["server"]["counters"]["alpha"]
    print(sorted(counted))
    assert counted["prosody_mod_c2s__connections"] == {"before": 4.0, "after": 4.0}
    readings = counted["prosody_stats_collection_seconds_count"]
    assert readings["before"] < readings["after"]


@pytest.mark.real
def test_without_counters_the_way_to_them_is_told(shared_grid):
    with pytest.raises(DeploymentError, match=r"tells no counters .*--counters"):
        shared_grid.counters("alpha")
