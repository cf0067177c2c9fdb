"""Connections that an event loop (`loop_turns`) does not read for a while, as Prosody does not.

net/server_epoll.lua (0.12.3) stops to watch a connection in two cases. One that a limit is on is
paused after each read for as long as what was read is worth at its rate, unless that is less than
1 ms; of whichever else something was left (part of a TLS record) it is paused for next to nothing.
A timer ends the pause, and timers run only as a poll finds nobody ready: while the loop has
anything else to do, nobody's pause ends. Those that are over end then, in the order in which they
do; what is left of a read is read on the spot, before the next one ends, and whatever else waits is
ready for the poll that follows. If that finds nobody, timers run again `min_wait` later at the
soonest, and so do they after any other poll that finds nobody.

A connection that is lost is not paused any more: epoll tells of its end whatever it is asked to
watch (`EPOLLRDHUP`, util-src/poll.c), again and again until all that came of it is read.

Those where something waits are a heap of sockets by the ends of their pauses, in `Server.batch`
behind a poll's events. Of the others it is taken that pauses end on time while the loop sleeps
(`timers_s`): they are of no matter till something comes, and then off by `min_wait` at most.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from sim.delivery import compiled, inlined, listening
from sim.state import ASLEEP, GONE, NOBODY, Integers, Server

WAITING: Final = 1  # state of a publisher that is paused although something waits
MIN_WAIT_S: Final = 1e-3  # Prosody's `min_wait`: no shorter pauses are made, nor sleeps for timers


@inlined
def is_paused(server: Server, number: int) -> bool:
    """Whether a socket of whose input nothing waits is not read as something comes."""
    return server.processes[number].paused_s > server.ledger[0].timers_s


@inlined
def next_resumed_s(server: Server) -> float:
    """When the first pause ends of a socket where something waits; infinite without one. [s]"""
    if server.ledger[0].paused == 0:
        return np.inf
    return server.processes[_at(server, 0)].paused_s


@inlined
def is_over(server: Server) -> bool:
    """Whether a pause is to end that was over as timers began to run."""
    now = server.ledger[0]
    if now.ran == 0 or now.paused == 0:
        return False
    first = server.processes[_at(server, 0)]
    return first.paused_s <= now.run_s and first.copy < now.run_pauses


@inlined
def _at(server: Server, place: int) -> Any:
    return server.batch[np.uint32(server.setting[0].events_max + place)]


@inlined
def _put(server: Server, place: int, number: int) -> None:
    server.batch[np.uint32(server.setting[0].events_max + place)] = number


@inlined
def _sooner(server: Server, one: int, other: int) -> bool:
    """Whose pause ends first; of two at one instant, who waited first."""
    first, second = server.processes[one], server.processes[other]
    if first.paused_s == second.paused_s:
        return first.copy < second.copy
    return first.paused_s < second.paused_s


@compiled
def wait(server: Server, number: int) -> None:
    """Something waits for a socket that is paused."""
    now = server.ledger[0]
    process = server.processes[number]
    process.publisher_state, process.copy = WAITING, now.pauses
    place = now.paused
    now.paused += 1
    now.pauses += 1
    while place > 0:
        above = (place - 1) // 2
        other = _at(server, above)
        if not _sooner(server, number, other):
            break
        _put(server, place, other)
        place = above
    _put(server, place, number)


@compiled
def resume(server: Server) -> int:
    """The socket whose pause ends first is read again."""
    now = server.ledger[0]
    first = _at(server, 0)
    now.paused -= 1
    last, place = _at(server, now.paused), 0
    while 2 * place + 1 < now.paused:
        below = 2 * place + 1
        if below + 1 < now.paused and _sooner(server, _at(server, below + 1), _at(server, below)):
            below += 1
        if not _sooner(server, _at(server, below), last):
            break
        _put(server, place, _at(server, below))
        place = below
    _put(server, place, last)
    server.processes[first].publisher_state = 0
    return first


def forget(server: Server, numbers: Integers) -> Integers:
    """No pause of these sockets lasts any longer; those of them where something waits."""
    now, processes = server.ledger[0], server.processes
    waiting: Integers = numbers[processes["publisher_state"][numbers] == WAITING]
    processes["paused_s"][numbers] = -np.inf
    processes["publisher_state"][waiting] = 0
    first = int(server.setting["events_max"][0])
    heap = server.batch[first : first + now["paused"]]
    rest = heap[processes["publisher_state"][heap] == WAITING]
    order = np.lexsort((processes["copy"][rest], processes["paused_s"][rest]))
    heap[: len(rest)] = rest[order]  # what is in order is a heap
    now["paused"] = len(rest)
    return waiting


@compiled
def measure(server: Server, number: int) -> None:
    """Count the publications that one read ends with, and say how long its socket is paused.

    Of the listening socket they are the connections that a turn accepts.
    """
    now, setting, process = server.ledger[0], server.setting[0], server.processes[number]
    slot, room = server.platforms[number].input_head, setting.read_bytes
    begun_bytes, process.begun_bytes = process.begun_bytes, 0.0
    now.reads, now.pause_s = 0, -1.0
    most = setting.accepts if number == listening(server) else now.fed
    while slot != NOBODY and now.reads < most:
        left = server.publications[slot].counted_bytes - begun_bytes
        if left > room:
            process.begun_bytes = begun_bytes + room
            if process.begun_bytes > 0.0:
                now.pause_s = 0.0
            room = 0.0
            break
        room -= left
        begun_bytes = 0.0
        now.reads += 1
        slot = server.publications[slot].next
    pause_s = (setting.read_bytes - room) * setting.pause_s_per_byte
    if pause_s > MIN_WAIT_S and number < setting.residents:
        now.pause_s = pause_s


@inlined
def pause(server: Server, number: int, time_s: float) -> None:
    """A read has ended: its socket is paused, if it is to be."""
    now, offline = server.ledger[0], server.platforms[number].offline
    if now.pause_s >= 0.0 and offline not in (GONE, ASLEEP):
        server.processes[number].paused_s = time_s + now.pause_s
        if server.platforms[number].input_head != NOBODY:
            wait(server, number)
