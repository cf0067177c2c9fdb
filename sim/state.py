"""The state of one simulated Controller: a few arrays of records, from which a snapshot is a copy.

Kernels keep everything here and nothing elsewhere, so traffic can stop at any instant and go on.
Names of chains: `head` and `tail` are slots of publications or numbers of nodes, `NOBODY` ends one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Records = npt.NDArray[np.void]
Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Indices = npt.NDArray[np.uint32]

NOBODY = np.uint32(2**32 - 1)
SETTLED = -1
UNTOUCHED = -1.0  # a publication whose set-up has not begun

# A job in flight, three cache lines: a publication, or a stanza that another station sent on. Its
# `copies` are for the entries of `Server.subscribers` from `start`; `missing` ones are not yet
# received (SETTLED: done with), `unwritten` are in mailboxes or (before it is `begun`) not built,
# `node` is their first node, `elsewhere` counts those that do not end here: sent on to another
# station, or received past the horizon. `answered` jobs end with a result, `storable` ones are
# stored for whoever is offline, `rank` says who goes first where a server heeds that (0). The costs
# are CPU seconds before the publication's own factor; `segment` is its kind's first histogram row,
# `counted_bytes` what the limit on its connection counts, `held` how many copies wait, if shared.
PUBLICATION = np.dtype(
    [
        ("row", "i8"),
        ("arrival_s", "f8"),
        ("intended_s", "f8"),
        ("wire_bytes", "f8"),
        ("factor", "f8"),
        ("intake_s", "f8"),
        ("copy_s", "f8"),
        ("write_s", "f8"),
        ("start", "u4"),
        ("topic", "u2"),
        ("legitimate", "i1"),
        ("answered", "i1"),
        ("platform", "u4"),
        ("segment", "u4"),
        ("interval", "u4"),
        ("next", "u4"),
        ("missing", "i4"),
        ("elsewhere", "i4"),
        ("untimely", "i4"),
        ("copies", "i4"),
        ("job", "i2"),
        ("begun", "i1"),
        ("storable", "i1"),
        ("unwritten", "i4"),
        ("node", "u4"),
        ("rank", "u4"),
        ("first_s", "f8"),
        ("last_s", "f8"),
        ("latency_s", "f8"),
        ("give_up_s", "f8"),
        ("counted_bytes", "f8"),
        ("held", "i8"),
    ],
    align=True,
)

# A step of a login is a job without copies: it has these flags, its key in `row`, and the instant
# at which its Platform gives up. Flags: it is one; with it the session is complete; the server
# notices that its Platform has given up before it pays; it is the first step, at which the door is;
# it was refused; it asks to resume a session; it has done so; last items follow, the kernel stops.
JOB, FINAL, NOTICED, FIRST, REFUSED, RESUME, RESUMED, REMINDED = 1, 2, 4, 8, 16, 32, 64, 128
GONE, ASLEEP, AWAITED = 1, 2, 3  # offline: no session; one to resume; one without presence yet
ROUND_TRIP = 2.0  # delays from a session's begin until the Platform's next message is there
STAMP_SHIFT = 32  # a job's key: its Platform's number in the topology, above it its stamp
PLATFORM_MASK = 2**STAMP_SHIFT - 1

# A Platform that publishes or subscribes, with what a copy touches: its mailbox, its input
# (publications of its own that the server has not finished), results that wait to be written.
PLATFORM = np.dtype(
    [
        ("population", "u2"),
        ("session_state", "i1"),
        ("offline", "i1"),
        ("mail_head", "u4"),
        ("mail_tail", "u4"),
        ("input_head", "u4"),
        ("results", "i4"),
    ],
    align=True,
)

# More of it, for servers that go from process to process, and of Platforms that log in: how far
# the first publication of its input is, when its session was last written. `answers` are steps of
# logins whose answer is not written yet; those stamped before `cut` belong to a lost session, which
# can be resumed until `resumable_s`, and for which so many copies are `kept`. Where a server stores
# for who is offline, `resumable_s` is when an awaited presence comes. Of an event loop: what it has
# read of the input's first publication (`begun_bytes`), until when it reads no more, and the number
# of that pause (`copy`).
PROCESS = np.dtype(
    [
        ("input_tail", "u4"),
        ("publisher_state", "i4"),
        ("copy", "i4"),
        ("answers", "u4"),
        ("cut", "i8"),
        ("kept", "i8"),
        ("resumable_s", "f8"),
        ("setup_s", "f8"),
        ("written_s", "f8"),
        ("begun_bytes", "f8"),
        ("paused_s", "f8"),
    ],
    align=True,
)

# Whoever reads in bursts has `burst_read_s` in place of `read_s`.
POPULATION = np.dtype(
    [
        ("delay_s", "f8"),
        ("read_s", "f8"),
        ("down_s_per_byte", "f8"),
        ("on_s", "f8"),
        ("off_s", "f8"),
        ("burst_read_s", "f8"),
    ]
)

# A session's way out: what is in its window (`flight`) and what waits before it, from when on it
# took nothing (`stuck_s`), its place on the calendar and what happens then; whether it was cut; its
# Platform's own link and bursts.
QUEUE = np.dtype(
    [
        ("flight_head", "u4"),
        ("flight_tail", "u4"),
        ("wait_head", "u4"),
        ("wait_tail", "u4"),
        ("waiting", "i4"),
        ("place", "i4"),
        ("cuts", "i4"),
        ("cut", "i4"),
        ("flight_bytes", "f8"),
        ("waiting_bytes", "f8"),
        ("due_s", "f8"),
        ("stuck_s", "f8"),
        ("down_free_s", "f8"),
        ("reader_free_s", "f8"),
        ("phase_s", "f8"),
    ],
    align=True,
)

# One copy that waits in a session's queue, or is in its window.
WAIT = np.dtype(
    [("publication", "u4"), ("next", "u4"), ("size_bytes", "f8"), ("acknowledged_s", "f8")],
    align=True,
)

# A publication some of whose copies are followed, and such a copy.
JOURNEY = np.dtype([("reached_s", "f8"), ("begun_s", "f8"), ("read_s", "f8")])
FOLLOWED = np.dtype([("row", "i8"), ("platform", "i8"), ("histogram", "i8")])

# A session that was cut.
CUT = np.dtype([("time_s", "f8"), ("platform", "i8")])

# One copy in a mailbox: of which job. Nodes are a ring; each job has as many in a row as copies, so
# that whoever goes through sessions in order goes through memory in order.
NODE = np.dtype([("publication", "u4"), ("next", "u4")])

# A core: when its work ends, and what it is; of a publication's copies, those whose service times
# are drawn and at hand, or the one from which on they are done at even instants, and its instant.
CORE = np.dtype(
    [
        ("ready_s", "f8"), ("idle_since_s", "f8"), ("setup_s", "f8"), ("even_s", "f8"),
        ("task", "u4"), ("chain", "u4"), ("slot", "u4"), ("finished", "i4"), ("copy", "i4"),
        ("even_copy", "i4"), ("drawn_first", "i4"), ("drawn_end", "i4"),
    ],
    align=True,
)  # fmt: skip

INTERVAL = np.dtype(
    [
        ("start_s", "f8"),
        ("end_s", "f8"),
        ("busy_s", "f8"),
        ("egress_bytes", "f8"),
        ("memory_bytes", "f8"),
        ("backlog", "i8"),
        ("received", "i8"),
        ("timely", "i8"),
        ("latencies", "i8"),
        ("latency_s", "f8"),
    ],
    align=True,
)

# What is kept of a publication, and of a delivery when deliveries are traced.
OUTCOME = np.dtype([("first_s", "f8"), ("last_s", "f8"), ("delivered", "i8")])
DELIVERY = np.dtype([("row", "i8"), ("platform", "u4"), ("received_s", "f8")])

# A step of a login that the server is done with: its key, the instant, its flags.
COMPLETION = np.dtype([("job", "i8"), ("done_s", "f8"), ("flags", "i8")])

# A copy that has left for another station: by which peer's session, and for whom in the end.
DISPATCH = np.dtype(
    [
        ("left_s", "f8"),
        ("intended_s", "f8"),
        ("row", "i8"),
        ("payload_bytes", "f8"),
        ("segment", "u4"),
        ("peer", "u4"),
        ("target", "u4"),
        ("topic", "u2"),
    ],
    align=True,
)

# The server's clock and totals. `owed` copies belong to publications that have arrived and are not
# yet written; `held` copies exist in the server's memory; jobs before `unwritten` have no copies in
# mailboxes, the nodes of the next job begin at `node`. It is `halted` as somebody has subscribed
# who gets last items, or where its backlog is `watched`: that many copies are owed, or none were
# as a publication came. Of an event loop: `paused` sockets where something waits; when timers ran,
# or might as well have, for sockets where nothing does (`timers_s`); when they ran last (`run_s`,
# with pauses before `run_pauses`), whether nobody was ready since (`ran`); for how long one that
# wakes has rested (`rest_s`). Before `frozen_s` it stood still or was down: no timers, no rest.
LEDGER = np.dtype(
    [
        ("time_s", "f8"),
        ("fed", "i8"),
        ("arrived", "i8"),
        ("started", "i8"),
        ("oldest", "i8"),
        ("owed", "i8"),
        ("owed_since_s", "f8"),
        ("owed_area_s", "f8"),
        ("sojourn_s", "f8"),
        ("held", "i8"),
        ("held_bytes", "f8"),
        ("unwritten", "i8"),
        ("node", "i8"),
        ("free_wait", "u4"),
        ("waits", "i8"),
        ("stalled", "i8"),
        ("followed", "i8"),
        ("written_s", "f8"),
        ("sent_s", "f8"),
        ("left_s", "f8"),
        ("down_s", "f8"),
        ("cuts", "i8"),
        ("idle_s", "f8"),
        ("interval", "u4"),
        ("link_free_s", "f8"),
        ("link_interval", "u4"),
        ("received_interval", "u4"),
        ("received_s", "f8"),
        ("delivered", "i8"),
        ("late", "i8"),
        ("missed", "i8"),
        ("completed", "i8"),
        ("halted", "i8"),
        ("offline", "i8"),
        ("traced", "i8"),
        ("dispatched", "i8"),
        ("kept", "i8"),
        ("stored", "i8"),
        ("bounced", "i8"),
        ("queue_first", "i8"),
        ("queue_length", "i8"),
        ("paused", "i8"),
        ("pauses", "u4"),
        ("timers_s", "f8"),
        ("run_s", "f8"),
        ("frozen_s", "f8"),
        ("rest_s", "f8"),
        ("ran", "i8"),
        ("run_pauses", "u4"),
        ("pause_s", "f8"),
        ("idle_cores", "i8"),
        ("busy_since_s", "f8"),
        ("busy_interval", "u4"),
        ("stage", "i8"),
        ("events", "i8"),
        ("event", "u4"),
        ("reads", "i8"),
        ("copy", "i8"),
        ("allocated", "f8"),
        ("collecting_s", "f8"),
        ("cycles", "i8"),
    ],
    align=True,
)
WAITED_FOR, BEGUN_ANEW = 1, 2
# What does not change during a run, for every discipline.
SETTING = np.dtype(
    [
        ("wire_s_per_byte", "f8"), ("wire_bytes_per_s", "f8"), ("deadline_s", "f8"),
        ("horizon_s", "f8"), ("copy_bytes", "f8"), ("row_stride", "i8"), ("seed", "u8"),
        ("cv", "f8"), ("policy", "i8"), ("stage_stride", "i8"), ("copy_stride", "i8"),
        ("queue_bytes", "f8"), ("queue_stanzas", "f8"), ("window_bytes", "f8"), ("shares", "i8"),
        ("send_timeout_s", "f8"), ("replication", "i8"), ("controller", "i8"), ("residents", "i8"),
        ("envelope_bytes", "f8"), ("wake_s", "f8"), ("finish_s", "f8"), ("route_s", "f8"),
        ("slice_recipients", "i8"), ("exponential", "i8"), ("write_s", "f8"), ("coalesced_s", "f8"),
        ("result_s", "f8"), ("events_max", "i8"), ("read_bytes", "f8"), ("publish_envelope", "f8"),
        ("pause_s_per_byte", "f8"), ("accepts", "i8"), ("cold_s", "f8"), ("cold_after_s", "f8"),
        ("collection_s", "f8"), ("collection_step_s", "f8"), ("collection_cv", "f8"),
        ("collection_every", "f8"), ("collection_step_every", "f8"), ("allocation_per_byte", "f8"),
        ("allocation_write", "f8"), ("allocation_publish", "f8"), ("queue_wait_s", "f8"),
        ("refuse_s", "f8"), ("kept_most", "i8"), ("stores", "i8"), ("watched", "i8"),
    ],
    align=True,
)  # fmt: skip

# Kernels reach a server's arrays by address: of what and how many dimensions each one is.
INDEX, FLOAT = np.dtype("u4"), np.dtype("f8")
FIELDS = {
    "ledger": (LEDGER, 1), "setting": (SETTING, 1), "publications": (PUBLICATION, 1),
    "platforms": (PLATFORM, 1), "processes": (PROCESS, 1),
    "populations": (POPULATION, 1), "subscribers": (INDEX, 1),
    "targets": (INDEX, 1), "span_ends": (INDEX, 1), "reader_free_s": (FLOAT, 1),
    "scratch": (FLOAT, 1), "numbers": (INDEX, 1), "nodes": (NODE, 1), "cores": (CORE, 1),
    "ring": (INDEX, 1), "batch": (INDEX, 1), "ranks": (INDEX, 2), "warmth": (FLOAT, 1),
    "intervals": (INTERVAL, 1),
    "histograms": (np.dtype("i4"), 2), "pairs": (INDEX, 2), "outcomes": (OUTCOME, 1),
    "trace": (DELIVERY, 1), "outbox": (DISPATCH, 1), "kept": (DISPATCH, 1), "queues": (QUEUE, 1),
    "waits": (WAIT, 1), "calendar": (INDEX, 1), "discarded": (np.dtype("i8"), 1),
    "cuts": (CUT, 1), "completions": (COMPLETION, 1), "journeys": (JOURNEY, 1),
    "followed": (FOLLOWED, 1), "instants_s": (FLOAT, 2), "calls": (np.dtype("u8"), 1),
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Server:
    """One Controller's server, its Platforms and its counters, as arrays.

    `publications` is a ring indexed by arrival number modulo its length, a power of two; so is
    `ring`, which holds the run queue or the ready list. `subscribers` lists who gets the copies of
    a job, one list after another: sessions of Platforms, numbered from 0, then those of peers,
    other stations that carry a copy on to its `targets` entry. `pairs` says which histogram of a
    segment belongs to (Topic, receiving population). `ranks` has first and last of the jobs that
    wait, by rank (none where they are served as they come). `warmth` holds log age and relative
    cost. `span_ends` says of each subscriber of the list up to where those of its population stand.
    `scratch` and `numbers` are room for what a kernel computes and does not keep. `queues` are the
    sessions' ways out (none where copies are written and gone), `waits` their copies, `calendar` a
    heap of those with something due, `discarded` copies given up by policy, `cuts` a log of
    sessions that ended.
    `kept` are copies for sessions that may be resumed (`peer`: whose), `journeys` publications some
    of whose copies are `followed`, with their `instants_s`.
    `calls` has the addresses of rare paths.
    `table` tells kernels where all these are (`compiling`): address and lengths of each.
    """

    ledger: Records
    setting: Records
    publications: Records
    platforms: Records
    processes: Records
    populations: Records
    subscribers: Indices
    targets: Indices
    span_ends: Indices
    reader_free_s: Floats
    scratch: Floats
    numbers: Indices
    nodes: Records
    cores: Records
    ring: Indices
    batch: Indices
    ranks: Indices
    warmth: Floats
    intervals: Records
    histograms: npt.NDArray[np.int32]
    pairs: Indices
    outcomes: Records
    trace: Records
    outbox: Records
    kept: Records
    queues: Records
    waits: Records
    calendar: Indices
    discarded: Integers
    cuts: Records
    completions: Records
    journeys: Records
    followed: Records
    instants_s: Floats
    calls: npt.NDArray[np.uint64]
    table: npt.NDArray[np.uint64] = field(init=False)
    address: int = field(init=False)

    def __post_init__(self) -> None:
        table = np.zeros((len(FIELDS), 3), np.uint64)
        for row, (name, (dtype, dimensions)) in zip(table, FIELDS.items(), strict=True):
            array = getattr(self, name)
            assert (array.dtype, array.ndim) == (dtype, dimensions), name
            assert array.flags.c_contiguous, name
            row[: 1 + dimensions] = array.ctypes.data, *array.shape
        object.__setattr__(self, "table", table)
        object.__setattr__(self, "address", table.ctypes.data)
