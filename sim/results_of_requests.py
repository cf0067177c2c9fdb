"""What requests and retracts cost a station and carry, as its jobs and records have it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from sim.intake import Census
from sim.jobs import Jobs
from sim.network import Arrivals
from sim.requests import RETRACT
from sim.state import Floats, Records
from sim.stations import Graph


class Results:
    """The kinds of answers of a grid, by number of Topic.

    Parameters
    ----------
    graph : Graph
        The stations.
    rows : int
        The plan's length.
    census : Census
        Where retracts are booked as they are made.
    published : ndarray of bool
        By number of Topic, whether the Broker here keeps it.
    """

    def __init__(
        self, graph: Graph, rows: int, census: Census, published: npt.NDArray[np.bool_]
    ) -> None:
        self._published = published
        self.any, self._topics = bool(graph.answers), len(graph.topology.topics)
        self._rows, self._census = rows, census
        self._result_bytes = np.array([each.result_bytes for each in graph.answers])
        self._work_s = np.array([each.work_s for each in graph.answers])
        self._retract = np.zeros(self._topics + len(graph.answers), np.int64)
        self._retracts = self._topics + np.flatnonzero([e.role == RETRACT for e in graph.answers])
        for number, each in enumerate(graph.answers, self._topics):
            if each.role == RETRACT:
                self._retract[each.topic] = number

    def addressed(self, jobs: Jobs, arrivals: Arrivals) -> tuple[Jobs, Floats]:
        """The jobs that `arrivals` make, and when they reached the station.

        Requests among them go back to who sent them, with their results; retracts follow what
        makes them.
        """
        if not self.any:
            return jobs, arrivals.reached_s
        mine = jobs.topic >= self._topics
        target = jobs.target.copy()
        target[mine] = arrivals.publisher[mine]
        jobs = self.answered(replace(jobs, target=target))
        drops = self._retract[jobs.topic] > 0
        if not drops.any():
            return jobs, arrivals.reached_s
        place = np.repeat(np.arange(len(jobs)), 1 + drops)
        jobs, second = jobs[place], (np.cumsum(1 + drops) - 1)[drops]
        topic, row = jobs.topic.copy(), jobs.row.copy()
        payload_bytes = jobs.payload_bytes.copy()
        topic[second] = self._retract[topic[second]]
        row[second] += self._rows
        payload_bytes[second] = self._result_bytes[topic[second] - self._topics]
        self._census.count(jobs.kind[second], topic[second], arrivals.publisher[drops])
        jobs = replace(jobs, topic=topic, row=row, payload_bytes=payload_bytes)
        return jobs, arrivals.reached_s[place]

    def answered(self, jobs: Jobs) -> Jobs:
        """The jobs; requests among them to a Broker here are as large as their answers."""
        if not self.any:
            return jobs
        mine = (jobs.topic >= self._topics) & self._published[jobs.topic]
        payload_bytes = jobs.payload_bytes.copy()
        payload_bytes[mine] = self._result_bytes[jobs.topic[mine] - self._topics]
        return replace(jobs, payload_bytes=payload_bytes)

    def count(self, records: Records, jobs: Jobs, envelope_bytes: float) -> None:
        """Note what Platforms sent for jobs: requests are empty, retracts the Broker's own. [B]

        What goes out again to who was away costs no intake (`factor` 0) and was not sent anew.
        """
        sent = np.where(jobs.topic < self._topics, jobs.payload_bytes, 0.0) + envelope_bytes
        own = np.isin(jobs.topic, self._retracts) | (records["factor"] == 0.0)
        records["counted_bytes"] = np.where(own, 0.0, sent)

    def cost(self, records: Records) -> npt.NDArray[np.bool_]:
        """Give requests to a Broker here and its retracts their own costs; which ones they are."""
        mine: npt.NDArray[np.bool_] = records["topic"] >= self._topics
        if not self.any:
            return mine
        records["answered"][mine] = records["legitimate"][mine] = False
        mine &= self._published[records["topic"]]
        records["intake_s"][mine] = self._work_s[records["topic"][mine] - self._topics]
        return mine
