"""A run's pictures by name: `run.plot.latency()` is `plots.latency(run)`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from results.run import Run


class Gallery:
    """What can be drawn of one run; each method returns a matplotlib Figure.

    Parameters
    ----------
    run : Run
        The run that is drawn.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def load(self) -> Figure:
        """Publications offered and deliveries made, over the run. [1/s]"""
        from results import plots

        return plots.load(self._run)

    def latency(self) -> Figure:
        """Mean latency by the instant of publication, p50 and p99 of each phase. [s]"""
        from results import plots

        return plots.latency(self._run)

    def distribution(self) -> Figure:
        """Share of the deliveries that are later than a latency, for each phase."""
        from results import plots

        return plots.distribution(self._run)

    def controllers(self) -> Figure:
        """CPU, backlog and memory of the Controllers, over the run."""
        from results import plots

        return plots.controllers(self._run)

    def topics(self) -> Figure:
        """p99 of the busiest Topics, one mark per phase. [s]"""
        from results import plots

        return plots.topics(self._run)

    def sessions(self) -> Figure:
        """Share of each population that is online, over the run. [%]

        Raises
        ------
        RecordError
            No session was lost in this run.
        """
        from results import plots
        from results.records import RecordError

        if not self._run.header.measurement.get("logins"):
            rule = "no session was lost in it"
            raise RecordError(f"{self._run.header.run_id}: {rule}; give the topology an outage")
        return plots.sessions(self._run)

    def waterfall(self) -> Figure:
        """Copies of one publication, each as long as its stages took. [ms]

        Raises
        ------
        RecordError
            No copy was followed in this run.
        """
        from results.records import RecordError
        from results.waterfall import has_waterfall, waterfall

        if not has_waterfall(self._run):
            rule = "no copies were followed in it"
            raise RecordError(f"{self._run.header.run_id}: {rule}; simulate it on one station")
        return waterfall(self._run)
