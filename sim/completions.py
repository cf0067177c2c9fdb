"""Jobs: work of a server that is not a publish, such as a step of a login.

A job is a publication without copies. It waits and is worked like one; what it costs is settled as
its work begins, because by then its Platform may have given up, or have waited too long to be
admitted. When the server is done with it, its key and the instant are logged for the conductor.
"""

from __future__ import annotations

import numpy as np

from sim.delivery import compiled, publication_of
from sim.state import (
    AWAITED,
    FINAL,
    FIRST,
    NOTICED,
    REFUSED,
    REMINDED,
    RESUME,
    RESUMED,
    ROUND_TRIP,
    SETTLED,
    STAMP_SHIFT,
    Server,
)


@compiled
def begin_job(server: Server, slot: int, time_s: float) -> None:
    """The server turns to a job: refuse it, skip it or work it."""
    setting, publication = server.setting[0], server.publications[slot]
    if publication.job & NOTICED:
        delay_s = server.populations[server.platforms[publication.platform].population].delay_s
        if time_s > publication.give_up_s + delay_s:
            publication.intake_s = 0.0
            return
    if publication.job & FIRST and time_s - publication.arrival_s > setting.queue_wait_s:
        publication.intake_s = setting.refuse_s
        publication.job |= REFUSED


@compiled
def _resumes(server: Server, slot: int, time_s: float) -> bool:
    """Whether the server still has the session that a job asks to resume, and is heard."""
    publication = server.publications[slot]
    process = server.processes[publication.platform]
    delay_s = server.populations[server.platforms[publication.platform].population].delay_s
    return (
        time_s <= process.resumable_s
        and process.kept <= server.setting[0].kept_most
        and publication.row >> STAMP_SHIFT >= process.cut
        and time_s + delay_s <= publication.give_up_s
    )


@compiled
def complete_job(server: Server, slot: int, time_s: float) -> None:
    """The server has answered a job: log it; with the last step of a login begins a session."""
    now, publication = server.ledger[0], server.publications[slot]
    platform, process = (
        server.platforms[publication.platform],
        server.processes[publication.platform],
    )
    if publication.job & RESUME and _resumes(server, slot, time_s):
        publication.job |= FINAL | RESUMED
    entry = server.completions[now.completed]
    entry.job, entry.done_s, entry.flags = publication.row, time_s, publication.job
    now.completed += 1
    if publication.job & FINAL and publication.row >> STAMP_SHIFT >= process.cut:
        delay_s = server.populations[platform.population].delay_s
        if time_s + delay_s > publication.give_up_s or not platform.offline:
            pass
        elif server.setting[0].stores:  # its presence comes when it knows of its session
            platform.offline = AWAITED
            process.resumable_s = time_s + ROUND_TRIP * delay_s
            now.halted |= publication.job & REMINDED
        else:
            platform.offline = 0
            now.offline -= 1
            process.resumable_s = -np.inf
            if publication.job & RESUMED == 0:
                now.halted |= publication.job & REMINDED
    publication.missing = SETTLED
    while now.oldest < now.arrived and publication_of(server, now.oldest).missing == SETTLED:
        now.oldest += 1
