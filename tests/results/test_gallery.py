"""A run in a notebook: its pictures by name, its figures as a frame, its answer as HTML."""

import re
from html.parser import HTMLParser

import pytest
import synthetic

from results import RecordError, Run, plots
from results.gallery import Gallery


@pytest.fixture(scope="module")
def run():
    return Run(synthetic.steady(replications=3))


@pytest.mark.parametrize("name", ["load", "latency", "distribution", "controllers", "topics"])
def test_each_picture_is_the_plot_of_that_name(run, name):
    made, wanted = getattr(run.plot, name)(), getattr(plots, name)(run)
    titles = [[axes.get_title(loc="left") for axes in figure.axes] for figure in (made, wanted)]
    assert titles[0] == titles[1]
    assert any(titles[0])


def test_every_plot_of_one_run_is_in_the_gallery():
    of_one_run = {"load", "latency", "distribution", "controllers", "topics", "sessions"}
    named = {name for name in vars(Gallery) if not name.startswith("_")}
    assert named == of_one_run | {"waterfall"}


@pytest.mark.parametrize(("name", "word"), [("sessions", "outage"), ("waterfall", "followed")])
def test_what_the_run_does_not_hold_is_refused(run, name, word):
    with pytest.raises(RecordError, match=word):
        getattr(run.plot, name)()


def test_figures_are_those_of_the_summary(run):
    frame, phase = run.figures(), run.summary()["phases"][0]
    assert list(frame.columns) == [(phase["name"], end) for end in ("value", "low", "high")]
    p99 = phase["latency_s"]["p99"]
    shown = frame.loc["latency_p99_s"].tolist()
    assert shown == [p99[end] for end in ("value", "low", "high")]


class Shape(HTMLParser):
    """Counts what opens and closes."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_jupyter_shows_headline_and_table(run):
    text, shape = run._repr_html_(), Shape()
    shape.feed(text)
    assert shape.open == []
    assert shape.tags <= {"p", "b", "br", "table", "thead", "tbody", "tr", "th", "td"}
    assert run.summary()["headline"] in text
    assert "Latency p99" in text
    assert not re.search(r"\d{8}T\d{6}", text + repr(run))  # no run ids: they differ each time


def test_what_a_file_says_is_text_and_no_markup():
    draft = synthetic.steady(replications=1)
    topology = draft.header.topology.model_copy(update={"name": "<script>x</script>"})
    draft.header = draft.header.model_copy(update={"topology": topology})
    text = Run(draft)._repr_html_()
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
