"""Histograms of the stages of the copies that were followed."""

from __future__ import annotations

import numpy as np

from results import histogram
from results.records import STAGES
from sim.intake import ROLES
from sim.journeys import stages_s
from sim.platforms import Residents
from sim.state import Server
from sim.study import Sparse, StageKey


def stages(server: Server, home: Residents, kinds: int, roles: int) -> dict[StageKey, Sparse]:
    """Histograms by segment, Topic, population, role and stage.

    `kinds` is a kind's stride among histograms, `roles` how many are told apart.
    """
    copies = server.followed[: server.ledger[0]["followed"]]
    lengths_s = stages_s(server.instants_s[: len(copies)])
    found: dict[StageKey, Sparse] = {}
    for row in np.unique(copies["histogram"]).tolist():
        kind, pair = divmod(row, kinds)
        segment, role = divmod(kind, roles)
        chosen = lengths_s[copies["histogram"] == row]
        for stage, column in zip(STAGES, chosen.T, strict=True):
            key = (segment, *home.pair_names[pair], home.pair_roles[pair] or ROLES[role], stage)
            found[key] = histogram.sparse(histogram.count(column))
    return found
