"""Small stories whose every instant was worked out by hand, told to both engines."""

import pytest
import worlds

ENGINES = pytest.mark.parametrize("engine", [worlds.compiled, worlds.stanza_by_stanza])


def told(engine, profile, rows, subscribers, **more):
    """Milliseconds at which Platforms get the publications (instant in ms, publisher)."""
    publishers = {"name": "p", "count": 2, "publishes": ["t"], **more.pop("p", {})}
    receivers = {"name": "s", "count": subscribers, "subscribes": ["t"], **more.pop("s", {})}
    topology = worlds.topology([publishers, receivers], **more)
    plan = worlds.GivenPlan(topology, [(ms / 1e3, who, 0, 1000) for ms, who in rows])
    received = worlds.deliveries_ms(engine(topology, plan, profile))
    return [[received[row, 2 + s] for s in range(subscribers)] for row in range(len(rows))]


@ENGINES
def test_fifo_a_publication_then_its_copies_over_link_and_delay(engine):
    profile = worlds.profile("fifo", publish="10 ms", copy="2 ms")
    network = {"network": {"delay": "1 ms"}}
    far = {"network": {"delay": "5 ms"}}
    # In at 1; copies done at 13, 15, 17; the link takes 1 ms for each; then 5 ms of way. The second
    # waits from 6 to 17.
    got = told(engine, profile, [(0, 0), (5, 1)], 3, p=network, s=far, nic="1 MB/s")
    assert got == [[19, 21, 23], [35, 37, 39]]


@ENGINES
def test_fifo_a_thin_link_makes_copies_wait_and_a_slow_reader_makes_items_wait(engine):
    profile = worlds.profile("fifo", publish="10 ms", copy="2 ms")
    # Copies at 12, 14, then from 24: 26, 28. The link needs 5 ms each: 17, 22, 31, 36.
    assert told(engine, profile, [(0, 0), (1, 1)], 2, nic="200 kB/s") == [[17, 22], [31, 36]]
    # Without the link, a reader that takes 20 ms an item: 12 -> 32, 26 waits until 32 -> 52.
    slow = {"read_rate": "50/s"}
    assert told(engine, profile, [(0, 0), (1, 1)], 2, s=slow) == [[32, 34], [52, 54]]


@ENGINES
def test_fifo_two_cores_share_the_publications(engine):
    profile = worlds.profile("fifo", publish="10 ms", copy="2 ms")
    # Core 0: 0 to 14 then the third; core 1: 1 to 15.
    got = told(engine, profile, [(0, 0), (1, 1), (2, 0)], 2, cores=2)
    assert got == [[12, 14], [13, 15], [26, 28]]


LOOP = {
    "publish": "10 ms", "build": "1 ms", "write": "2 ms", "coalesced": "0.5 ms",
    "acknowledge": "3 ms", "wake": "0.5 ms", "events_max": 2,
}  # fmt: skip


@ENGINES
def test_loop_turns_builds_all_then_writes_each_batch_last_first(engine):
    # Awake at 0.5, read until 10.5, copies built at 11.5, 12.5, 13.5. First batch: publisher and
    # s0, last first: s0 at 15.5, the result at 18.5. Second batch: s2 at 20.5, s1 at 22.5.
    assert told(engine, worlds.profile("loop-turns", **LOOP), [(0, 0)], 3) == [[15.5, 22.5, 20.5]]


@ENGINES
def test_loop_turns_coalesces_what_comes_while_it_builds(engine):
    # The second arrives at 12, between s0 and s1 on the ready list, so it is polled with s1: s1 at
    # 20.5, then the second is read until 30.5 and built until 33.5. Batch s2 and s0: s0 at 35.5, s2
    # gets both at 38; then s1 at 40.
    got = told(engine, worlds.profile("loop-turns", **LOOP), [(0, 0), (12, 1)], 3)
    assert got == [[15.5, 20.5, 38], [35.5, 40, 38]]


@ENGINES
def test_loop_turns_reads_what_is_there_and_no_more_than_fits(engine):
    costs = LOOP | {"read_bytes": "2500 B", "publish_envelope": "200 B", "events_max": 64}
    # Three of one connection wait at 0.5; two fit into a read. Both are built before anything is
    # written (22.5), then one write of 2.5 ms for both; the third is read in the next turn.
    got = told(engine, worlds.profile("loop-turns", **costs), [(0, 0), (0.1, 0), (0.2, 0)], 1)
    # Poll: publisher (results writable; set aside with the third) before s0; last first: s0 at
    # 25, results until 28. Nobody else is ready: the third is read until 39, s0 at 41.
    assert got == [[25], [25], [41]]


@ENGINES
def test_loop_turns_sets_aside_who_has_more_than_fits_until_nobody_else_is_ready(engine):
    costs = LOOP | {"read_bytes": "2500 B", "publish_envelope": "200 B", "events_max": 64}
    arrivals = [(0, 0), (0.1, 0), (0.2, 0), (1, 1)]
    got = told(engine, worlds.profile("loop-turns", **costs), arrivals, 1)
    # Two of the first connection until 22.5. Then s0 at 25, the second connection until 36, results
    # until 39; s0 at 41, results until 44. Only now the third: read until 55, s0 at 57.
    assert got == [[25], [25], [57], [41]]


@ENGINES
def test_loop_turns_collects_garbage_by_allocation(engine):
    costs = LOOP | {
        "collection": "5 ms", "collection_step": "2 ms", "collection_every": 1e-9,
        "collection_step_every": 1.0, "allocation_publish": 0.0, "allocation_write": 0.0,
        "allocation_per_byte": 0.0, "events_max": 64,
    }  # fmt: skip
    # Read until 10.5. The first copy starts a cycle of 5 ms with a step of 2 ms (13.5); each of the
    # others allocates for one step: 2 ms (16.5), the last 1 ms (18.5). Then s2, s1, s0.
    got = told(engine, worlds.profile("loop-turns", **costs), [(0, 0)], 3)
    assert got == [[24.5, 22.5, 20.5]]


FANOUT = {
    "setup": "6 ms", "route": "1 ms", "write": "2 ms", "finish": "1 ms", "wake": "0.5 ms",
    "slice_recipients": 4,
}  # fmt: skip


@ENGINES
def test_fanout_process_routes_in_slices_and_sessions_write_in_between(engine):
    # Awake at 0.5; 4 of 6 ms set-up until 4.5; 2 ms and two copies until 8.5; s0 at 10.5, s1 at
    # 12.5; three copies and the end until 16.5; then s2, s3, s4.
    got = told(engine, worlds.profile("fanout-process", **FANOUT), [(0, 0)], 5)
    assert got == [[10.5, 12.5, 18.5, 20.5, 22.5]]


@ENGINES
def test_fanout_process_on_two_cores(engine):
    # s0 and s1 side by side until 10.5; core 0 routes until 14.5; s2 and s3 until 16.5; s4.
    got = told(engine, worlds.profile("fanout-process", **FANOUT), [(0, 0)], 5, cores=2)
    assert got == [[10.5, 10.5, 16.5, 16.5, 18.5]]


@ENGINES
def test_fanout_process_takes_the_mailbox_as_it_is_when_its_slice_starts(engine):
    costs = FANOUT | {"setup": "0 ms", "finish": "0 ms", "wake": "0 ms", "write": "3 ms"}
    # Two publishers to one session: 0 to 1 and 1 to 2 route; the session was queued at 1, behind
    # the second publisher, so it starts at 2 and writes both: 8.
    got = told(engine, worlds.profile("fanout-process", **costs), [(0, 0), (0.5, 1)], 1)
    assert got == [[8], [8]]
    # The second comes at 1.5, when the session writes alone (1 to 4): routed until 5, written at 8.
    got = told(engine, worlds.profile("fanout-process", **costs), [(0, 0), (1.5, 1)], 1)
    assert got == [[4], [8]]


@ENGINES
def test_fanout_process_writes_cheaper_to_a_warm_session(engine):
    costs = FANOUT | {
        "setup": "0 ms", "finish": "0 ms", "wake": "0 ms", "warmth_after": ["1 ms", "100 ms"],
        "warmth_factor": [0.5, 1.0],
    }  # fmt: skip
    got = told(engine, worlds.profile("fanout-process", **costs), [(0, 0), (12, 1)], 1)
    # Never written: 2 ms. Then 10 ms old, half-way on the logarithmic scale: 1.5 ms.
    assert got[0] == [3]
    assert got[1] == [pytest.approx(14.5, abs=0.003)], "ages are known to 0.4 %"
