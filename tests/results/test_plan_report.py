"""The page about a plan: whole, alone, readable by machine and man; the same as Markdown."""

import re
import xml.etree.ElementTree as tree

import pytest

from results import plan_report
from results.plan_report import Subject
from results.records import RecordError

ESTIMATE = {"value": 0.08, "low": 0.07, "high": 0.09, "n": 4}
LATE = {"value": 0.95, "low": 0.4, "high": 1.5, "n": 4}


def trial(cores, verdict, *, case="normal", load=1.0, p99=None, reason="", held_s=0.0):
    return {
        "controller": "hub", "controllers": 1, "cores": cores, "arrangement": "subscribers",
        "nic_bytes_per_s": None, "held_s": held_s, "collected_by": "broker" if held_s else None,
        "case": case, "load": load, "verdict": verdict, "reason": reason, "certainty": 0.99,
        "p99_s": p99, "figures": {}, "shares": {"cpu": 1.8 / cores, "link": 0.03},
        "replications": 4, "window_s": 40.0,
    }  # fmt: skip


DOCUMENT = {
    "topology": "small", "question": "What is the smallest grid that keeps p99 < 200 ms?",
    "answer": {
        "controllers": 1, "cores": 2, "memory_bytes": 158_000_000,
        "limits": {
            "account": {"rate_per_s": 44.8, "burst": 225},
            "client": {"rate_bytes_per_s": 35_300.0, "burst_bytes": 400_000.0},
            "client_stanza_bytes": 301_000.0,
        },
        "parts": [{"controller": "hub", "controllers": 1, "cores": 2,
                   "memory_bytes": 158_000_000, "nic_bytes_per_s": 1.25e7,
                   "arrangement": "one"}],
    },
    "reason": "", "cores_range": {"value": 2, "low": 2.0, "high": 4.0, "n": 128},
    "slo": ["p99 < 200 ms"],
    "binding": {"controller": "hub", "resource": "cpu", "share": 0.954},
    "next": [{"controller": "hub", "resource": "link", "share": 0.03}],
    "headroom": {"value": 1.01, "low": 1.0, "high": 1.03, "n": 0},
    "n_minus_1": {"meets": False, "reason": "nothing remains", "p99_s": None,
                  "needs": {"controllers": 2, "cores": 4}},
    "under_attack": {"meets": False, "reason": "CPU", "p99_s": None, "cores_at_least": 5},
    "restart": {"controller": "hub", "platforms": 20_000, "meets": False,
                "reason": "misses whole < 1 min", "whole_again_s": LATE, "about_s": 59.4},
    "relaxed": [{"objective": "p99 < 1.5 s", "saves_cores": 1}],
    "compared": [{"controller": "hub", "arrangement": "topics", "text": "the Topics are dealt out",
                  "controllers": None, "cores": None, "chosen": False,
                  "reason": "it takes 2 cores more"}],
    "collected": [{"controller": "hub", "by": "broker", "hold_s": 0.025, "events_per_item": 17.2,
                   "controllers": 1, "cores": 1, "saves_cores": 1, "p99_s": ESTIMATE}],
    "advice": [
        {"kind": "overload", "place": "hub", "text": "too much <script>", "repairs": ["less"]}
    ],
    "evidence": [
        trial(2, "meets", p99=ESTIMATE), trial(1, "misses", p99=LATE, reason="misses p99 < 200 ms"),
        trial(2, "misses", load=1.03, p99=LATE), trial(2, "refused", case="attacks", reason="CPU"),
        trial(1, "meets", p99=ESTIMATE, held_s=0.025),
    ],
    "confidence": {"value": 0.99, "text": "chance"}, "assumptions": ["costs | of a server"],
    "check": {"answer_meets": True, "less_misses": True, "evidence": []},
    "rehearsal": None, "seed": 1, "wall_s": 12.0,
}  # fmt: skip
SUBJECT = Subject(
    text="schema: 1\nname: small\ncontrollers:\n- name: hub\n  cores: 4\n"
    "  provenance: {kind: assumed, source: one virtual server}\n",
    drawing='<svg xmlns="http://www.w3.org/2000/svg"/>',
    drawing_text="hub with two populations",
    command="gridlab plan small.yaml --seed 1",
    bound_s=0.2,
)


def test_the_page_answers_first_and_shows_all():
    page = plan_report.page(DOCUMENT, SUBJECT)
    answer = page.index("1 Controller with 2 cores in all")
    assert answer < page.index("Evidence") < page.index("Threats") < page.index("How to get it")
    for part in ("2 to 4 cores", "would outlive it", "at least 5 cores", "one virtual server",
                 "gridlab plan small.yaml --seed 1", "44.8/s", "gridlab validate",
                 "p99 &lt; 1.5 s would save 1 core", "17.2 events on average",
                 "Broker holds 25.0 ms", "Compared for hub: the Topics are dealt out"):  # fmt: skip
        assert part in page.replace("\u00a0", " "), part
    assert "<script" not in page


def test_every_picture_is_told_and_nothing_is_asked_of_a_network():
    page = plan_report.page(DOCUMENT, SUBJECT)
    pictures = re.findall(r"<svg[^>]*>", page)
    assert len(pictures) == 3
    assert all('role="img"' in each and "aria-label=" in each for each in pictures)
    assert 'alt="hub with two populations"' in page
    assert 'lang="en"' in page
    assert page.count('<th scope="') > 10
    outside = re.sub(r"http://www\.w3\.org/\S+", "", page)
    assert "://" not in outside
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_pictures_are_whole_and_their_ids_unique():
    page = plan_report.page(DOCUMENT, SUBJECT)
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        tree.fromstring(svg)
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_markdown_says_the_same(tmp_path):
    path = plan_report.write(DOCUMENT, SUBJECT, tmp_path / "plan.md")
    text = path.read_text()
    assert text.startswith("# Plan for small")
    assert "**1 Controller with 2 cores in all" in text
    assert "| 1 × 2 " in text.replace("hub: ", "")
    widths = {line.count("|") for line in text.splitlines() if line.startswith("| hub")}
    assert widths
    assert "> * less" in text


def test_no_answer_has_a_page_too():
    nothing = DOCUMENT | {
        "answer": None, "reason": "the CPU is asked for too much", "binding": None, "next": [],
        "n_minus_1": None, "under_attack": None, "restart": None, "relaxed": [], "check": None,
        "headroom": {"value": None, "low": None, "high": None, "n": 0, "reason": "none"},
    }  # fmt: skip
    page = plan_report.page(nothing, SUBJECT)
    assert "Nothing in the budget keeps p99 &lt; 200" in page
    assert "the CPU is asked for too much" in page
    assert "Nothing in the budget" in plan_report.markdown(nothing, SUBJECT)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(RecordError, match="choose another file"):
        plan_report.write(DOCUMENT, SUBJECT, tmp_path / "no" / "plan.html")
