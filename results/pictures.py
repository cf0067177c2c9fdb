"""A run's plots as files of their own: SVG on white paper, for documents and slides."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from results.records import RecordError
from results.run import Run
from results.store import write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_pictures(run: Run, directory: Path) -> list[Path]:
    """Write every plot of a run to `directory` as `TOPOLOGY-PLOT.svg`.

    Raises
    ------
    RecordError
        The directory cannot be written.
    """
    written = []
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for name, figure in _figures(run):
            path = directory / f"{run.header.topology.name}-{name}.svg"
            write_figure(figure, path)
            written.append(path)
    except OSError as error:
        raise RecordError(f"{directory}: {error.strerror}; choose another directory") from None
    return written


def write_figure(figure: Figure, path: Path) -> None:
    """Write one figure as an SVG that is the same for the same data.

    Raises
    ------
    RecordError
        The file cannot be written.
    """
    import matplotlib

    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "gridlab"}):
        picture = io.StringIO()
        figure.savefig(picture, format="svg", facecolor="white", metadata={"Date": None})
    write_text(path, picture.getvalue())


def _figures(run: Run) -> Iterator[tuple[str, Figure]]:
    from results import plots
    from results.waterfall import has_waterfall, waterfall

    yield "load", plots.load(run)
    if has_waterfall(run):
        yield "waterfall", waterfall(run)
    yield "latency", plots.latency(run)
    yield "distribution", plots.distribution(run)
    yield "controllers", plots.controllers(run)
    if run.header.measurement.get("logins"):
        yield "sessions", plots.sessions(run)
    if len(run.latencies.topics()) > 1:
        yield "topics", plots.topics(run)
