"""A server loses all it has: its queues, its sessions, the work it is at."""

from __future__ import annotations

import numpy as np

from sim.delivery import settle
from sim.loop_turns import POLL
from sim.server import empty_processes
from sim.state import NOBODY, SETTLED, Floats, Records, Server


def crash(server: Server, time_s: float, until_s: float, allocated: float) -> int:
    """Empty a server that has worked until `time_s`; how many copies are lost that it owed.

    At `until_s` it is as at the start, with `allocated` on its way to the next collection of
    garbage; what it has written is on its way.
    """
    now = server.ledger[0]
    _stop_work(server, time_s)
    slots = np.arange(now["oldest"], now["fed"]) % len(server.publications)
    held = server.publications[slots]
    open_slots = slots[held["missing"] > 0]
    arrived = np.arange(now["oldest"], now["fed"]) < now["arrived"]
    missing, arrival_s = held["missing"].clip(0), held["arrival_s"]
    owed_s = float(((time_s - arrival_s) * missing).sum())
    late_s = float(((time_s - arrival_s) * missing)[~arrived].sum())
    now["owed_area_s"] += now["owed"] * (time_s - now["owed_since_s"]) + late_s
    now["sojourn_s"] += owed_s
    now["owed_since_s"], now["owed"] = time_s, 0
    now["arrived"] = now["started"] = now["fed"]
    for slot in open_slots:
        settle(server, slot)
    server.publications["missing"][slots] = SETTLED
    server.publications["unwritten"][slots] = 0
    now["oldest"] = now["fed"]
    _forget(server)
    now["allocated"], now["collecting_s"], now["cycles"] = allocated, 0.0, 0
    now["frozen_s"], now["rest_s"] = until_s, 0.0
    return int(missing.sum())


def abandon(server: Server, horizon_s: float) -> int:
    """Give up, at the horizon, the copies that are not written yet; how many there are."""
    now, ring = server.ledger[0], server.publications
    slots = np.arange(now["oldest"], now["arrived"]) % len(ring)
    open_slots = slots[ring["missing"][slots] > 0]
    missing = ring["missing"][open_slots]
    now["sojourn_s"] += ((horizon_s - ring["arrival_s"][open_slots]) * missing).sum()
    now["owed_area_s"] += now["owed"] * (horizon_s - now["owed_since_s"])
    now["owed_since_s"] = horizon_s
    for slot in open_slots:
        settle(server, slot)
    return int(missing.sum())


def cuts(server: Server) -> Floats:
    """Instant and Platform (its number here) of the sessions that were cut, shape (n, 2)."""
    log = server.cuts[: server.ledger[0]["cuts"]]
    return np.stack([log["time_s"], log["platform"].astype(np.float64)], axis=1)


def _stop_work(server: Server, time_s: float) -> None:
    """Cores stop at `time_s`; work that was booked until later is taken back."""
    now, cores = server.ledger[0], server.cores
    if now["time_s"] > time_s:  # an event loop in the middle of a step, or about to wake
        waking = now["stage"] == POLL
        if waking:
            now["idle_s"] -= now["time_s"] - time_s
        else:
            _take_back(server.intervals, time_s, float(now["time_s"]))
        now["time_s"] = now["busy_since_s"] = cores["idle_since_s"][0] = time_s
    for core in cores:
        if core["ready_s"] < np.inf and core["idle_since_s"] > time_s:
            _take_back(server.intervals, time_s, float(core["idle_since_s"]))
            core["idle_since_s"] = time_s
    cores["ready_s"] = np.inf
    now["idle_cores"] = len(cores)
    now["stage"], now["events"], now["reads"], now["copy"] = POLL, 0, 0, 0


def _take_back(intervals: Records, start_s: float, stop_s: float) -> None:
    """Core time from `start_s` to `stop_s` was not worked after all."""
    overlap_s = np.minimum(stop_s, intervals["end_s"]) - np.maximum(start_s, intervals["start_s"])
    intervals["busy_s"] -= overlap_s.clip(0.0)


def _forget(server: Server) -> None:
    """Nothing is queued and nobody is logged in."""
    now, platforms = server.ledger[0], server.platforms
    for chain in ("mail_head", "mail_tail", "input_head"):
        platforms[chain] = NOBODY
    platforms["session_state"] = platforms["results"] = 0
    server.ranks[:] = NOBODY
    processes = empty_processes(len(server.processes))
    processes["cut"] = server.processes["cut"]
    server.processes.view(np.uint8)[:] = processes.view(np.uint8)  # faster than field by field
    now["unwritten"] = now["fed"]
    now["held"], now["held_bytes"] = 0, 0.0
    now["queue_first"] = now["queue_length"] = now["completed"] = 0
    now["paused"], now["ran"], now["timers_s"] = 0, 0, -np.inf
