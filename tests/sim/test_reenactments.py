"""Predictions beside what was played, on a real side that the model itself plays."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from results import pacing
from results.impact_table import render
from results.statistics import Sample
from results.variants import Measured
from sim import agreements, logins, pulled, real_phases, reenactments, returned
from sim.replications import simulate
from sim.rounds import Rounds
from topologies import TopologyError, overlays, profile
from topologies.loading import varied

QUICK = [
    "workload.duration=3 s",
    "faults[reconnect].duration=500 ms",
    "faults[reconnect].spread=500 ms",
    "platforms[guesser].count=4",
    "platforms[guesser].network={delay: 5 ms}",
]
SMALL = ["platforms[$subscriber].count=20", "workload.duration=10 s"]


class Mirror:
    """A real grid that does what the model says with other draws, and keeps what it was asked."""

    def __init__(self):
        self.asked, self.known = [], set()

    def fit_logins(self, topology, share):
        self.asked.append(("fit", share))

    def predicted(self, topology):
        self.known.add(topology.model_dump_json())

    def come_back(self, topology, defence, share):
        assert topology.model_dump_json() in self.known
        self.asked.append((defence, share))
        run = simulate(topology, seed=9, replications=1, processes=1, door="a test")
        return returned.foretold(defence, topology, run)

    def series(self, topologies, share):
        return [self.come_back(each, "point", share) for each in topologies]

    def fit_procedure(self, procedure, topology):
        self.asked.append(("fit", procedure.model))
        return procedure

    def perform(self, procedure, topology, defence):
        assert topology.model_dump_json() in self.known
        self.asked.append((defence, procedure.model))
        return reenactments._foretold(defence, procedure, topology, 9)

    def fit(self, topology):
        self.asked.append(("fit", topology.controllers[0].profile))
        return {"controller": profile(topology, "controller")}

    def pull(self, topology, defence):
        assert topology.model_dump_json() in self.known
        self.asked.append((defence, topology.topics[0].flow))
        run = simulate(topology, seed=9, replications=1, processes=1, door="a test")
        return pulled.foretold(defence, topology, run)

    def noticed(self):
        figures = {"paid_s": 1e-3, "abandoned_s": 1e-3, "ended_s": 0.0, "noticed": 0.0}
        known = {**figures, "low": -0.1, "high": 0.1, "rounds": 4}
        return [{"step": "sasl", **known}, {"step": "all", **known, "high": 0.9}]


def test_every_variant_is_predicted_before_the_first_is_played():
    laid = overlays.scenario("S-HERD", None, ["patience"], SMALL, real=True)
    mirror = Mirror()
    document = reenactments.compared(laid, mirror, seed=2).document
    assert [name for name, _ in mirror.asked] == ["fit", "fit", "none", "patience"]
    assert [each["defence"] for each in document["measured"]] == ["none", "patience"]
    ratios = {(each["defence"], each["figure"]): each["ratio"] for each in document["agreement"]}
    assert ratios["patience", "makespan_s"] == pytest.approx(1.0, abs=0.5)
    assert ratios["patience", "online_share"] == 1.0
    assert document["headline"] == "makespan_s"
    console = Console(width=160, record=True)
    console.print(render(document))
    text = console.export_text()
    assert "dropped unpaid: sasl 0 % (-10 to 10)" in text
    assert "In doubt: the share of abandoned steps" in text
    assert [each for each in document["agreement"] if each["ratio_low"] is not None]
    assert reenactments.unsure(mirror.noticed()[:1]) == []
    below = {**mirror.noticed()[1], "low": -0.5, "high": -0.1}
    assert ["below 0" in each for each in reenactments.unsure([below])] == [True]


def test_guesses_are_predicted_on_the_share_that_the_server_gets():
    laid = overlays.scenario("S-PASS", None, ["none"], QUICK, real=True)
    mirror = Mirror()
    document = reenactments.compared(laid, mirror, seed=2).document
    assert mirror.asked[0] == ("fit", pytest.approx(1 / 3))
    guesses = document["variants"][0]["figures"]["guesses_per_s"]["value"]
    assert 20.0 < guesses < 95.0  # 11 ms an attempt on a whole core, and 4 at a time


@pytest.mark.parametrize("mechanism", ["scram-sha-1", "plain"])
def test_a_refusal_is_paid_for_where_a_password_is_found_to_be_wrong(mechanism):
    laid = overlays.scenario("S-PASS", None, ["none"], QUICK, real=True).attacked["none"]
    shipped = profile(laid, "controller")
    costly = shipped.logins.model_copy(update={"deny": 0.002})
    dearer = shipped.model_copy(update={"speed": 3.0, "logins": costly})
    guesser = next(each for each in laid.platforms if each.name == "guesser")
    wrong = guesser.login.model_copy(update={"mechanism": mechanism})
    right = wrong.model_copy(update={"password": "right"})
    ladders = [logins.steps(guesser, each, dearer) for each in (right, wrong)]
    more_s = [other.work_s - one.work_s for one, other in zip(*ladders, strict=True)]
    proof = logins.proof_of(ladders[1])
    assert more_s[proof] == pytest.approx(3.0 * 0.002)
    assert more_s[:proof] + more_s[proof + 1 :] == [0.0] * (len(more_s) - 1)


@pytest.mark.parametrize(
    ("name", "defences", "figure"),
    [
        ("S-DUEL", ["none", "quiet-rotation"], "exposed_s"),
        ("S-BIGQ", ["none", "fewer-kept"], "p99_s"),
    ],
)
def test_what_programs_do_is_predicted_before_the_first_is_played(name, defences, figure):
    laid = overlays.scenario(name, None, defences, ["procedure.duration=20 s"], real=True)
    mirror = Mirror()
    document = reenactments.compared(laid, mirror, seed=2).document
    assert [who for who, _ in mirror.asked] == ["fit", "fit", *defences]
    assert document["agreement"][0]["figure"] == document["headline"] == figure
    assert document["agreement"][0]["ratio"] == pytest.approx(1.0, abs=0.3)


def test_items_that_all_fetch_are_predicted_before_the_first_is_played():
    small = ["platforms[$subscriber].count=20", "workload.duration=12 s"]
    laid = overlays.scenario("S-PULL", None, ["four-at-a-time", "pushed"], small, real=True)
    mirror = Mirror()
    document = reenactments.compared(laid, mirror, seed=2).document
    names = ["none", "four-at-a-time", "pushed"]
    flows = dict(zip(names, ("direct", "direct", "broker"), strict=True))
    assert mirror.asked == [("fit", "prosody-0.12"), *flows.items()]
    assert document["headline"] == document["agreement"][0]["figure"] == "p99_s"
    figures = {each["defence"]: each["figures"] for each in document["variants"]}
    herd_s = 20 * 31.5e3 / 1e6
    for name in names[:2]:  # four at a time are evenly served one after another: the last is alike
        assert figures[name]["all_there_s"]["value"] == pytest.approx(herd_s, abs=0.02)
        assert figures[name]["publisher_bytes"]["value"] == pytest.approx(20 * 31.5e3 + 400)
    assert figures["none"]["p50_s"]["value"] == pytest.approx(herd_s, rel=0.05)
    third = figures["four-at-a-time"]["p50_s"]["value"]  # of five groups of four
    assert third == pytest.approx(0.6 * herd_s, rel=0.05)
    assert figures["pushed"]["publisher_bytes"]["value"] == 30e3
    assert figures["pushed"]["broker_bytes"]["value"] > 20 * 30e3


def test_what_people_do_is_not_played():
    laid = overlays.scenario("S-CLOCK", None, ["none"], real=True)
    with pytest.raises(TopologyError, match="people and programs"):
        reenactments.compared(laid, Mirror())


def test_a_herd_of_the_diagram_loses_all_at_once_and_goes_by_its_cap():
    laid = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    herd = real_phases.herd(laid, 300, 0.5, 1.0)
    reporter, analyst = herd.platforms
    assert (reporter.login, analyst.count) == (None, 300)
    assert (analyst.retry.cap, analyst.retry.base, analyst.retry.first) == (0.5, 0.5, 0.0)
    assert [each.kind for each in herd.faults] == ["outage"]
    point = real_phases._point(0.5, herd, 0.01, 1.0, 0.2, 1.0)
    assert point["work_s"] == 3.0
    assert (point["foretold"], point["predicted_drained"], point["drained"]) == (False, False, True)


def test_no_herd_of_the_diagram_is_held_back_by_the_caps_however_quick_the_server(monkeypatch):
    """A login of 2 ms: with a patience of a second the largest herd would be 1,750 at once."""
    asked = []
    monkeypatch.setattr(real_phases, "_login_s", lambda *_: 2e-3)
    monkeypatch.setattr(real_phases, "simulate", lambda *_, **__: None)
    told = Measured("herd", "", {"online_share": Sample(1.0)})
    monkeypatch.setattr(real_phases, "foretold", lambda *_: told)
    mirror = Mirror()
    mirror.series = lambda herds, share: [asked.append(each) or told for each in herds]
    document = real_phases.points(mirror)
    assert mirror.asked == [("fit", real_phases.SHARE)]
    sizes = [max(each.count for each in topology.platforms) for topology in asked]
    assert max(sizes) == real_phases.PLATFORMS_MAX
    assert document["patience_s"] == pytest.approx(850 * 2e-3 / 9.0)
    for point, (size, cap) in zip(document["points"], real_phases.PLACES, strict=True):
        assert point["work_s"] == pytest.approx(size * document["patience_s"], rel=0.01)
        assert point["cap_s"] == cap * document["patience_s"]
        line_s = 2.0 * (point["work_s"] - 2.0 * document["patience_s"])
        assert point["foretold"] == (point["cap_s"] > line_s)
        assert point["given_pace_share"] is point["given_cost_share"] is point["cost_ratio"] is None
    assert document["given_pace_right"] is document["given_cost_right"] is None


def test_the_model_of_a_herd_is_told_how_fast_the_servers_core_was_in_the_play():
    laid = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    small = real_phases.herd(laid, 60, 4.0, 1.0)
    shipped = profile(laid, "controller").model_copy(update={"pace_per_s": 4e7, "speed": 4.0})
    shares = []
    for pace_per_s in (4e7, 4e5):  # 20 times as slow, no herd of 60 is through in a second
        played = Measured("herd", "", {"pace_per_s": Sample(pace_per_s)})
        told = real_phases._told(small, {"controller": shipped}, played, 0.02, 1)
        shares.append(told["given_pace_share"])
    assert shares[0] == 1.0
    assert shares[1] < 0.9
    unknown = {"controller": shipped.model_copy(update={"pace_per_s": None})}
    assert real_phases._told(small, unknown, played, 0.02, 1)["given_pace_share"] is None


def test_what_messages_cost_in_a_play_is_read_off_how_far_attempts_came():
    """100 attempts, half of them up to TLS; a login costs the sum of its steps."""
    laid = overlays.scenario("S-HERD", None, ["none"], real=True).attacked["none"]
    small = real_phases.herd(laid, 60, 4.0, 1.0)
    shipped = {"controller": profile(laid, "controller")}
    works_s = [
        each.work_s
        for each in logins.steps(small.platforms[1], small.platforms[1].login, *shipped.values())
    ]
    login_s = 4.0 * sum(works_s)  # on a fifth of its core, with what no step has
    meant_s = (0.2 * login_s) * (50.0 + 50.0 * sum(works_s[:3]) / sum(works_s))
    used = Sample(1.5 * meant_s / small.workload.duration)
    played = Measured(
        "herd", "", {"server_cpu_share": used}, messages=(100, 100, 100, 50, 50, 50, 50, 50)
    )
    ratio = returned.cost_ratio(small, played, shipped, login_s, 0.2)
    assert ratio == pytest.approx(1.5)
    told = real_phases._told(small, shipped, played, login_s, 1)
    assert told["cost_ratio"] == pytest.approx(1.5)
    assert told["given_cost_share"] == 1.0
    silent = replace(played, messages=())
    assert returned.cost_ratio(small, silent, shipped, login_s, 0.2) is None


def test_a_file_says_what_is_played_of_it():
    laid = overlays.scenario("S-PASS", real=True)
    assert not laid.procedures
    assert list(laid.attacked) == ["none", "stored-keys", "plain-mechanism"]
    assert laid.share == pytest.approx(1 / 3)
    flood = overlays.scenario("S-FLOOD", real=True)
    assert flood.base == "single-broker"
    assert flood.attacked["none"].attacks[0].rate == 200.0
    assert varied(flood.attacked["none"], ["workload.duration=30 s"]).workload.duration == 30.0


def test_a_theft_is_predicted_with_the_reads_of_honey_that_it_is_played_with():
    laid = overlays.scenario("S-REVOKE", None, ["honeytokens-3"], real=True)
    procedure, topology = laid.procedures["honeytokens-3"], laid.attacked["honeytokens-3"]
    foretold = reenactments._foretold_thefts("honeytokens-3", procedure, topology, 1)
    firsts = [min(procedure.honey_reads(1, theft)) + 1.0 for theft in range(4)]
    assert foretold.sample("reads_to_alarm").parts.tolist() == firsts
    assert len(set(firsts)) > 1
    exposed = foretold.sample("exposed_items")
    again = agreements.agreement("exposed_items", foretold, foretold)
    assert (again["ratio_low"], again["ratio_high"]) == pytest.approx((1.0, 1.0))
    assert len(exposed.parts) == 4


def test_one_run_beside_replications_is_taken_to_vary_as_they_do():
    parts = np.array([9.0, 10.0, 11.0, 10.0])
    predicted = Measured("none", "", {"makespan_s": Sample(10.0, parts, 0.0)})
    played = Measured("none", "", {"makespan_s": Sample(12.0, np.array([12.0]), 0.0)})
    found = agreements.agreement("makespan_s", predicted, played)
    assert found["ratio"] == 1.2
    spread = np.std(parts, ddof=1) / 10.0
    half = found["ratio_high"] - 1.2
    assert 2.0 * spread * (1.0 + 1 / 4) ** 0.5 < half < 4.0 * spread * (1.0 + 1.44 / 4) ** 0.5


class Gone(ValueError):
    """What was asked for cannot be had."""

    exit_code = 2


class Unsteady(Mirror):
    """A mirror whose plays of a herd take so many seconds longer, until none is left."""

    def __init__(self, later_s):
        super().__init__()
        self.later_s = list(later_s)

    def come_back(self, topology, defence, share):
        if not self.later_s:
            raise Gone("the machine went away")
        played = super().come_back(topology, defence, share)
        later = {"makespan_s": played.samples["makespan_s"].later(self.later_s.pop(0))}
        return replace(played, samples={**played.samples, **later})


def repeated(mirror, count):
    laid = overlays.scenario("S-HERD", None, ["patience"], SMALL, real=True)
    return reenactments.compared(laid, mirror, seed=2, rounds=Rounds(count, 2)).document


def test_of_several_plays_the_medians_are_laid_beside_the_prediction():
    once = repeated(Unsteady([0.0, 0.0]), 1)
    mirror = Unsteady([0.1, 0.1, 0.0, 0.0, 7.0, 7.0])
    document = repeated(mirror, 3)
    names = [name for name, _ in mirror.asked if name != "fit"]
    assert [sorted(names[k : k + 2]) for k in (0, 2, 4)] == [["none", "patience"]] * 3
    for each, single in zip(document["measured"], once["measured"], strict=True):
        assert each.keys() - single.keys() == {"plays"}
        alone = single["figures"]["makespan_s"]["value"]
        shown = each["figures"]["makespan_s"]
        assert (shown["value"], shown["n"]) == (pytest.approx(alone + 0.1), 3)
        assert shown["high"] > shown["value"] + 7.0  # three that differ so much say little
        found = [play["figures"]["makespan_s"] - alone for play in each["plays"]]
        assert found == pytest.approx([0.1, 0.0, 7.0])
        assert [-(-play["number"] // 2) for play in each["plays"]] == [1, 2, 3]
        row = next(
            row
            for row in document["agreement"]
            if (row["defence"], row["figure"]) == (each["defence"], "makespan_s")
        )
        assert row["measured"] == shown
        assert row["ratio_low"] < row["ratio"] < row["ratio_high"]
    console = Console(width=160, record=True)
    console.print(render(document))
    assert "makespan [s] of single plays, and their median:" in console.export_text()


def test_what_was_played_is_kept_if_a_later_play_fails():
    document = repeated(Unsteady([0.0, 0.0, 0.2]), 3)
    counts = sorted(len(each.get("plays", [0])) for each in document["measured"])
    assert counts == [1, 2]
    assert (
        "the machine went away; what was played before play 4 of 6 is kept" in document["doubts"][0]
    )
    with pytest.raises(Gone, match="went away"):
        repeated(Unsteady([0.0]), 3)


class Flooded(Mirror):
    """Traffic on a machine that gets slower from play to play."""

    def __init__(self, pace_per_s=None):
        super().__init__()
        self.speed, self.pace_per_s = 1.0, pace_per_s

    def fit(self, topology):
        costs = super().fit(topology)["controller"]
        return {"controller": costs.model_copy(update={"pace_per_s": self.pace_per_s})}

    def play(self, topology):
        assert topology.model_dump_json() in self.known
        self.speed *= 1.1
        slower = profile(topology, "controller").model_copy(update={"speed": self.speed})
        run = simulate(topology, seed=2, replications=1, profiles={"controller": slower},
                       processes=1, door="a test")  # fmt: skip
        if self.pace_per_s is not None:
            pace_per_s = self.pace_per_s * self.speed ** (-1.0 / pacing.EXPONENT)
            server = {"pace_per_s": {"controller": pace_per_s}}
            run.header = run.header.model_copy(update={"measurement": {"server": server}})
        return run


@pytest.mark.parametrize(("told_of", "pace_per_s"), [("given_cost", None), ("given_pace", 4e7)])
def test_traffic_is_told_the_cost_and_the_pace_of_each_of_its_plays(told_of, pace_per_s):
    changes = ["workload.duration=8 s", "attacks[flood].start=2 s", "attacks[flood].duration=3 s"]
    laid = overlays.scenario("S-FLOOD", None, ["none"], changes, real=True)
    document = reenactments.compared(
        laid, Flooded(pace_per_s), seed=2, rounds=Rounds(3, 2)
    ).document
    blind, told = (
        next(row for row in document[side] if row["figure"] == "other_topics_p99_s")
        for side in ("agreement", told_of)
    )
    assert blind["measured"] == told["measured"]
    assert (told["predicted"]["n"], told["measured"]["n"]) == (3, 3)
    assert abs(told["ratio"] - 1.0) < 0.5 * (blind["ratio"] - 1.0)
    assert told["ratio_high"] - told["ratio_low"] < blind["ratio_high"] - blind["ratio_low"]
    assert ("given_pace" in document) == (pace_per_s is not None)
