"""Publications and requests for the oracle, in the order in which they reach Controllers."""

from __future__ import annotations

import numpy as np

from sim import draws
from sim.draws import Purpose
from sim.reference_books import Directory
from sim.reference_requests import queries
from sim.reference_stanzas import Publication
from sim.stations import Graph
from sim.study import Study
from topologies.plan import Plan


def publications(study: Study, plan: Plan, people: Directory, graph: Graph) -> list[Publication]:
    """The plan's publications and the requests at random, in order of arrival."""
    rows = plan.columns()
    profiles = {each.name: each.profile for each in graph.stations}
    key = (study.seed, Purpose.SERVICE, study.replication)
    spread = {
        name: draws.lognormals(*key, np.arange(len(rows)), profiles[name].costs.cv)
        for name in profiles
    }
    found = []
    free_s: dict[int, float] = {}  # when a Platform's own uplink is free
    for row in range(len(rows)):
        publisher, topic = int(rows.publisher[row]), int(rows.topic[row])
        network = people.population(publisher).network
        intended_s, kept = float(rows.intended_s[row]), study.topology.topics[topic]
        payload = kept.item_bytes(float(rows.payload_bytes[row]))
        sent_s = intended_s
        if network.uplink is not None:
            size_bytes = payload + profiles[people.home(publisher)].publication_bytes
            begun_s = max(intended_s, free_s.get(publisher, 0.0))
            free_s[publisher] = sent_s = begun_s + size_bytes / network.uplink
        found.append(
            Publication(
                row=row,
                reached_s=sent_s + network.delay,
                arrival_s=sent_s + network.delay,
                intended_s=intended_s,
                socket=publisher,
                publisher=publisher,
                topic=topic,
                payload_bytes=payload,
                spread=float(spread[people.owner(topic)][row]),
                published=True,
                copies=[],
            )
        )
    found += queries(study, plan, graph)
    return sorted(found, key=lambda publication: publication.reached_s)
