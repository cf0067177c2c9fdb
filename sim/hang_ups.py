"""Connections of an event loop that are lost: no pause outlives them (`pauses`).

What had come of such a connection is read as soon as the loop gets to it, whatever a limit says.
Platforms without a session send nothing but logins, so that it is their sockets which are not
paused (`pauses.pause`).
"""

from __future__ import annotations

from sim.loop_turns import admit_until, rouse
from sim.pauses import forget
from sim.state import Integers, Server


def hang_up(server: Server, numbers: Integers, stamps: Integers, time_s: float) -> None:
    """Connections are lost at `time_s`, up to which the server has worked.

    Steps of logins stamped before `stamps` belong to them. Only event loops pause.
    """
    server.processes["cut"][numbers] = stamps
    if server.setting["read_bytes"][0] == 0.0:
        return
    admit_until(server, time_s)  # what came before is there before
    for number in forget(server, numbers).tolist():
        rouse(server, number, time_s)
