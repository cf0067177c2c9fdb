"""What logins and wrong guesses cost a server: what the pilot plays, and what is fitted to it."""

import asyncio
import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

import topologies
from loadtest import casting, enactment, login_pilot
from loadtest.problems import LoadError
from topologies import overlays


def test_a_pilot_guesses_as_the_play_does_and_the_crowd_rests_meanwhile():
    laid = overlays.scenario("S-PASS", None, ["none"], real=True).attacked["none"]
    few = casting.guessing(laid, 3)
    crowd, guesser = few.platforms
    played = next(each for each in laid.platforms if each.name == "guesser")
    assert guesser.retry == played.retry.model_copy(update={"attempts": 3})
    assert (guesser.count, guesser.login, guesser.role) == (24, played.login, "adversary")
    assert [each.population for each in few.faults] == ["guesser"]
    assert crowd.name == "pilot"
    assert casting.guessing(overlays.scenario("S-HERD", real=True).attacked["none"]) is None


def test_a_refusal_costs_what_a_guess_takes_beyond_its_steps():
    shipped = topologies.read_profile("ejabberd-23").model_copy(update={"speed": 2.0})
    found = login_pilot.Found(login_s=0.006, guess_s=0.007, pace_per_s=1e7, noticed=None)
    fitted = found.fitted(shipped, login_s=0.004, guess_s=0.003)
    assert (fitted.speed, fitted.pace_per_s) == (3.0, 1e7)
    assert 3.0 * fitted.logins.deny == pytest.approx(0.007 - 1.5 * 0.003)
    cheap = login_pilot.Found(login_s=0.006, guess_s=0.0036, pace_per_s=None, noticed=None)
    slower = cheap.fitted(shipped, login_s=0.004, guess_s=0.003)
    assert (slower.speed, slower.logins.deny) == (pytest.approx(2.4), pytest.approx(0.0))
    assert cheap.fitted(shipped, login_s=0.004, guess_s=None).logins == shipped.logins


class Guessers:
    """So many of them, each of whom meant to guess so often; what they got."""

    def __init__(self, meant, outcomes):
        retry = SimpleNamespace(attempts=meant)
        self.members = [SimpleNamespace(hostile=True, retry=retry)] * 2
        self.books = SimpleNamespace(attempts=[("guesser", 0.0, 1.0, each) for each in outcomes])

    async def play(self, faults, within_s):
        pass


def test_each_of_a_series_has_the_servers_share(monkeypatch):
    asked = []

    @contextlib.contextmanager
    def held(share, pid, cores):
        asked.append((share, pid))
        yield

    @contextlib.contextmanager
    def stage(*_):
        yield SimpleNamespace(server_pid=lambda name: 7), lambda *_: None

    monkeypatch.setattr(enactment.burden, "held", held)
    monkeypatch.setattr(enactment.Enactment, "_stage", stage)
    monkeypatch.setattr(enactment.Enactment, "_audited", lambda *given: given[-2:])
    herd = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    played = enactment.Enactment(predict=None).series([herd, herd], 0.2)
    assert asked == [(0.2, 7), (0.2, 7)]
    assert played == [("point 1", 0.2), ("point 2", 0.2)]


@pytest.mark.parametrize(
    ("outcomes", "problem"),
    [(["refused: not-authorized"] * 5, "5 of 6 guesses"), (["ok"] * 6, "were not: .'ok'.")],
)
def test_a_pilot_whose_guesses_are_not_all_refused_in_time_is_none(monkeypatch, outcomes, problem):
    """What was under way at the end has cost the server something, and is in no book."""

    async def settled_s(pid):
        return 1.0

    @contextlib.contextmanager
    def held(stage):
        yield SimpleNamespace(stop=lambda: SimpleNamespace(pace_per_s=lambda from_s: None))

    monkeypatch.setattr(login_pilot.notice, "settled_s", settled_s)
    monkeypatch.setattr(login_pilot.Stage, "held", held)
    herds = Guessers(1, []), Guessers(3, outcomes)
    with pytest.raises(LoadError, match=problem):
        asyncio.run(login_pilot.guesses(login_pilot.Stage(1, 0.5, ()), herds, ()))


@pytest.mark.real
def test_a_pilot_takes_logins_and_refused_guesses_apart(shelter, monkeypatch):
    """Plain storage: a guess derives a key as a login does, and neither is much of the other."""
    few = ["platforms[$subscriber].count=4", "platforms[guesser].count=2"]
    laid = overlays.scenario("S-PASS", None, ["none"], few, real=True).attacked["none"]

    def predict(topology, **_):
        """A model by which a login takes 10 ms, and so does a guess."""
        counts = {each.name: {"logins": 1, "refused": 1} for each in topology.platforms}
        header = SimpleNamespace(measurement={"logins": counts})
        busy_s = np.array([0.01 * len(counts)])
        return SimpleNamespace(header=header, intervals={"busy_s": busy_s})

    taken_s = []

    def noting(take):
        async def noted(*asked):
            found = await take(*asked)
            taken_s.append(found[0])
            return found

        return noted

    for step in ("logins", "guesses"):
        monkeypatch.setattr(login_pilot, step, noting(getattr(login_pilot, step)))
    piloting = enactment.Enactment(predict)
    fitted = piloting.fit(laid)["controller"]
    shipped = topologies.profile(laid, "controller")
    assert all(1e-3 < each < 0.5 for each in taken_s)
    login_s, guess_s = taken_s
    speed = min(login_s, guess_s) / 0.01
    assert fitted.speed == pytest.approx(speed * shipped.speed)
    more_s = speed * shipped.speed * (fitted.logins.deny - shipped.logins.deny)
    assert more_s == pytest.approx(guess_s - speed * 0.01, abs=1e-9)
    assert fitted.logins.noticed == shipped.logins.noticed  # nobody gives up
    assert piloting.fit(laid)["controller"] == fitted  # once is enough
    assert len(taken_s) == 2
