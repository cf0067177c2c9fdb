"""Plots show what the tables hold, stay small, and disturb nothing outside them."""

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
import synthetic

from results import Run, histogram, plots, style
from results.records import Phase

CAMPAIGN = Run(synthetic.campaign())
STEADY = Run(synthetic.steady())
HALF_LOST = Run(synthetic.steady(replications=1, lost_share=0.5))
DRAWINGS = {
    "load": lambda: plots.load(CAMPAIGN),
    "latency": lambda: plots.latency(CAMPAIGN),
    "distribution": lambda: plots.distribution(CAMPAIGN),
    "controllers": lambda: plots.controllers(CAMPAIGN),
    "topics": lambda: plots.topics(CAMPAIGN),
    "steady-load": lambda: plots.load(STEADY),
    "steady-latency": lambda: plots.latency(STEADY),
    "prediction": lambda: plots.prediction([STEADY], [HALF_LOST]),
    "lost-latency": lambda: plots.latency(HALF_LOST),
    "lost-topics": lambda: plots.topics(HALF_LOST),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_plot_is_small_well_formed_and_asks_for_nothing(name, recwarn):
    text = style.svg(DRAWINGS[name](), name, 'a "plot" of <things> & more')
    root = ElementTree.fromstring(text)
    assert root.get("aria-label") == 'a "plot" of <things> & more'
    assert root.get("viewBox")
    assert root.get("width") is None
    assert len(text) < 60_000
    assert "http" not in text
    assert not recwarn.list


def test_a_plot_says_its_words_as_text():
    text = style.svg(plots.load(CAMPAIGN), "load", "")
    said = set(re.findall(r"<text[^>]*>([^<]*)</text>", text))
    assert {"before", "flood", "after", "hostile", "legitimate", "within 1 s"} <= said
    assert "seconds since the start" in said


def test_equal_runs_give_equal_pictures_with_ids_of_their_own():
    once, twice = (style.svg(plots.load(STEADY), "a", "") for _ in range(2))
    assert once == twice
    other = style.svg(plots.load(STEADY), "b", "")
    ids = [set(re.findall(r' id="([^"]*)"', text)) for text in (once, other)]
    assert ids[0]
    assert not ids[0] & ids[1]
    assert set(re.findall(r'(?:url\(|href=")#([^")]*)', once)) <= ids[0]


def test_every_colour_follows_the_page():
    text = style.svg(plots.latency(CAMPAIGN), "x", "")
    outside = re.sub(r"var\(--[a-z]+, #[0-9a-f]{6}\)", "", text)
    assert set(re.findall(r"#[0-9a-f]{6}\b", outside)) == set()


def test_drawing_leaves_the_global_state_alone(monkeypatch):
    import matplotlib

    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)  # importing it would fail
    before = list(dict.items(matplotlib.rcParams))
    plots.controllers(CAMPAIGN)
    assert list(dict.items(matplotlib.rcParams)) == before


def test_the_curve_is_the_share_of_later_deliveries():
    latency_s = np.random.default_rng(1).exponential(1.0, 100_000)
    shown_s, later = plots.tail(histogram.count(latency_s))
    assert (np.diff(later) <= 0.0).all()
    assert later.min() < 2 * plots.SHOWN
    for at_s, share in list(zip(shown_s, later, strict=True))[::20]:
        assert share == (latency_s >= at_s).sum() / 100_000


def test_the_undelivered_stay_above_the_axis():
    _, later = plots.tail(histogram.count([1.0, 1.0, np.inf, np.inf]))
    assert later.min() == 0.5


@pytest.mark.parametrize(("length_s", "shown"), [(0.5, False), (30.0, True)])
def test_a_drain_is_shown_where_it_takes_its_time(length_s, shown):
    end_s = 120.0 + length_s
    drain = Phase(name="drain", start_s=120.0, end_s=end_s, measured=False)
    draft = synthetic.campaign(replications=1)
    draft.header = draft.header.model_copy(update={"phases": (*synthetic.CAMPAIGN, drain)})
    last = {name: values[-1:] for name, values in draft.intervals.items()}
    last |= {"phase": ["drain"], "start_s": [120.0], "end_s": [end_s], "interval": [60]}
    draft.intervals = {n: np.append(v, last[n]) for n, v in draft.intervals.items()}
    text = style.svg(plots.load(Run(draft)), "x", "")
    assert (">drain<" in text) == shown


@pytest.mark.parametrize(
    ("end_s", "unit"), [(60.0, "seconds"), (600.0, "minutes"), (86_400.0, "hours")]
)
def test_time_is_told_in_the_unit_that_fits(end_s, unit):
    _, axes = style.panels([1.0])
    style.time_axis(axes, [synthetic.CAMPAIGN[0].model_copy(update={"end_s": end_s})])
    assert axes[0].get_xlabel() == f"{unit} since the start"
    assert 4 <= len(axes[0].get_xticks()) <= 13
