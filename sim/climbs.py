"""Platforms that climb the ladder of a login at one `fifo` server: a storm in one compiled pass.

A message that arrives at a is taken up at max(a, when a core is free), is answered when its work
is done, and its Platform's next one arrives two delays after that. So nothing that follows from
what is not yet taken up arrives before h = max(first arrival, first free core) + the two shortest
delays, and all that arrives before h is known: it is merged into a block in order of arrival, its
draws are made together (`lognormals.py`), it is served, and what follows from it queues up.

Platforms of one delay queue up in one line. Their messages are answered nearly in order, so that a
line is put in order by looking at its end: there is no heap. Lines hold whole messages, which go
from block to line and from line to block: memory is read and written in order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from sim.compiling import compiled, inlined
from sim.draws import Purpose
from sim.ladders import STEP_MASK
from sim.lognormals import fill_lognormals

BLOCK = 1024  # messages of a block: it stays in the fastest cache
LOGIN = int(Purpose.LOGIN)

# A message on its way: when it arrives, and the stamp of its step (a draw asks for 32 bits of it).
MESSAGE = np.dtype(
    [
        ("due_s", "f8"),
        ("deadline_s", "f8"),
        ("platform", "u4"),
        ("stamp", "u4"),
        ("population", "u4"),
        ("step", "u4"),
    ],
    align=True,
)
# Messages of Platforms with one delay in order of arrival: a ring of `size` from `first` on.
LINE = np.dtype(
    [("delay_s", "f8"), *((name, "i8") for name in ("first", "size", "head", "length"))]
)
FINISHED = np.dtype([("done_s", "f8"), ("platform", "i8")])
INTERVAL = np.dtype([("end_s", "f8"), ("busy_s", "f8")])
SETTING = np.dtype(
    [
        ("seed", "u8"), ("replication", "i8"), ("sigma", "f8"), ("mean", "f8"),
        ("until_s", "f8"), ("delay_s", "f8"), ("following", "i8"), ("interval", "i8"),
        ("finished", "i8"),
    ]
)  # fmt: skip


@inlined
def _earlier(one: Any, other: Any) -> bool:
    """Whether a message arrives before another one: at one instant the lower Platform's does."""
    return one.due_s < other.due_s or (one.due_s == other.due_s and one.platform < other.platform)


@inlined
def _copy(to: Any, message: Any) -> None:
    """Field by field, which costs less than a whole record: that goes byte by byte."""
    to.due_s, to.deadline_s = message.due_s, message.deadline_s
    to.platform, to.stamp = message.platform, message.stamp
    to.population, to.step = message.population, message.step


@inlined
def _head(lines: Any, rings: Any, newcomers: Any, following: int, number: int) -> Any:
    """The first message of a line, or of those that are known from the start."""
    if number == lines.size:
        return newcomers[following]
    return rings[lines[number].first + lines[number].head]


@inlined
def _first(heads_s: Any, lines: Any, rings: Any, newcomers: Any, following: int) -> int:
    """Number of the line whose first message arrives next."""
    chosen, now_s, tied = 0, heads_s[0], False
    for number in range(1, heads_s.size):
        tied = tied or heads_s[number] == now_s
        if heads_s[number] < now_s:
            chosen, now_s, tied = number, heads_s[number], False
    if tied and now_s < np.inf:
        for number in range(chosen + 1, heads_s.size):
            if heads_s[number] == now_s:
                one = _head(lines, rings, newcomers, following, number)
                other = _head(lines, rings, newcomers, following, chosen)
                if one.platform < other.platform:
                    chosen = number
    return chosen


@compiled
def _gather(
    setting: Any, newcomers: Any, lines: Any, rings: Any, heads_s: Any, free_s: float, block: Any
) -> int:
    """Move the messages that arrive next to a block; how many there are.

    At least one, if one arrives in time at all, and no more than are known to be next.
    """
    count, before_s = 0, setting.until_s
    following = setting.following
    while count < block.size:
        number = _first(heads_s, lines, rings, newcomers, following)
        now_s = heads_s[number]
        if now_s >= before_s:
            break
        if count == 0:
            before_s = min(before_s, max(now_s, free_s) + setting.delay_s + setting.delay_s)
        if number == lines.size:
            _copy(block[count], newcomers[following])
            following += 1
            heads_s[number] = np.inf
            if following < newcomers.size:
                heads_s[number] = newcomers[following].due_s
        else:
            line = lines[number]
            _copy(block[count], rings[line.first + line.head])
            line.head = line.head + 1 if line.head + 1 < line.size else 0
            line.length -= 1
            heads_s[number] = np.inf
            if line.length > 0:
                heads_s[number] = rings[line.first + line.head].due_s
        count += 1
    setting.following = following
    return count


@inlined
def _serve(begun_s: float, ended_s: float, free_s: Any, intervals: Any, setting: Any) -> None:
    """The core that is free first works from and until then."""
    core = 1
    while core < free_s.size and free_s[core] < ended_s:
        free_s[core - 1] = free_s[core]
        core += 1
    free_s[core - 1] = ended_s
    while begun_s >= intervals[setting.interval].end_s:
        setting.interval += 1
    i = setting.interval
    while ended_s > intervals[i].end_s:
        intervals[i].busy_s += intervals[i].end_s - begun_s
        begun_s = intervals[i].end_s
        i += 1
    intervals[i].busy_s += ended_s - begun_s


@inlined
def _queue_up(message: Any, line: Any, rings: Any) -> None:
    """A Platform's next message goes to its line."""
    to, left = line.head + line.length, line.length
    if to >= line.size:
        to -= line.size
    while left > 0:
        before = to - 1 if to > 0 else line.size - 1
        if _earlier(rings[line.first + before], message):
            break
        _copy(rings[line.first + to], rings[line.first + before])
        to, left = before, left - 1
    _copy(rings[line.first + to], message)
    line.length += 1


@compiled
def enlist(
    messages: Any, order: Any, arrival_s: Any, platform: Any, stamp: Any, deadline_s: Any,
    population: Any,
) -> None:  # fmt: skip
    """Write down messages in this order; `population` is that of each Platform."""
    for i in range(order.size):
        message, place = messages[i], order[i]
        message.due_s, message.deadline_s = arrival_s[place], deadline_s[place]
        message.platform, message.stamp = platform[place], stamp[place]
        message.step = stamp[place] & STEP_MASK
        message.population = population[platform[place]]


@compiled
def climb(
    setting: Any, newcomers: Any, lines: Any, ladder: Any, cores: Any, finished: Any, rooms: Any
) -> bool:
    """Serve messages in order of arrival, and those that follow from them, until `until_s`.

    Parameters
    ----------
    setting : record of SETTING
        Key of the draws, where to stop, and how far all is: `following`, `interval`, `finished`.
    newcomers : ndarray of MESSAGE
        Those that are known from the start, in order.
    lines : (ndarray of LINE, ndarray of MESSAGE)
        One line for each delay, empty, with room for all of its Platforms.
    ladder : (ndarray, ndarray, ndarray)
        Line, work of each step [s] and number of steps by population.
    cores : (ndarray, ndarray of INTERVAL)
        When each core is free, in order [s], and core time.
    finished : ndarray of FINISHED
        The logins that are done.
    rooms : tuple
        Room for a block of messages, for the first instant of each line and of the newcomers, which
        is there, and for draws.

    Returns
    -------
    bool
        False if somebody would give up, or a core be at work when something else happens.
    """
    (queues, rings), (line_of, work_s, steps), (free_s, intervals) = lines, ladder, cores
    block, heads_s, factor, scratch, entities, indices = rooms
    key, spread = (setting.seed, LOGIN, setting.replication), (setting.sigma, setting.mean)
    while True:
        count = _gather(setting, newcomers, queues, rings, heads_s, free_s[0], block)
        if count == 0:
            return True
        for i in range(count):
            entities[i], indices[i], factor[i] = block[i].platform, block[i].stamp, 1.0
        if setting.sigma > 0.0:
            fill_lognormals(key, entities, indices, count, spread, (factor, scratch))
        for i in range(count):
            message = block[i]
            line = queues[line_of[message.population]]
            begun_s = max(message.due_s, free_s[0])
            ended_s = begun_s + work_s[message.population, message.step] * factor[i]
            _serve(begun_s, ended_s, free_s, intervals, setting)
            answer_s = ended_s + line.delay_s
            if ended_s >= setting.until_s or answer_s > message.deadline_s:
                return False
            if message.step + 1 == steps[message.population]:
                entry = finished[setting.finished]
                entry.done_s, entry.platform = ended_s, message.platform
                setting.finished += 1
            else:
                message.due_s = answer_s + line.delay_s
                message.step += 1
                message.stamp += 1
                _queue_up(message, line, rings)
        for number in range(queues.size):
            heads_s[number] = np.inf
            if queues[number].length > 0:
                heads_s[number] = rings[queues[number].first + queues[number].head].due_s
