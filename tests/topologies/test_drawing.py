"""The picture holds all parts, tells them apart, and follows day and night."""

import xml.etree.ElementTree as tree

import pytest

import topologies
from topologies.drawing import TOPICS_MAX, describe, draw

SVG = "{http://www.w3.org/2000/svg}"


def words(svg):
    return [element.text for element in tree.fromstring(svg).iter(f"{SVG}text")]


@pytest.mark.parametrize("name", topologies.shipped())
def test_every_shipped_topology_is_drawn_whole(name):
    topology = topologies.load(name)
    shown = words(draw(topology))
    parts = [broker.name for broker in topology.brokers]
    parts += [each.name for each in topology.platforms if each.publishes or each.subscribes]
    assert [part for part in parts if part not in shown] == []
    assert sum(
        text.startswith(f"{c.name} ·") for c in topology.controllers for text in shown
    ) == len(topology.controllers)


def test_boxes_do_not_overlap_and_stay_inside():
    root = tree.fromstring(draw(topologies.load("campus-nac")))
    width, height = float(root.get("width")), float(root.get("height"))
    boxes = [
        tuple(float(each.get(key)) for key in ("x", "y", "width", "height"))
        for each in root.iter(f"{SVG}rect")
        if each.get("class") == "box"
    ]
    assert len(boxes) == 7
    for index, (x, y, w, h) in enumerate(boxes):
        assert x >= 0
        assert y >= 0
        assert x + w <= width
        assert y + h <= height
        for ox, oy, ow, oh in boxes[:index]:
            assert x + w <= ox or ox + ow <= x or y + h <= oy or oy + oh <= y


def test_attackers_and_distant_flows_are_marked():
    assert 'class="hostile"' in draw(topologies.load("campus-nac"))
    assert 'class="distant"' in draw(topologies.load("federation"))
    assert 'class="distant"' not in draw(topologies.load("campus-nac"))


@pytest.mark.parametrize(("busy", "colour"), [(0.3, "green"), (0.7, "orange"), (1.0, "vermilion")])
def test_colour_says_how_busy_a_controller_is(busy, colour):
    topology = topologies.load("single-broker")
    svg = draw(topology, {"controller": busy})
    assert f'class="busy {colour}"' in svg
    assert f"CPU {100 * busy:.0f} %" in svg
    assert 'class="calm"' in draw(topology)


def test_it_is_the_same_each_time_follows_the_night_and_asks_nothing_of_a_network():
    topology = topologies.load("federation")
    svg = draw(topology)
    assert svg == draw(topology)
    assert "prefers-color-scheme:dark" in svg
    assert svg.replace("http://www.w3.org/2000/svg", "").count("http") == 0


def test_it_is_told_to_those_who_do_not_see_it():
    topology = topologies.load("single-broker")
    told = describe(topology, {"controller": 0.27})
    assert "CPU 27 %" in told
    assert "reporter to broker 6/s" in told
    assert "broker to analyst 1,200/s" in told
    root = tree.fromstring(draw(topology, {"controller": 0.27}))
    assert root.get("aria-label") == told
    assert root.get("role") == "img"


def test_many_topics_are_counted_not_listed():
    topology = topologies.load("campus-nac")
    more = [text for text in words(draw(topology)) if text.startswith("…")]
    assert more == [f"… and {len(topology.topics) - TOPICS_MAX} more Topics"]
