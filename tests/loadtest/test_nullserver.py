"""The null server serves our engine and stock slixmpp; kinds of receiving sessions agree."""

import pytest

import topologies
from loadtest import engine, nullgrid
from loadtest.nullstream import elements


@pytest.fixture(scope="module")
def grid(topology):
    with nullgrid.ephemeral(topology) as grid:
        yield grid


@pytest.mark.parametrize("receivers", ["counting", "full", "stock"])
@pytest.mark.parametrize("tls", ["direct", "starttls"])
def test_every_kind_of_session_gets_every_copy(topology, grid, copies, receivers, tls):
    settings = engine.Settings(receivers=receivers, tls=tls, logins_per_s=500.0)
    header = engine.play(topology, grid, seed=2, duration_s=1.5, settings=settings).header
    plan = topologies.Plan(engine.lasting(topology, 1.5), seed=2)
    assert header.counts.delivered == header.counts.expected == copies(plan) > 0
    ledger = header.measurement["ledger"]
    assert (ledger["unexpected"], ledger["foreign"], ledger["mismatches"]) == (0, 0, 0)
    generator = header.measurement["generator"]
    assert generator["lost_sessions"] == []
    assert generator["receive_path"]["interpreted"] == ledger["received"]
    assert len(generator["receive_path"]["because"]) == 1


def test_null_server_that_ends_is_noticed(topology):
    with nullgrid.ephemeral(topology) as grid:
        grid.check()
        grid.servers["alpha"].kill()
        grid.servers["alpha"].wait()
        with pytest.raises(ValueError, match="ended with code -9"):
            grid.check()


@pytest.mark.parametrize(
    ("stream", "whole"),
    [
        (b"<?xml version='1.0'?><stream:stream to='x'>", 2),
        (b"<iq id='1'><a><b/></a></iq><presence/>", 2),
        (b"<iq id='1' type='result'/><presence><show/></presence>", 2),
        (b"<auth mechanism='PLAIN'>AHUAcA==</auth></stream:stream>", 2),
        (b"<iq id='1'><publish", 0),
        (b"<presence/> \n<iq id='1'>", 1),
    ],
)
def test_stream_is_cut_into_its_elements(stream, whole):
    found = list(elements(stream))
    assert len(found) == whole
    assert all(stream[:end].endswith(element) for element, end in found)


def test_lean_path_is_checked_and_deals_with_copies_read_together(topology, grid, copies):
    """At a rate at which reads bring several copies, every one is noted, and some are parsed."""
    settings = engine.Settings(logins_per_s=500.0)
    header = engine.play(topology, grid, load=40.0, duration_s=4.0, settings=settings).header
    ledger = header.measurement["ledger"]
    assert header.counts.delivered == header.counts.expected > 10_000
    path = header.measurement["generator"]["receive_path"]
    assert (path["compiled"] + path["interpreted"], path["because"]) == (ledger["received"], [])
    assert path["compiled"] > 0.9 * ledger["received"]
    assert ledger["checked"] > 10
    assert (ledger["mismatches"], ledger["reordered"], ledger["duplicated"]) == (0, 0, 0)
