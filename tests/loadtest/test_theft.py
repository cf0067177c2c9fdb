"""Stolen accounts: what is counted of a theft, and what cannot be driven."""

import pytest

from loadtest import theft
from loadtest.problems import LoadError
from topologies import overlays


def procedure(name):
    return overlays.scenario("S-REVOKE", real=True).procedures[name]


class Paper:
    """A grid that is only described."""

    def document(self):
        return {"controllers": {"c": {"domain": "grid.test"}}, "brokers": {"b": "b.grid.test"}}


def test_a_theft_is_counted_until_the_thief_has_nothing_left_to_read():
    shut_out = theft.Theft(
        "a", ("x",), frozenset("x"), [0.5, 1.0, 2.0, 3.0], 2, 1.1, 1.5, over=True
    )
    never = theft.Theft("b", ("y",), frozenset(), [0.5, 9.0])
    found = theft.measured([shut_out, never], "none", 9.0)
    assert found.sample("exposed_items").value == 3.0
    assert found.sample("residual_items").parts.tolist() == [2.0, 0.0]
    assert found.sample("reads_to_alarm").value == 2.0
    reason = found.sample("time_to_mitigate_s").estimate()["reason"]
    assert reason == "unbounded: never within the run in 1 of 2 thefts"


def test_each_thief_goes_its_own_way_and_honey_is_spread():
    burglary = theft.Burglary(Paper(), procedure("honeytokens-3"), ["a", "b"], seed=3)
    one, other = burglary.thefts
    assert len(one.topics) == 30
    assert len(one.honey) == 3
    assert one.honey < set(one.topics)
    assert not set(one.topics) & set(other.topics)
    again = theft.Burglary(Paper(), procedure("honeytokens-3"), ["a", "b"], seed=3)
    assert again.thefts[0].topics == one.topics
    for number, each in enumerate(burglary.thefts):  # as they are predicted
        reads = {each.topics.index(topic) for topic in each.honey}
        assert reads == procedure("honeytokens-3").honey_reads(3, number)


def test_passwords_are_not_changed_on_real_grids():
    changed = procedure("none").model_copy(update={"steps": ("password", "session")})
    with pytest.raises(LoadError, match=r"steps: password: not driven"):
        theft.Burglary(Paper(), changed, ["a"], seed=1)
