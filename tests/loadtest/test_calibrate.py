"""A designed experiment gives back the costs that made it, and says what it cannot tell."""

import asyncio
import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

import topologies
from loadtest import costs, experiment, exponents, login_steps, session_costs
from loadtest.observation import Observation
from results import pacing
from topologies import identity, loading

TRUE = {"each": 0.6e-3, "byte": 3e-8, "copy": 60e-6, "copy_byte": 3e-9}
FAN_OUTS, SIZES = experiment.FAN_OUTS, experiment.SIZES_BYTES


def worked(cost_s, count=60, seed=1, first_s=None, gap_s=17e-6):
    """Stretches of one publication each, all cells alike; `cost_s` is what the server uses."""
    draws = np.random.default_rng(seed)
    cells = [(n, size) for n in FAN_OUTS for size in SIZES for _ in range(count)]
    n, size = np.array(cells, dtype=float).T
    spent = np.array([cost_s(*cell, draws) for cell in cells])
    first = np.array([first_s(*cell, draws) if first_s else 1e-3 for cell in cells])
    ones = np.ones(len(cells))
    last, paces = first + (n - 1) * gap_s, np.full((2, len(cells)), np.nan)
    pulses = [np.empty(0)] * len(cells)
    return experiment.Work(ones, n, size, n * size, spent, n, size, first, last, paces, pulses)


def plain(n, size, draws):
    line = costs.Linear(**TRUE)
    return line.cost_s(n, size) * (1.0 + 0.05 * draws.standard_normal())


def test_the_linear_costs_come_back_within_their_intervals():
    line, estimates = costs.linear(worked(plain))
    for name, value in TRUE.items():
        found = estimates[name]
        wide = (found["high"] - found["low"]) / 2
        assert abs(getattr(line, name) - value) < 2.0 * wide, name
    assert line.copy == pytest.approx(TRUE["copy"], rel=0.05)
    assert estimates["copy"]["high"] - estimates["copy"]["low"] < 0.1 * TRUE["copy"]


def drifting(work, exponent, seed=3, beside=0.03):
    """The same work on a core whose pace jumps between two, told a little wrongly beside it."""
    draws = np.random.default_rng(seed)
    pace_per_s = np.where(draws.random(len(work.cpu_s)) < 0.5, 6.2e7, 3.4e7)
    seen = pace_per_s * np.exp(beside * draws.standard_normal((2, len(pace_per_s))))
    slower = (6.2e7 / pace_per_s) ** exponent
    return dataclasses.replace(
        work, cpu_s=work.cpu_s * slower, first_s=work.first_s * slower,
        last_s=work.last_s * slower, paces_per_s=seen,
    )  # fmt: skip


def test_costs_of_a_core_that_changes_its_pace_are_those_at_one_pace():
    steady = worked(plain, first_s=lambda n, size, draws: 1e-3)
    moved = drifting(steady, pacing.EXPONENT)
    fixed = costs.linear(moved.at(6.2e7, 6.2e7))[0]
    assert fixed.copy == pytest.approx(TRUE["copy"], rel=0.05)
    assert fixed.copy_byte == pytest.approx(TRUE["copy_byte"], rel=0.1)
    assert costs.linear(moved)[0].copy > 1.15 * TRUE["copy"]  # as it was measured
    again = costs._writes(moved.at(6.2e7, 6.2e7))[SIZES[0]]["value"]
    assert again == pytest.approx(costs._writes(steady)[SIZES[0]]["value"], rel=0.03)


def test_beside_what_has_no_pace_the_runs_own_counts():
    work = worked(plain)
    slower = work.at(6e7, 3e7)
    assert slower.cpu_s == pytest.approx(work.cpu_s / 2.0**pacing.EXPONENT)
    assert exponents.pace(work)["value"] is None


@pytest.mark.parametrize("exponent", [0.5, 0.8, 1.2])
def test_the_exponent_of_the_pace_comes_back_though_the_pace_is_told_wrongly(exponent):
    found = exponents.pace(drifting(worked(plain, count=80), exponent, beside=0.15))
    wide = (found["high"] - found["low"]) / 2  # two standard errors
    assert abs(found["value"] - exponent) < 2.0 * wide
    assert wide < 0.1


def met(work, power, share=0.05, seed=4):
    """The same work, done pulse by pulse, on a machine in which spells of many kinds meet some."""
    draws = np.random.default_rng(seed)
    pulses, cpu_s = [], []
    for cost_s in work.cpu_s:
        hit, begins = draws.random() < share, int(draws.integers(0, 4))
        slower, lasts = draws.uniform(2.5, 8.0), int(draws.integers(2, 12))
        beaten, left_s, used_s = [], cost_s, 0.0
        while left_s > 1e-12:
            in_spell = hit and begins <= len(beaten) < begins + lasts
            beaten.append(slower if in_spell else 1.0)
            done_s = min(0.004 * beaten[-1] ** -power, left_s)
            used_s += done_s * beaten[-1] ** power
            left_s -= done_s
        pulses.append(np.array(beaten))
        cpu_s.append(used_s)
    return dataclasses.replace(work, cpu_s=np.array(cpu_s), pulses=pulses)


@pytest.mark.parametrize("power", [0.5, 0.8, 1.1])
def test_the_power_of_spells_comes_back_within_its_interval(power):
    found = exponents.spell(met(worked(plain, count=80), power))
    assert 10 <= found["n"] < 60
    half = (found["high"] - found["low"]) / 2  # two standard errors
    assert abs(found["value"] - power) < 1.5 * half
    assert half < 0.12


def test_few_spells_tell_no_power_and_say_so():
    quiet = exponents.spell(met(worked(plain), 0.8, share=0.0))
    assert quiet["value"] is None
    assert "0 lone publications" in quiet["reason"]
    assert "no pulses beat" in exponents.told(worked(plain))["spell_exponent"]["reason"]


def collected(base):
    """Prosody's cost with cycles that fall where the allocation reaches them."""
    debt = [0.0]

    def cost_s(n, size, draws):
        per_copy = 1.0 + base.allocation_per_byte * (size - 400.0) + base.allocation_write
        debt[0] += n * per_copy + base.allocation_publish
        cycles, debt[0] = divmod(debt[0], base.collection_every)
        own_s = base.publish + base.publish_per_byte * size + base.acknowledge
        own_s += n * (base.build + base.write + size * (base.build_per_byte + base.write_per_byte))
        own_s *= 1.0 + 0.05 * draws.standard_normal()
        return own_s + cycles * base.collection * (1.0 + 0.1 * draws.standard_normal())

    return cost_s


def test_prosodys_collection_is_told_from_its_other_costs():
    profile = topologies.read_profile("prosody-0.12")
    true = profile.costs
    work = worked(collected(true), count=150, gap_s=true.write + 400 * true.write_per_byte)
    fitted = costs.fit(work, profile)
    assert fitted.costs.collection == pytest.approx(true.collection, rel=0.1)
    assert fitted.costs.collection_every == pytest.approx(true.collection_every, rel=0.25)
    assert fitted.costs.build == pytest.approx(true.build, rel=0.35)
    assert fitted.costs.write == pytest.approx(true.write, rel=0.1)
    assert fitted.figures["collection"]["n"] > 20
    assert "collection" not in fitted.kept
    assert "allocation_write" in fitted.kept


def test_where_there_are_no_pauses_none_are_made_up():
    profile = topologies.read_profile("prosody-0.12")
    assert costs.pauses(worked(plain, count=150), SIZES[0]) is None
    fitted = costs.fit(worked(plain, count=150), profile)
    assert "do not fall into two groups" in fitted.kept["collection"]


def test_ejabberds_set_up_shows_in_its_first_copies():
    profile = topologies.read_profile("ejabberd-23")
    true = profile.costs
    per_copy_s = true.route + true.write + true.setup_per_subscriber

    def cost_s(n, size, draws):
        return (true.setup + true.finish + n * per_copy_s) * (1 + 0.03 * draws.standard_normal())

    def first_s(n, size, draws):
        return 0.9e-3 + n * true.setup_per_subscriber + 0.05e-3 * abs(draws.standard_normal())

    fitted = costs.fit(worked(cost_s, first_s=first_s), profile)
    assert fitted.costs.setup_per_subscriber == pytest.approx(true.setup_per_subscriber, rel=0.1)
    assert fitted.costs.write / fitted.costs.route == pytest.approx(true.write / true.route)
    assert fitted.costs.write == pytest.approx(true.write, rel=0.05)
    assert "only its sum with write is seen" in fitted.kept["route"]


def test_a_profile_of_no_server_is_not_fitted():
    with pytest.raises(ValueError, match="is of no server"):
        costs.fit(worked(plain), topologies.read_profile("fifo-sketch"))


def test_what_was_in_flight_together_shares_what_was_used():
    """20 ms of work each, and the third comes while the second is worked."""
    publications = {
        "sent_s": np.array([1.0, 2.0, 2.01, 3.0]),
        "intended_s": np.array([1.0, 2.0, 2.0, 3.0]),
        "first_s": np.array([1.015, 2.015, 2.03, 3.015]),
        "last_s": np.array([1.02, 2.02, 2.04, 3.02]),
        "expected": np.full(4, 50),
        "delivered": np.full(4, 50),
        "payload_bytes": np.array([400, 400, 4000, 4000]),
    }
    start_s = 100.0
    time_s = start_s + np.arange(0.0, 4.0, 0.004)
    busy = [(1.0, 1.02), (2.0, 2.04), (3.0, 3.025)]
    used = sum(np.clip(time_s - start_s - a, 0.0, b - a) for a, b in busy)
    zeros = np.zeros(len(time_s))
    spun_s = np.diff(
        (time_s - start_s) - used, prepend=0.0
    )  # an idle loop has the rest of the core
    spun = np.array([time_s, spun_s * np.where(time_s < start_s + 2.5, 6e7, 3e7), spun_s])
    in_spell = (time_s >= start_s + 2.004) & (time_s < start_s + 2.03)
    pulses = np.array([time_s + 1e-3, np.where(in_spell, 80e-6, 20e-6)])
    seen = Observation(time_s, used, zeros, zeros.astype(int), spun, pulses, False)
    work = experiment.work(SimpleNamespace(publications=publications), seen, start_s)
    assert work.count.tolist() == [1.0, 2.0, 1.0]
    assert work.cpu_s == pytest.approx([0.02, 0.04, 0.025], abs=1e-9)
    assert work.copied_bytes.tolist() == [50 * 400.0, 50 * 4400.0, 50 * 4000.0]
    assert work.last_s[0] == pytest.approx(0.02)
    assert math.isnan(work.last_s[1])
    assert work.paces_per_s == pytest.approx(np.array([[6e7, 6e7, 3e7]] * 2), rel=0.01)
    assert work.cell(50, 4000).tolist() == [False, False, True]
    assert [len(each) for each in work.pulses] == [5, 10, 5]
    assert [each.max() for each in work.pulses] == pytest.approx([1.0, 4.0, 1.0])
    assert work.pulses[1][[0, -1]] == pytest.approx([1.0, 1.0])


@pytest.mark.parametrize("most", [420, 60, 3])
def test_the_experiment_fits_the_topologys_platforms(most):
    changes = [f"platforms[1].count={most}"]
    light = experiment.designed(topologies.load("single-broker", changes), "controller")
    fan_outs = sorted(set(light.fan_out().values()))
    assert len(fan_outs) == 3
    assert fan_outs[-1] <= max(12, min(400, most + 2))
    assert topologies.Plan(light, seed=1).rows > 100
    full = experiment.saturated(light, 33.0)
    asked = {topic: rate for topic, rate in topologies.offered(full).items() if rate}
    assert asked == {light.topics[2].name: 33.0}
    assert full.platforms == light.platforms


def test_a_bisection_ends_where_the_model_costs_what_was_measured():
    assert costs.crossing(lambda x: x**3 - 0.3, 0.0, 1.0, steps=20)[0] == pytest.approx(
        0.3 ** (1 / 3), abs=1e-5
    )
    assert costs.crossing(lambda x: x + 1.0, 0.0, 1.0) == (0.0, False)
    assert costs.crossing(lambda x: x - 3.0, 0.0, 1.0) == (1.0, False)


def test_logins_scale_to_the_totals_that_were_measured():
    base = topologies.read_profile("prosody-0.12")

    def estimate(value):
        return {"value": value, "low": value, "high": value, "n": 40}

    share = {"accept": 0.2, "starttls": 0.1, "tls": 0.2, "streams": 0.12, "sasl_first": 0.05,
             "sasl_final": 0.18, "bind": 0.15}  # fmt: skip
    shares = {f"login_share_{name}": estimate(value) for name, value in share.items()}
    measured = {"scram": estimate(9.2e-3), "plain": estimate(12e-3)}
    logins = session_costs.scaled(base, measured, shares)["logins"]
    common = logins.accept + logins.starttls + logins.tls[0].cost + 2 * logins.stream + logins.bind
    scram = next(each for each in logins.sasl if each.mechanism == "scram-sha-1")
    plain_ = next(each for each in logins.sasl if each.mechanism == "plain")
    assert common + scram.first + scram.final == pytest.approx(9.2e-3)
    assert common + plain_.first == pytest.approx(12e-3)
    assert logins.accept == pytest.approx(0.2 * 9.2e-3)
    assert logins.stream == pytest.approx(0.06 * 9.2e-3)
    assert (scram.first, scram.final) == pytest.approx((0.05 * 9.2e-3, 0.18 * 9.2e-3))
    more_s = (logins.tls[1].cost - logins.tls[0].cost) / logins.accept
    whole = [base.logins.tls[k].cost for k in (0, 1)]
    assert more_s == pytest.approx((whole[1] - whole[0]) / (0.2 * 4.6e-3))
    assert session_costs.scaled(base, {}, shares) == {}


@pytest.mark.parametrize("name", ["prosody-0.12", "ejabberd-23"])
def test_a_written_profile_reads_back_the_same(name):
    profile = topologies.read_profile(name).model_copy(
        update={"speed": 1.23456789, "pace_per_s": 4.2e7}
    )
    assert loading.parse_profile(identity.profile_text(profile), "again.yaml") == profile


def test_a_profile_reads_back_whose_figures_came_from_a_fit():
    profile = topologies.read_profile("prosody-0.12")
    fitted = profile.costs.model_copy(update={"publish": np.float64(1e-3)})
    text = identity.profile_text(profile.model_copy(update={"costs": fitted}))
    assert loading.parse_profile(text, "fitted.yaml").costs.publish == 1e-3


def test_the_shares_of_a_logins_steps_are_those_of_the_servers_clock(monkeypatch):
    """A server that takes k ms of CPU for the k-th step of each client."""
    used_s = [0.0]

    class Client:
        def __init__(self, door, account):
            self.account = account

        async def begin(self, step):
            used_s[0] += 1e-3 * (1 + login_steps.STEPS.index(step))

        def say(self, text):
            used_s[0] += 2e-3  # presence, which belongs to the last step

        def close(self):
            pass

    async def settled_s(pid):
        return used_s[0]

    async def opened(door):
        async def leave():
            pass

        return SimpleNamespace(mechanisms=["SCRAM-SHA-1"], leave=leave)

    door = SimpleNamespace(address="127.0.0.1", port=1, domain="a.test", context=None)
    grid = SimpleNamespace(credentials=lambda: {f"group-1-{k}@a.test": "x" for k in range(60)})
    monkeypatch.setattr(login_steps, "Caller", Client)
    monkeypatch.setattr(login_steps, "settled_s", settled_s)
    monkeypatch.setattr(login_steps, "door_of", lambda grid: door)
    monkeypatch.setattr(login_steps.Dialogue, "open", opened)
    found = asyncio.run(login_steps.shares(grid, 1))
    values = {name.removeprefix("login_share_"): each["value"] for name, each in found.items()}
    assert sum(values.values()) == pytest.approx(1.0)
    assert values["accept"] == pytest.approx(1 / 38)
    assert values["streams"] == pytest.approx((4 + 7) / 38)
    assert values["bind"] == pytest.approx((8 + 2) / 38)
    section = topologies.read_profile("prosody-0.12").logins
    unknown = {name: {**each, "value": None} for name, each in found.items()}
    assert login_steps.split(section, unknown) is section
