"""Subscribers that are away for a while: what the tests of resumption and of storage draw."""

from hypothesis import strategies as st

DELAY = st.sampled_from(["1.013 ms", "0.3137 ms", "5.171 ms"])
STARTS = ("0.1 s", "0.3 s", "0.42 s", "0.7 s")


def subscribers(draw, topics, **more):
    """Two populations that get these Topics, of which one reads slowly, and come back."""

    def population(name, **own):
        return {
            "name": name, "count": draw(st.integers(1, 5)), "subscribes": topics,
            "network": {"delay": draw(DELAY)},
            "login": {"mechanism": draw(st.sampled_from(["scram-sha-1", "plain"]))},
            "retry": {"first": "20 ms", "base": "10 ms",
                      "timeout": draw(st.sampled_from(["70 ms", "10 s", "10 s"]))},
        } | own  # fmt: skip

    return [population("near", **more), population("far", read_rate="300/s", **more)]


def publisher(topics, **more):
    """One Platform that publishes on these Topics and comes back if its server dies."""
    return {
        "name": "pub", "count": 1, "publishes": topics, "login": {"mechanism": "plain"},
        "network": {"delay": "1 ms"}, "retry": {"first": "5 ms"},
    } | more  # fmt: skip


def losses(draw, kinds):
    """Four faults of such kinds, of a population or of Controller c, one after another."""
    found = []
    for number, start in enumerate(STARTS):
        kind, whom = draw(st.sampled_from(kinds)), {"controller": "c"}
        if kind in ("outage", "disconnect"):
            whom = {"population": draw(st.sampled_from(["near", "far"])),
                    "spread": draw(st.sampled_from(["0 s", "30 ms"]))}  # fmt: skip
        found.append(
            {"kind": kind, "name": f"f{number}", "start": start, **whom,
             "duration": draw(st.sampled_from(["30 ms", "0.11 s"]))}
        )  # fmt: skip
    return found
