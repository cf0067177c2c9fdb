"""The gate's verdicts on made runs whose true cost ratio is known, and what it writes."""

import itertools
from xml.etree import ElementTree

import jsonschema
import numpy as np
import pytest
from synthetic import steady

from results import Run, gate, pacing
from results.ratios import _quantile_ratios, _quantiles
from results.records import RecordError, Verdict
from results.regression import Limits, Pairs, in_turn, read_budgets, regress


def noisy_sides(slower, *, seed, noise=0.03, **head):
    """Plays of both sides: the machine's speed drifts, and each play is off by some noise."""
    draws = np.random.default_rng(seed)
    drift = itertools.accumulate(draws.normal(0.0, 0.02, 100))
    level = {}

    def play(factor, **changes):
        def one(number):
            if number not in level:
                level[number] = np.exp(next(drift))
            speed = factor * level[number] * np.exp(draws.normal(0.0, noise))
            seeds = 1000 * seed + number
            return Run(steady(seed=seeds, replications=1, speed=speed, **changes))

        return one

    return play(1.0), play(slower, **head)


def shares(slower, verdict, tries=6):
    """How many of some gates end with the verdict."""
    limits = Limits(pairs_min=6, pairs_max=10)
    return sum(
        regress(in_turn(*noisy_sides(slower, seed=seed)), limits)[0]["verdict"] == verdict
        for seed in range(tries)
    )


def test_identical_sides_never_fail_and_mostly_pass():
    assert shares(1.0, "fail") == 0
    assert shares(1.0, "pass") >= 4


def test_a_tenth_more_fails():
    assert shares(1.15, "fail") >= 5


def test_ratios_are_those_that_were_put_in():
    document, pairs = regress(in_turn(*noisy_sides(1.5, seed=3, noise=0.001)), Limits())
    ratios = {each["name"]: each for each in document["metrics"]}
    cpu = ratios["cpu_s_per_delivery"]
    assert cpu["low"] < 1.5 < cpu["high"]
    assert cpu["high"] - cpu["low"] < 0.03
    assert ratios["p99"]["ratio"] > 1.5  # waiting grows faster than service
    assert ratios["egress_bytes_per_delivery"]["ratio"] == pytest.approx(1.0)
    assert document["pairs"] == len(pairs) == 6


def test_a_core_that_is_slower_for_a_while_is_told_from_a_dearer_server():
    """CPU seconds that are worth up to two times less; the pace says how much they were worth."""
    draws = np.random.default_rng(5)

    def side(slower, told):
        def one(number):
            worth = draws.uniform(0.5, 1.0)
            pace = 4e7 * worth ** (1.0 / pacing.EXPONENT)
            server = {"pace_per_s": {"nac": pace if told else None}, "cpu_s": {"nac": 3.0}}
            made = steady(seed=number, replications=1, speed=slower / worth, rate_per_s=10.0,
                          measurement={"server": server})  # fmt: skip
            return Run(made)

        return one

    def verdicts(told):
        limits = Limits(pairs_min=6, pairs_max=6)
        documents = [
            regress(in_turn(side(1.0, told), side(each, told)), limits)[0] for each in (1.0, 1.15)
        ]
        assert [each["at_equal_pace"] for each in documents] == [told, told]
        return [each["verdict"] for each in documents]

    assert verdicts(told=True) == ["pass", "fail"]
    assert "inconclusive" in verdicts(told=False)


def test_both_sides_play_the_same_number_in_alternating_order():
    played = []

    def side(name):
        def one(number):
            played.append((name, number))
            return Run(steady(seed=number, replications=1))

        return one

    regress(in_turn(side("base"), side("head")), Limits(pairs_min=3, pairs_max=3))
    assert played == [
        ("base", 0), ("head", 0), ("head", 1), ("base", 1), ("base", 2), ("head", 2),
    ]  # fmt: skip


def test_what_is_lost_on_head_alone_fails_whatever_it_costs():
    document, _ = regress(in_turn(*noisy_sides(0.5, seed=1, lost_share=0.001)), Limits())
    assert document["verdict"] == "fail"
    assert document["invariants"]["nothing more lost"]["head"] > 0
    assert gate.exit_code(document, strict=False) == 1


def test_plays_that_are_not_valid_are_discarded_and_too_many_are_no_answer():
    bad = Verdict(valid=False, reasons=("the generator was late",))
    base, head = noisy_sides(1.0, seed=1, verdict=bad)
    document, pairs = regress(in_turn(base, head), Limits(pairs_min=2, pairs_max=4))
    assert document["verdict"] == "invalid"
    assert len(pairs) == 0
    assert document["discarded"] == 6
    assert "the generator was late" in document["reasons"][0]
    assert gate.exit_code(document, strict=False) == 3


def test_quantile_ratios_are_of_merged_histograms():
    pairs = Pairs(*([Run(steady(seed=s, replications=1)) for s in side] for side in ((1, 2), (3,))))
    parts = [[run.latency.counts for run in side] for side in (pairs.base, pairs.base)]
    chosen = np.array([[0, 1], [0, 0]])
    ratio, ratios = _quantile_ratios(*parts, chosen)["p95"]
    assert ratio == 1.0
    assert ratios.tolist() == [1.0, 1.0]
    merged = parts[0][0] + parts[0][1]
    value = _quantiles(np.stack(parts[0]), np.array([[1, 1]]))["p95"][0]
    from results import histogram

    assert value == histogram.quantile(merged, 0.95)


@pytest.mark.parametrize(
    ("texts", "budgets"),
    [
        ((), {"cpu_s_per_delivery": 0.05}),
        (("p99=5%",), {"cpu_s_per_delivery": 0.05, "p99": 0.05}),
        (("cpu=10 %", "memory=2.5%"), {"cpu_s_per_delivery": 0.1, "memory_bytes": 0.025}),
    ],
)
def test_budgets_are_read(texts, budgets):
    assert read_budgets(texts) == pytest.approx(budgets)


@pytest.mark.parametrize("text", ["p99", "p98=5%", "p99=5", "cpu=-1%", "cpu=a"])
def test_bad_budgets_name_the_repair(text):
    with pytest.raises(RecordError, match="p99=5%"):
        read_budgets([text])


def test_junit_has_a_case_for_each_gated_metric_and_invariant(tmp_path):
    document, _ = regress(in_turn(*noisy_sides(1.3, seed=2)), Limits())
    gate.write_junit(document, tmp_path / "gate.xml")
    suites = ElementTree.parse(tmp_path / "gate.xml").getroot()
    assert suites.tag == "testsuites"
    (suite,) = suites
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert cases.keys() == {"cpu_s_per_delivery", *document["invariants"]}
    assert suite.get("tests") == str(len(cases))
    assert suite.get("failures") == "1"
    assert "budget +5 %" in cases["cpu_s_per_delivery"].find("failure").get("message")


COUNT, SECONDS, WORDS, INSTANT, TEXT = (
    {"type": "string", "pattern": pattern}
    for pattern in (r"^\d+$", r"^\d+(\.\d+)?$", r"^\S(.*\S)?$", r"^\d{4}-\d\d-\d\dT[\d:]{8}$", "")
)
COUNTS = {"tests": COUNT, "failures": COUNT, "errors": COUNT, "skipped": COUNT, "time": SECONDS}


def element(tag, attributes, children=None, optional=()):
    """Of JSON Schema: an element with these attributes, no others, and such children."""
    return {
        "properties": {
            "tag": {"const": tag},
            "attributes": {
                "properties": attributes, "additionalProperties": False,
                "required": [name for name in attributes if name not in optional],
            },
            "children": children or {"maxItems": 0},
        },
    }  # fmt: skip


# Nobody has standardised the format. This is what both schemas in use allow: Ant's (JUnit.xsd of
# windyroad/JUnit-Schema, cfa434d) and Jenkins's (junit-10.xsd of its xunit-plugin, 8c515de).
OUTCOMES = [
    element("failure", {"message": TEXT, "type": TEXT}),
    element("error", {"message": TEXT, "type": TEXT}),
    element("skipped", {"message": TEXT}),
]
CASE = element(
    "testcase", {"name": WORDS, "classname": WORDS, "time": SECONDS},
    {"items": {"anyOf": OUTCOMES}, "maxItems": 1},
)  # fmt: skip
PROPERTY = element("property", {"name": WORDS, "value": TEXT})
PARTS = [
    element("properties", {}, {"items": PROPERTY}),
    CASE,
    element("system-out", {}),
    element("system-err", {}),
]
ABOUT = {"name": WORDS, "hostname": WORDS, "package": WORDS, "timestamp": INSTANT, "id": COUNT}
SUITE = element("testsuite", {**ABOUT, **COUNTS}, {"items": {"anyOf": PARTS}})
JUNIT = element("testsuites", {}, {"items": SUITE, "minItems": 1})
INVALID = {
    "verdict": "invalid", "metrics": [], "invariants": {}, "pairs": 0, "discarded": 1,
    "reasons": ["base of pair 1: the generator was <late> & slow"], "base": [], "head": [],
}  # fmt: skip


def as_data(node):
    return {"tag": node.tag, "attributes": node.attrib, "children": [as_data(n) for n in node]}


@pytest.mark.parametrize("slower", [1.0, 1.3, 1.06, None])
def test_junit_fits_its_schema_whatever_the_verdict(slower, tmp_path):
    document = INVALID
    if slower is not None:
        document, _ = regress(in_turn(*noisy_sides(slower, seed=2)), Limits(pairs_max=6))
    gate.write_junit(document, tmp_path / "gate.xml")
    root = ElementTree.parse(tmp_path / "gate.xml").getroot()
    jsonschema.validate(as_data(root), JUNIT)
    (suite,) = root
    cases = suite.findall("testcase")
    order = ["properties", *(case.tag for case in cases), "system-out", "system-err"]
    assert [part.tag for part in suite] == order
    assert suite.get("tests") == str(len(cases)) != "0"
    for counted, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        assert suite.get(counted) == str(len(suite.findall(f"testcase/{tag}")))


def test_the_step_summary_of_github_gets_the_table(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    (tmp_path / "step.md").write_text("before\n")
    document, _ = regress(in_turn(*noisy_sides(1.0, seed=2)), Limits())
    assert gate.write(document, None, None) == [tmp_path / "step.md"]
    text = (tmp_path / "step.md").read_text()
    assert text.startswith("before\n### Performance: ")
    assert "| cpu_s_per_delivery |" in text


def test_time_ends_a_gate_but_not_before_it_has_the_pairs_it_needs():
    late = Limits(pairs_min=3, pairs_max=6, within_s=0.0, budgets={"cpu_s_per_delivery": 0.0})
    sides = noisy_sides(1.0, seed=2)
    assert regress(in_turn(*sides), late)[0]["pairs"] == 3


def test_time_ends_a_gate_whose_plays_are_not_valid():
    bad = Verdict(valid=False, reasons=("the generator was late",))
    sides = noisy_sides(1.0, seed=1, verdict=bad)
    document, pairs = regress(in_turn(*sides), Limits(pairs_min=3, within_s=0.0))
    assert (document["verdict"], len(pairs), document["discarded"]) == ("invalid", 0, 1)
