"""Owner and thief of an account: what is counted of them, and what no server does."""

import pytest

from loadtest import contest
from loadtest.problems import LoadError
from topologies import overlays


def procedure(name="none", **changes):
    found = overlays.scenario("S-DUEL", real=True).procedures[name]
    return found.model_copy(update=changes)


def test_what_each_side_had_is_counted_until_the_end():
    fought = contest.Contest("a", "b", kicks=9)
    fought.held_s = {"owner": [[0.0, 3.0], [5.0, 30.0]], "thief": [[2.0, 5.0], [19.0, 30.0]]}
    fought.items_s = {"owner": [1.0, 2.5, 6.0], "thief": [2.5, 4.0, 19.5]}
    alone = contest.Contest("c", "d")
    alone.items_s["owner"] = [3.0] * 36
    found = contest.measured([fought, alone], procedure(), "none")
    assert found.sample("exposed_s").parts.tolist() == [3.0 + 1.0, 0.0]
    assert found.sample("exposed_items").parts.tolist() == [3.0, 0.0]
    assert found.sample("goodput_per_s").parts.tolist() == [2 / 18.0, 2.0]
    assert found.sample("hijacked_share").value == 0.5
    assert found.sample("kicks_per_s").parts.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"lock_after": 6}, "prosody", "lock_after: no server"),
        ({"guesses": 10.0}, "prosody", "guesses: ids"),
        ({"stolen_session_id": True, "bound_session_id": False}, "ejabberd", "both servers bind"),
        ({"rotate": 8.0, "survives": True}, "prosody", "ends the account's sessions"),
        ({"rotate": 8.0, "survives": False}, "ejabberd", "leaves sessions open"),
    ],
)
def test_what_no_server_does_is_refused(changes, kind, words):
    with pytest.raises(LoadError, match=words):
        contest.options(procedure(**changes), kind)


def test_servers_are_deployed_for_the_duel():
    assert contest.options(procedure("refuse-new"), "prosody").conflict == "refuse-new"
    assert contest.options(procedure("external"), "prosody").certificates
    assert contest.options(procedure("session-id-bound"), "ejabberd").resumption
    plain = contest.options(procedure("none"), "prosody")
    assert (plain.conflict, plain.certificates, plain.resumption) == ("end-old", False, False)
