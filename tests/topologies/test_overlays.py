"""Attack files: laid over their base or another, with selectors; refused where they are wrong."""

import pytest

import topologies
from topologies import TopologyError, overlays

GOOD = """\
schema: 1
id: S-TEST
title: a flood for the tests
reference: RFC 8600 section 8.2.2
hypothesis: the limit helps
headline: goodput_per_s
base: single-broker
platforms:
  - {name: thief, count: 2, controller: $controller, role: adversary, publishes: [$topic]}
attacks:
  - kind: publish-flood
    name: flood
    by: thief
    topic: $topic
    start: 10 s
    duration: 5 s
    rate: 9/s
defences:
  - name: none
  - name: limit
    changes: ["controllers[$controller].limits={client: {rate: 2 KB/s}}"]
"""


@pytest.fixture
def write(tmp_path):
    def written(text, name="s-test.yaml"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return written


def test_an_overlay_adds_its_platforms_and_attack_to_the_base(write):
    laid = overlays.scenario(write(GOOD))
    base = topologies.load("single-broker")
    assert laid.base == base.name
    assert laid.attacked.keys() == laid.calm.keys() == {"none", "limit"}
    undefended = laid.attacked["none"]
    assert undefended.platforms[:-1] == base.platforms
    assert undefended.platforms[-1].name == "thief"
    assert undefended.platforms[-1].controller == base.controllers[0].name
    assert undefended.attacks[0].topic == "incidents"
    assert undefended.workload.study == "campaign"
    assert laid.attacked["limit"].controllers[0].limits.client.rate == 2000.0
    assert all(calm.attacks == () for calm in laid.calm.values())
    assert laid.calm["limit"].controllers == laid.attacked["limit"].controllers


def test_selectors_find_their_meaning_on_another_base(write):
    laid = overlays.scenario(write(GOOD), base="campus-nac")
    attack = laid.attacked["none"].attacks[0]
    assert (attack.topic, attack.by) == ("session", "thief")


def test_variants_are_chosen_and_none_is_always_among_them(write):
    laid = overlays.scenario(write(GOOD), defences=["limit"])
    assert list(laid.attacked) == ["none", "limit"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("topic: $topic", "topic: $subject", "is no selector"),
        ("name: none", "name: nothing", "must be the one without any change"),
        ("name: limit", "name: none", "is the name of two defences"),
        ("schema: 1", "schema: 1\ncolour: red", "colour"),
        ("id: S-TEST", "id: flood", "id"),
        ("by: thief", "by: nobody", "nobody"),
        ("controllers[$controller].limits", "controllers[$controller].limts", "limits"),
        ("base: single-broker", "base: single-brokr", "single-broker"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(write, old, new, told):
    with pytest.raises(TopologyError, match=told) as caught:
        overlays.scenario(write(GOOD.replace(old, new, 1)))
    assert caught.value.exit_code == 2


def test_an_unknown_defence_or_file_names_the_nearest(write):
    with pytest.raises(TopologyError, match=r'"limt".*limit'):
        overlays.scenario(write(GOOD), defences=["limt"])
    with pytest.raises(TopologyError, match="S-FLOOD"):
        overlays.scenario("S-FLOD")


@pytest.mark.parametrize("name", overlays.catalogue())
@pytest.mark.parametrize("base", [None, "single-broker"])
def test_every_shipped_attack_lies_on_its_base_and_on_a_small_one(name, base):
    laid = overlays.scenario(name, base=base)
    assert len(laid.attacked) >= 2
    assert laid.overlay.reference.startswith("RFC 8600")


def test_what_is_played_may_be_the_traffic_itself(tmp_path):
    laid = overlays.scenario("S-PULL", None, ["none"], real=True)
    assert not laid.procedures
    assert laid.attacked["none"].topics[0].flow == "direct"
    text = (overlays.ATTACKS / "S-PULL.yaml").read_text()
    head, real = text.split("\nreal:\n")
    idle = tmp_path / "idle.yaml"
    begin, end = head.index("procedure:"), head.index("defences:")
    idle.write_text(f"{head[:begin]}{head[end:]}\nreal:\n{real}")
    with pytest.raises(TopologyError, match="or else a procedure"):
        overlays.read_overlay(idle)
