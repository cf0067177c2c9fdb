"""Plays of an attack's variants in turns."""

import pytest

from sim.rounds import Rounds

NAMES = ("none", "first", "second", "third")


class Failure(ValueError):
    """What was asked for cannot be had."""

    exit_code = 2


def numbered(count, seed=1):
    """Each play gives the number of plays before it; what was played in which order."""
    order = []
    found = Rounds(count, seed).play(NAMES, lambda name: order.append(name) or len(order))
    return order, found


def test_a_single_play_of_each_is_in_the_order_of_the_file():
    order, found = numbered(1)
    assert order == list(NAMES)
    assert found.of == found.numbers == {name: [k] for k, name in enumerate(NAMES, start=1)}


def test_rounds_are_whole_and_each_has_an_order_of_its_own():
    order, found = numbered(6)
    rounds = [order[start : start + 4] for start in range(0, 24, 4)]
    assert all(sorted(each) == sorted(NAMES) for each in rounds)
    assert len({tuple(each) for each in rounds}) > 3
    assert order == numbered(6)[0] != numbered(6, seed=2)[0]
    assert found.of == found.numbers
    assert found.of["first"] == [k for k, name in enumerate(order, start=1) if name == "first"]


def failing(number, error):
    """Three rounds whose play of this number fails."""
    done = []

    def play(name):
        done.append(name)
        if len(done) == number:
            raise error
        return name

    return Rounds(3).play(NAMES, play)


def test_a_failure_ends_the_plays_once_each_variant_has_one():
    found = failing(6, Failure("no grid"))
    assert sum(map(len, found.of.values())) == 5
    assert "no grid; what was played before play 6 of 12 is kept" in found.ended
    with pytest.raises(Failure):
        failing(4, Failure("no grid"))
    with pytest.raises(ValueError, match="a mistake"):
        failing(6, ValueError("a mistake"))


def test_progress_is_that_of_all_plays():
    told = []
    rounds = Rounds(2, 1, lambda share, remark: told.append((share, remark)))
    rounds.tell(0.5, "fitting")
    rounds.play(("none",), lambda name: rounds.tell(0.5, name))
    assert told == [
        (0.5, "fitting"), (0.25, "play 1 of 2: none"), (0.75, "play 2 of 2: none"),
    ]  # fmt: skip
