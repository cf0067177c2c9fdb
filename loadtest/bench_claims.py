"""What is promised of the load engine's costs, and whether the rounds of a bench keep it.

Ratios are what to look at: microseconds and milliseconds are a machine's. A ratio is of contenders
of the same round. A publication is to cost 14 us on a machine where Tsung's costs 29 us.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from loadtest.bout import Cost
from loadtest.promises import Promise, promise

DELIVERY_OVER: Final = {200: 2.2, 1_000: 2.4}  # Tsung's over ours, by sessions
PUBLISH_CPU_US: Final = 14.0
PUBLISH_OVER: Final = 29.0 / PUBLISH_CPU_US
LOGIN_CPU_MS: Final = 5.0
RSS_BYTES: Final = {"full": 140_000.0, "counting": 48_000.0}  # of a session, by its kind


def claims(
    received: Mapping[tuple[int, str], Sequence[Cost]], published: Mapping[str, Sequence[Cost]]
) -> dict[str, Promise]:
    """The promises, by name.

    Parameters
    ----------
    received : mapping
        Rounds of receiving on the null server, by sessions and contender.
    published : mapping
        Rounds of one session's publishing, by contender.
    """
    ours = published.get("counting", [])
    found = {
        f"delivery_{sessions}": promise(
            f"Tsung's CPU time of a delivery over ours, {sessions:,} sessions",
            "at least",
            asked,
            _over(*(received.get((sessions, name), []) for name in ("tsung", "counting"))),
        )
        for sessions, asked in DELIVERY_OVER.items()
    }
    found["publish_over"] = promise(
        "Tsung's CPU time of a publication over ours",
        "at least",
        PUBLISH_OVER,
        _over(published.get("tsung", []), ours),
    )
    each_us = [cost.cpu_s * 1e6 for cost in ours]
    found["publish"] = promise(
        "CPU time of a publication in us", "at most", PUBLISH_CPU_US, each_us
    )
    full = received.get((200, "full"), [])
    each_ms = [cost.login_cpu_s * 1e3 for cost in full if cost.login_cpu_s]
    found["login"] = promise("CPU time of a login in ms", "at most", LOGIN_CPU_MS, each_ms)
    for kind, asked in RSS_BYTES.items():
        costs = received.get((200, kind), [])
        held = [cost.session_rss_bytes for cost in costs if cost.session_rss_bytes]
        found[f"{kind}_rss"] = promise(
            f"memory of a {kind} session in bytes", "at most", asked, held
        )
    return found


def _over(upper: Sequence[Cost], lower: Sequence[Cost]) -> list[float]:
    """CPU time of one contender over another's, round by round: of those that both had."""
    return [above.cpu_s / below.cpu_s for above, below in zip(upper, lower, strict=False)]
