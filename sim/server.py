"""A server's arrays: empty at the start, with room for a backlog that grows, never for a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from results import histogram
from results.records import STAGES
from sim import draws
from sim.backlogs import POLICIES
from sim.compiling import calls
from sim.disciplines import Discipline
from sim.draws import Purpose
from sim.journeys import COPIES_MAX
from sim.keeping import keeps, quota
from sim.phases import Timetable
from sim.platforms import Residents
from sim.routes import Routes
from sim.spans import BLOCK, SCRATCH
from sim.state import (
    COMPLETION,
    CORE,
    CUT,
    DELIVERY,
    DISPATCH,
    FOLLOWED,
    INTERVAL,
    JOURNEY,
    LEDGER,
    NOBODY,
    NODE,
    OUTCOME,
    PROCESS,
    PUBLICATION,
    SETTING,
    UNTOUCHED,
    WAIT,
    Records,
    Server,
)
from sim.stations import Station, loop_rate
from sim.study import Study
from topologies.problems import TopologyError

WHOLE = np.dtype((np.void, PUBLICATION.itemsize))  # a job as one lump
ASLEEP_S = np.nextafter(0.0, -1.0)  # servers sleep when the run begins, also for what comes at 0
IN_FLIGHT_MAX = 2**23  # publications: more would take gigabytes, and say nothing new
RING = 4096  # publications in flight that there is room for at the start


def empty_server(
    study: Study, station: Station, discipline: Discipline, home: Residents, paths: Routes,
    kinds: int, ranks: int = 1,
) -> Server:  # fmt: skip
    """The server of a station before the first arrival.

    Histograms are for `kinds` of jobs, of which some go before others if there are several `ranks`.
    """
    cores = np.zeros(station.node.cores if discipline.parallel else 1, CORE)
    cores["ready_s"] = np.inf
    ledger = np.zeros(1, LEDGER)
    ledger["idle_cores"] = len(cores)
    ledger["time_s"] = ledger["busy_since_s"] = cores["idle_since_s"] = ASLEEP_S
    ledger["timers_s"] = -np.inf
    share = draws.uniforms(
        study.seed, Purpose.COLLECTION_START, study.replication, np.array([station.number])
    )
    ledger["allocated"] = share * discipline.settings.get("collection_every", 0.0)
    ledger["offline"] = len(home.guests)
    event = discipline.mode == "event"
    come_and_go = study.topology.faults or any(p.login for p in study.topology.platforms)
    peers = len(paths.outward) + len(paths.inward)
    sockets = home.count + peers + 1  # the last one is where new connections queue up
    outcomes = np.zeros(-(-study.rows // study.row_stride), OUTCOME)
    outcomes["first_s"], outcomes["last_s"] = np.inf, -np.inf
    return Server(
        ledger=ledger,
        setting=_setting(study, station, discipline, home),
        publications=np.zeros(RING, PUBLICATION),
        platforms=home.records(peers + 1),
        processes=empty_processes(sockets if event or come_and_go else 0),
        populations=home.population_records(),
        subscribers=paths.sessions,
        targets=paths.targets,
        span_ends=home.span_ends(paths.sessions),
        reader_free_s=np.zeros(home.count),
        scratch=np.zeros(SCRATCH),
        numbers=np.zeros(BLOCK, np.uint32),
        nodes=np.zeros(1 if event else 0, NODE),
        cores=cores,
        ring=np.zeros(_power_of_two(2 * sockets), np.uint32),
        batch=np.zeros(discipline.events_max + sockets, np.uint32),
        ranks=np.full((ranks if ranks > 1 else 0, 2), NOBODY),
        warmth=discipline.warmth,
        intervals=_intervals(study.timetable),
        histograms=np.zeros((kinds * len(home.pair_names), histogram.SIZE), np.int32),
        pairs=home.pairs,
        outcomes=outcomes,
        trace=np.zeros(int(study.traced), DELIVERY),
        outbox=np.zeros(len(paths.outward), DISPATCH),
        kept=np.zeros(int(keeps(station.node)), DISPATCH),
        queues=(queues := home.queue_records(station.node, (study.seed, study.replication))),
        waits=_free_waits(1 if len(queues) else 0),
        calendar=np.zeros(len(queues), np.uint32),
        discarded=np.zeros(len(POLICIES), np.int64),
        cuts=np.zeros(len(queues), CUT),
        completions=np.zeros(1, COMPLETION),
        journeys=np.zeros(
            -(-study.rows // study.stage_stride) if study.stage_stride else 0, JOURNEY
        ),
        followed=(followed := np.zeros(COPIES_MAX if study.stage_stride else 0, FOLLOWED)),
        instants_s=np.zeros((len(followed), len(STAGES) + 1)),
        calls=calls(*(("sim.outflow",) if len(queues) else ())),
    )


def empty_processes(count: int) -> Records:
    """Processes that were sent nothing yet."""
    one = np.zeros(1, PROCESS)
    one["input_tail"] = one["answers"] = NOBODY
    one["setup_s"], one["written_s"] = UNTOUCHED, -np.inf
    one["resumable_s"] = one["paused_s"] = -np.inf
    return np.repeat(one, count)


def _setting(study: Study, station: Station, discipline: Discipline, home: Residents) -> Records:
    node, profile = station.node, station.profile
    setting = np.zeros(1, SETTING)
    for name, value in discipline.settings.items():
        setting[name] = value
    setting["envelope_bytes"] = profile.envelope.notification
    setting["wire_s_per_byte"] = 1.0 / node.nic
    setting["wire_bytes_per_s"] = node.nic
    setting["deadline_s"] = study.topology.slo.deadline
    setting["horizon_s"] = study.horizon_s
    setting["copy_bytes"] = profile.memory.queued_copy
    setting["shares"] = profile.memory.shared
    setting["row_stride"] = study.row_stride
    setting["seed"], setting["replication"] = study.seed, study.replication
    setting["controller"], setting["residents"] = station.number, home.count
    setting["stage_stride"], setting["copy_stride"] = study.stage_stride, study.copy_stride
    setting["queue_bytes"] = setting["queue_stanzas"] = np.inf
    setting["window_bytes"] = setting["send_timeout_s"] = np.inf
    if (queue := node.queue) is not None:
        setting["policy"] = POLICIES.index(queue.policy)
        setting["window_bytes"] = queue.window
        setting["queue_bytes"] = queue.bytes or np.inf
        setting["queue_stanzas"] = queue.stanzas or np.inf
        setting["send_timeout_s"] = queue.send_timeout or np.inf
    setting["queue_wait_s"] = np.inf
    if (rate := loop_rate(node.limits, profile)) is not None:
        setting["pause_s_per_byte"] = 1.0 / rate.rate
    if node.resumption is not None:
        setting["kept_most"] = node.resumption.queue
    if node.offline is not None:
        setting["kept_most"], setting["stores"] = quota(node.offline, profile.server), 1
    if node.admission is not None and node.admission.queue_wait is not None:
        setting["queue_wait_s"] = node.admission.queue_wait
    if profile.logins is not None:
        setting["refuse_s"] = profile.speed * profile.logins.refuse
    return setting


def _intervals(timetable: Timetable) -> Records:
    """The timetable's intervals and one without end, for the drain."""
    intervals = np.zeros(len(timetable.edges_s), INTERVAL)
    intervals["start_s"] = timetable.edges_s
    intervals["end_s"] = np.append(timetable.edges_s[1:], np.inf)
    return intervals


def with_room(server: Server, publications: int, copies: int, steps: int = 0) -> Server:
    """The same server with room for more publications, copies, and steps of logins among them."""
    now = server.ledger[0]
    in_flight = int(now["fed"] - now["oldest"]) + publications
    if in_flight > IN_FLIGHT_MAX:
        rule = f"more than {IN_FLIGHT_MAX:,} publications wait for one Controller"
        raise TopologyError([f"load: {rule}: it is overloaded; lower the load or the duration"])
    if in_flight > len(server.publications):
        server = _grown_ring(server, in_flight)
    done = int(now["completed"])
    if steps and done + in_flight > len(server.completions):
        longer = np.zeros(_power_of_two(done + 2 * in_flight), COMPLETION)
        longer[:done] = server.completions[:done]
        server = replace(server, completions=longer)
    owed = int(now["owed"]) + _expected(server) + copies
    if len(server.nodes):
        server = _with_nodes(server, copies)
    used = int(now["waits"]) + owed
    if len(server.waits) and used > len(server.waits):
        extra = _free_waits(2 * used - len(server.waits), len(server.waits), now["free_wait"])
        now["free_wait"] = len(server.waits)
        server = replace(server, waits=np.concatenate([server.waits, extra]))
    if len(server.trace) and now["traced"] + used > len(server.trace):
        extra = np.zeros(used + len(server.trace), DELIVERY)
        server = replace(server, trace=np.concatenate([server.trace, extra]))
    if len(server.outbox) and now["dispatched"] + owed > len(server.outbox):
        server = replace(server, outbox=_longer(server.outbox, 2 * owed))
    if len(server.kept) and now["kept"] + owed > len(server.kept):
        server = replace(server, kept=_longer(server.kept, 2 * owed))
    return server


def put(server: Server, records: Records) -> None:
    """Make jobs known, behind those that are; there must be room (`with_room`)."""
    now, ring = server.ledger[0], server.publications.view(WHOLE)  # whole: not field by field
    first = int(now["fed"]) % len(ring)
    before_wrap = len(ring) - first
    ring[first : first + len(records)] = records.view(WHOLE)[:before_wrap]
    ring[: max(len(records) - before_wrap, 0)] = records.view(WHOLE)[before_wrap:]
    now["fed"] += len(records)


def put_back(server: Server, instant_s: float) -> tuple[Records, Records]:
    """Take back the jobs that are known and have not arrived, those before an instant apart."""
    now, ring = server.ledger[0], server.publications
    later: Records = ring[np.arange(now["arrived"], now["fed"]) % len(ring)]
    now["fed"] = now["arrived"]
    now["node"] -= int(later["copies"].sum()) if len(server.nodes) else 0
    now["unwritten"] = min(now["unwritten"], now["fed"])
    place = int(np.searchsorted(later["arrival_s"], instant_s))
    return later[:place], later[place:]


def with_rows(server: Server, rows: int) -> Server:
    """The same server with room for what becomes of so many rows: requests have later ones."""
    setting = server.setting[0]
    kept, followed = -(-rows // int(setting["row_stride"])), 0
    if setting["stage_stride"]:
        followed = -(-rows // int(setting["stage_stride"]))
    if kept > len(server.outcomes):
        outcomes = np.zeros(2 * kept, OUTCOME)
        outcomes["first_s"], outcomes["last_s"] = np.inf, -np.inf
        outcomes[: len(server.outcomes)] = server.outcomes
        server = replace(server, outcomes=outcomes)
    if followed > len(server.journeys):
        journeys = np.zeros(2 * followed, JOURNEY)
        journeys[: len(server.journeys)] = server.journeys
        server = replace(server, journeys=journeys)
    return server


def _longer(outbox: Records, room: int) -> Records:
    return np.concatenate([outbox, np.zeros(room, DISPATCH)])


def _power_of_two(least: int) -> int:
    """The smallest power of two that is not below `least`."""
    return 1 << max(least - 1, 0).bit_length()


def _free_waits(count: int, first: int = 0, following: int = int(NOBODY)) -> Records:
    """Free places for copies that wait or are on their way, chained."""
    waits = np.zeros(count, WAIT)
    waits["publication"] = NOBODY
    waits["next"] = np.arange(first + 1, first + count + 1)
    waits["next"][-1:] = following
    return waits


def _expected(server: Server) -> int:
    """Copies of publications that are known but have not arrived."""
    now = server.ledger[0]
    waiting = np.arange(now["arrived"], now["fed"]) % len(server.publications)
    return int(server.publications["copies"][waiting].sum())


def _with_nodes(server: Server, copies: int) -> Server:
    """The same server with room for more copies in mailboxes."""
    now, ring = server.ledger[0], server.publications
    first = max(int(now["unwritten"]), int(now["oldest"]))
    slots = np.arange(first, now["fed"]) % len(ring)
    done = np.append(ring["unwritten"][slots] > 0, True).argmax()
    now["unwritten"], slots = first + done, slots[done:]
    counts = ring["copies"][slots].astype(np.int64)
    needed = int(counts.sum()) + copies
    if needed <= len(server.nodes):
        return server
    nodes, old = np.zeros(_power_of_two(needed + needed // 2), NODE), server.nodes
    place, following = np.zeros(len(old), np.uint32), 0
    for slot, count in zip(slots, counts.tolist(), strict=True):
        end = following + count
        if ring["begun"][slot]:
            was = (ring["node"][slot] + np.arange(count)) & (len(old) - 1)
            place[was], nodes[following:end] = np.arange(following, end), old[was]
        ring["node"][slot], following = following, end
    now["node"] = following
    chains = [server.platforms[chain] for chain in ("mail_head", "mail_tail")]
    for links in (nodes["next"][:following], server.cores["chain"], *chains):
        _move(links, place)
    return replace(server, nodes=nodes)


def _move(links: npt.NDArray[np.uint32], place: npt.NDArray[np.uint32]) -> None:
    """Let links point at where things are now."""
    held = links != NOBODY
    links[held] = place[links[held]]


def _grown_ring(server: Server, in_flight: int) -> Server:
    """Move the publications to a longer ring, and everything that points at them."""
    now, old = server.ledger[0], server.publications
    numbers = np.arange(now["oldest"], now["fed"])
    new = np.zeros(_power_of_two(2 * in_flight), PUBLICATION)
    place = np.zeros(len(old), np.uint32)
    place[numbers % len(old)] = numbers % len(new)
    new[numbers % len(new)] = old[numbers % len(old)]
    chains = [server.platforms["input_head"]]
    chains += [server.processes[chain] for chain in ("input_tail", "answers")]
    chains += [new["next"], server.nodes["publication"], server.waits["publication"]]
    for links in (*chains, server.cores["slot"], server.ranks):
        _move(links, place)
    return replace(server, publications=new)
