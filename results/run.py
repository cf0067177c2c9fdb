"""A run: its header and its three tables, from a simulation or a measurement or read from disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from results import tables
from results.figures import Figures
from results.gallery import Gallery
from results.latencies import Latencies, Latency
from results.records import PUBLICATION_ROWS_MAX, Draft, Header
from results.tables import Columns

if TYPE_CHECKING:
    import pandas as pd

    from results.documents import PhaseSummary, Summary


class Run:
    """One run of a topology, simulated or measured.

    Parameters
    ----------
    draft : Draft
        What the simulator or the load side hands over. Of more publications than a record holds,
        every n-th is kept, and the header says so.

    Raises
    ------
    RecordError
        A table has not the columns that `results.records` declares.
    """

    header: Header
    path: Path | None

    def __init__(self, draft: Draft) -> None:
        publications = draft.publications or tables.empty("publications")
        rows = len(next(iter(publications.values())))
        stride = max(-(-rows // PUBLICATION_ROWS_MAX), 1)
        kept = {name: values[::stride] for name, values in publications.items()}
        stride_of_all = stride * draft.header.publication_stride
        self.header = draft.header.model_copy(update={"publication_stride": stride_of_all})
        self.path = None
        self._tables: Mapping[str, Columns] = {
            "intervals": tables.checked("intervals", draft.intervals),
            "latency": tables.latency_columns(draft.latency),
            "publications": tables.checked("publications", kept),
        }

    @classmethod
    def stored(cls, header: Header, stored: Mapping[str, Columns], path: Path) -> Run:
        """A run as `results.store` found it in the directory `path`."""
        run = cls.__new__(cls)
        run.header, run._tables, run.path = header, stored, path
        return run

    @property
    def intervals(self) -> Columns:
        """Counts and costs by interval, Controller and replication."""
        return self._tables["intervals"]

    @property
    def publications(self) -> Columns:
        """When each publication was intended, sent, accepted and delivered."""
        return self._tables["publications"]

    @cached_property
    def latencies(self) -> Latencies:
        """The latency histograms by replication, phase, Topic, population, role and stage."""
        return Latencies(self._tables["latency"])

    @property
    def latency(self) -> Latency:
        """Latency of the legitimate deliveries of the measured phases."""
        return Figures([self]).latency()

    @property
    def plot(self) -> Gallery:
        """Its pictures: `run.plot.latency()`, `run.plot.distribution()`, ..."""
        return Gallery(self)

    def figures(self) -> pd.DataFrame:
        """Figures of each measured phase with their 95 % intervals, as a pandas frame."""
        from results.notebook import figures

        return figures(self.summary())

    def _repr_html_(self) -> str:
        """How Jupyter shows it."""
        from results.notebook import html

        return html(self.summary())

    def __repr__(self) -> str:
        of = self.header
        size = f"{of.replications} x {of.duration_s:g} s, seed {of.seed}"
        return f"<Run: {of.topology.name}, {of.origin}, {size}>"

    def columns(self, table: str) -> Columns:
        """A table by its name: intervals, latency or publications."""
        return self._tables[table]

    def frames(self) -> dict[str, pd.DataFrame]:
        """The tables as pandas frames, by name."""
        import pandas as pd

        return {name: pd.DataFrame(self._tables[name]) for name in self._tables}

    def summary(self) -> Summary:
        """The document of `gridlab simulate --json`, computed from the tables."""
        from results.summary import summary

        return summary(self)

    def utilisation(self) -> dict[str, float]:
        """How busy each Controller was in the measured phase that kept it busiest. [1]"""
        names = [phase.name for phase in self.header.phases if phase.measured]
        return {
            controller: max(Figures([self], [name]).utilisation(controller).value for name in names)
            for controller in self.header.controllers
        }

    def phases(self) -> list[PhaseSummary]:
        """Figures of each measured phase."""
        phases: list[PhaseSummary] = self.summary()["phases"]
        return phases

    def save(self, parent: Path | str) -> Path:
        """Write the run as a new directory in `parent`, whole or not at all.

        Raises
        ------
        RecordError
            A run of this id is there already, or the directory cannot be written.
        """
        from results.store import write

        self.path = write(self, Path(parent))
        return self.path
