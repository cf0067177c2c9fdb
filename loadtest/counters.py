"""What a server counts of itself: Prosody's OpenMetrics page, ejabberd's HTTP API, on loopback.

They are there only where a grid is deployed with `Options(counters=True)`: a reading costs Prosody
some 30 ms, in which it does nothing else. CPU, memory and descriptors are seen from outside for
nothing (`observation`).
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from loadtest import rails
from loadtest.problems import DeploymentError
from loadtest.server import COUNTERS_PORT as PORT

_WITHIN_S: Final = 5.0
_PAGE_BYTES: Final = 4_000_000
_SAMPLE: Final = re.compile(r"^([a-z_0-9]+)(?:\{[^}]*\})? ([0-9.e+-]+)", re.MULTILINE)
_STATISTICS: Final = ("registeredusers", "onlineusers", "processes", "uptimeseconds")
_NUMBERS: Final = ("connected_users_number", "incoming_s2s_number", "outgoing_s2s_number")


def read(server: str, address: str) -> dict[str, float]:
    """The counters of the server at an address, by the names that it gives them.

    Samples of one name that differ only in their labels are added up.

    Raises
    ------
    DeploymentError
        It does not answer; the grid was deployed without counters.
    """
    try:
        return _prosody(address) if server == "prosody" else _ejabberd(address)
    except OSError as error:
        raise DeploymentError(
            f"{address}:{PORT}: tells no counters ({error}); deploy the grid with "
            "Options(counters=True), or gridlab grid up --counters"
        ) from None


def of_run(
    before: Mapping[str, Mapping[str, float]], after: Mapping[str, Mapping[str, float]]
) -> dict[str, dict[str, dict[str, float]]]:
    """Counters of each Controller's server as a run found and left them.

    One that was not there before stood at 0: Prosody makes each when it first counts something.
    """
    return {
        name: {
            counter: {"before": found.get(counter, 0.0), "after": left}
            for counter, left in after[name].items()
        }
        for name, found in before.items()
        if name in after
    }


def _prosody(address: str) -> dict[str, float]:
    page = _ask(address, "GET /metrics HTTP/1.0", "").decode()
    totals: dict[str, float] = {}
    for name, value in _SAMPLE.findall(page):
        totals[name] = totals.get(name, 0.0) + float(value)
    return totals


def _ejabberd(address: str) -> dict[str, float]:
    def call(command: str, arguments: dict[str, str]) -> float:
        reply = _ask(address, f"POST /api/{command} HTTP/1.0", json.dumps(arguments))
        told: Any = json.loads(reply)
        return float(next(iter(told.values())) if isinstance(told, dict) else told)

    counted = {name: call("stats", {"name": name}) for name in _STATISTICS}
    return counted | {name: call(name, {}) for name in _NUMBERS}


def _ask(address: str, request: str, content: str) -> bytes:
    head = f"{request}\r\nHost: {address}\r\nContent-Type: application/json\r\n"
    with rails.dial(address, PORT, _WITHIN_S, source=address) as connection:
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n{content}".encode())
        received, deadline_s = b"", time.monotonic() + _WITHIN_S
        while chunk := connection.recv(65_536):
            received += chunk
            if len(received) > _PAGE_BYTES or time.monotonic() > deadline_s:
                raise OSError(f"no end of its page after {len(received)} bytes")
    status, _, rest = received.partition(b"\r\n")
    if b" 200" not in status:
        raise OSError(status.decode(errors="replace"))
    return rest.partition(b"\r\n\r\n")[2]
