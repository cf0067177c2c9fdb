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
    order = np.argsort(copies["histogram"], kind="stable")
    rows, first = np.unique(copies["histogram"][order], return_index=True)
    index = histogram.bin_index(stages_s(server.instants_s[: len(copies)])[order])
    found: dict[StageKey, Sparse] = {}
    for row, own in zip(rows.tolist(), np.split(index, first[1:]), strict=False):
        kind, pair = divmod(row, kinds)
        segment, role = divmod(kind, roles)
        for stage, column in zip(STAGES, own.T, strict=True):
            key = (segment, *home.pair_names[pair], home.pair_roles[pair] or ROLES[role], stage)
            found[key] = histogram.tally(column)
    return found
