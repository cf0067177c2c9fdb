"""An attack with and without defences: toggles move metrics; figures are what they say."""

import numpy as np
import pytest
from click.testing import CliRunner

import gridlab
from results import impact
from results.figures import Figures
from results.impact_table import render
from sim import defences
from sim.replications import simulate
from topologies import overlays

FILE = """\
schema: 1
id: S-TEST
title: a flood for the tests
reference: RFC 8600 section 8.2.2
hypothesis: the limit helps
headline: goodput_per_s
base: single-broker
changes: [workload.duration=40 s]
platforms:
  - {name: thief, count: 20, controller: $controller, role: adversary, publishes: [$topic]}
attacks:
  - kind: publish-flood
    name: flood
    by: thief
    topic: $topic
    start: 10 s
    duration: 10 s
    rate: 150/s
    size: 1.6 KB
defences:
  - name: none
  - name: limit
    changes: ["controllers[$controller].limits={account: {rate: 6/s, burst: 20}}"]
  - name: strangling
    changes: ["controllers[$controller].limits={account: {rate: 1/s, burst: 1}}"]
"""


@pytest.fixture(scope="module")
def document(tmp_path_factory):
    path = tmp_path_factory.mktemp("attack") / "s-test.yaml"
    path.write_text(FILE)
    return defences.attack(overlays.scenario(path), seed=3, replications=4).document


@pytest.fixture(scope="module")
def by_name(document):
    return {each["defence"]: each for each in document["variants"]}


def test_a_flood_ruins_and_even_a_strangling_limit_delivers_more(by_name):
    """Twenty connections that send all they can leave the honest two a small share of the loop."""
    assert by_name["none"]["goodput_per_s"]["high"] < by_name["strangling"]["goodput_per_s"]["low"]
    assert by_name["none"]["p99_s"]["low"] > 10.0


def test_a_limit_for_each_account_does_not_help_against_many_accounts(by_name):
    goodput = [by_name[name]["goodput_per_s"] for name in ("none", "limit")]
    assert goodput[1]["low"] < goodput[0]["high"]


def test_a_limit_too_tight_costs_the_honest(by_name):
    """Two reporters publish six items a second together: one each a second refuses most of them."""
    assert by_name["none"]["collateral"]["value"] == 0.0
    assert by_name["strangling"]["collateral"]["low"] > 0.3
    assert by_name["limit"]["collateral"]["value"] < by_name["strangling"]["collateral"]["value"]


def test_each_hostile_publication_makes_as_many_copies_as_there_are_subscribers(by_name):
    amplified = by_name["none"]["amplification"]
    assert amplified["messages"]["value"] == pytest.approx(200.0)
    payload, envelope = 1600.0, 193.0
    wire = 200 * (payload + 380.0) / (payload + envelope)
    assert amplified["bytes"]["value"] == pytest.approx(wire, rel=1e-6)


def test_the_table_has_a_row_for_each_defence(document):
    from rich.console import Console

    console = Console(width=160, record=True)
    console.print(render(document))
    text = console.export_text()
    assert all(name in text for name in ("none", "limit", "strangling", "S-TEST"))


def test_the_table_has_the_figures_that_differ(document):
    from results.impact_table import _own

    figures = [
        {"headline": 1.0, "same": 2.0, "a": 1.0, "b": 1.0, "c": 1.0, "last": 1.0},
        {"headline": 1.0, "same": 2.0, "a": 2.0, "b": 2.0, "c": 2.0, "last": 2.0},
    ]
    variants = [
        {"figures": {name: {"value": v, "low": v, "high": v, "n": 2} for name, v in each.items()}}
        for each in figures
    ]
    made = {**document, "headline": "headline", "variants": variants}
    assert _own(made) == ["headline", "a", "b", "c", "last"]


def test_topics_that_nobody_floods_have_a_figure_of_their_own(by_name):
    assert "other_topics_p99_s" not in by_name["none"]["figures"]  # there is one Topic
    laid = overlays.scenario("S-FLOOD", None, ["none"], real=True)
    (attacked,), (calm,) = (
        [simulate(each, seed=2, replications=2, processes=1, door="a test") for each in side]
        for side in (laid.attacked.values(), laid.calm.values())
    )
    window = defences.window(laid.attacked["none"])
    shown = impact.variant("none", "", (attacked, calm), calm, window, "goodput")
    flooded = [each.name for each in attacked.header.phases
               if each.measured and 4.0 <= each.start_s < 10.0]  # fmt: skip
    alone = Figures([attacked], flooded).latency("notices").sample(0.99)
    assert shown.sample("other_topics_p99_s").value == alone.value
    assert alone.value > 10.0 * Figures([calm]).latency("notices").sample(0.99).value


def test_platforms_are_whole_again_so_long_after_the_start_of_the_trouble():
    from results.impact import _whole_s

    share, edges_s = np.array([1.0, 0.2, 0.6, 1.0]), np.array([5.0, 10.0, 15.0, 20.0])
    assert _whole_s(share, edges_s, 6.0) == 14.0
    assert _whole_s(share[:3], edges_s, 6.0) == np.inf


@pytest.mark.parametrize(
    "more",
    [["--defence", "none"], ["--replications", "3"], ["--report", "x.html"], ["--out", "runs"],
    ],
)  # fmt: skip
def test_a_phase_diagram_refuses_what_it_would_ignore(more, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = CliRunner().invoke(gridlab.cli, ["attack", "S-HERD", "--phase", *more])
    assert asked.exit_code == 2
    assert more[0] in asked.stderr
