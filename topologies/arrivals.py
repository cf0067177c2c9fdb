"""Instants of one stream of publications, cell by cell.

The run is cut into cells of one width, a power of two seconds, the same for all streams. How many
rows each cell holds is known at once; where they fall inside it is drawn when the cell is asked
for, from draws addressed by row. So any cell can be made alone, and no stream moves another.
"""

from __future__ import annotations

import csv
import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from topologies import batches, draws, schema
from topologies.intensity import Floats, Intensity, intensity
from topologies.problems import TopologyError, printable

Integers = npt.NDArray[np.int64]
Key = tuple[str | int, ...]

CELLS = 4096  # at least this many cells per run, and fewer than twice as many
CHUNK = 2**20  # batches whose sizes are summed at once
TRACE_BYTES_MAX = 256 * 1024**2


def cell_edges(duration_s: float) -> Floats:
    """Edges of the cells over [0, duration], the last cut at the end. [s]"""
    width_s = 2.0 ** math.floor(math.log2(duration_s / CELLS))
    edges: Floats = np.arange(math.ceil(duration_s / width_s) + 1) * np.float64(width_s)
    edges[-1] = duration_s
    return edges


class Points(Protocol):
    """A stream's instants: `first_row[c]` rows lie before cell c, `first_row[-1]` in all."""

    first_row: Integers

    def instants(self, low: int, high: int) -> Floats:
        """Instants in the cells low .. high - 1, ascending. [s]"""
        ...


def _running(counts: Integers) -> Integers:
    return np.concatenate((np.zeros(1, dtype=np.int64), np.cumsum(counts)))


class PoissonPoints:
    """A Poisson process of any intensity: counts per cell, then uniform over the cell's mass."""

    def __init__(self, shape: Intensity, edges_s: Floats, key: Key) -> None:
        self._shape, self._edges_s, self._key = shape, edges_s, key
        self._mass = shape.mass(edges_s)
        self.first_row = _running(draws.generator(*key, "counts").poisson(np.diff(self._mass)))

    def instants(self, low: int, high: int) -> Floats:
        """Instants in the cells low .. high - 1, ascending. [s]"""
        first, last = int(self.first_row[low]), int(self.first_row[high])
        cell = np.repeat(np.arange(low, high), np.diff(self.first_row[low : high + 1]))
        share = draws.uniforms((*self._key, "instants"), first, last - first)
        mass = self._mass[cell] + share * (self._mass[cell + 1] - self._mass[cell])
        inside = np.nextafter(self._edges_s[cell + 1], 0.0)
        return np.sort(np.clip(self._shape.instants(mass), self._edges_s[cell], inside))


class EvenPoints:
    """start + k / rate, exactly, for k = 0, 1, ... before the end."""

    def __init__(self, rate_per_s: float, start_s: float, end_s: float, edges_s: Floats) -> None:
        self._rate_per_s, self._start_s = rate_per_s, start_s
        self.first_row = self._rows_before(np.clip(edges_s, start_s, end_s))

    def _at(self, row: Integers) -> Floats:
        return np.asarray(self._start_s + row / self._rate_per_s)

    def _rows_before(self, time_s: Floats) -> Integers:
        row = np.maximum(np.ceil((time_s - self._start_s) * self._rate_per_s), 0.0).astype(np.int64)
        row -= (row > 0) & (
            self._at(row - 1) >= time_s
        )  # the product above may be off by one rounding
        return np.asarray(row + (self._at(row) < time_s))

    def instants(self, low: int, high: int) -> Floats:
        """Instants in the cells low .. high - 1, ascending. [s]"""
        return self._at(np.arange(self.first_row[low], self.first_row[high]))


class BatchPoints:
    """Poisson batches: all rows of a batch at the batch's instant."""

    def __init__(self, arrivals: schema.Batch, batches: PoissonPoints, key: Key) -> None:
        self._arrivals, self._batches, self._key = arrivals, batches, key
        self.first_row = self._rows_before(batches.first_row)

    def _rows_before(self, batch: Integers) -> Integers:
        """Rows of all batches before each of the given ones (ascending), `CHUNK` at a time."""
        rows = np.zeros(len(batch), dtype=np.int64)
        passed = 0
        for first in range(0, int(batch[-1]), CHUNK):
            last = min(first + CHUNK, int(batch[-1]))
            running = passed + _running(self._sizes(first, last))
            here = (batch >= first) & (batch <= last)
            rows[here] = running[batch[here] - first]
            passed = int(running[-1])
        return rows

    def _sizes(self, first: int, last: int) -> Integers:
        return batches.sizes(self._arrivals, self._key, first, last)

    def instants(self, low: int, high: int) -> Floats:
        """Instants in the cells low .. high - 1, ascending. [s]"""
        first, last = (int(self._batches.first_row[cell]) for cell in (low, high))
        return np.repeat(self._batches.instants(low, high), self._sizes(first, last))


class TracePoints:
    """Recorded instants, played `load` times faster and, where that ends early, again."""

    def __init__(
        self, trace: TraceFile, start_s: float, end_s: float, load: float, edges_s: Floats
    ) -> None:
        window_s = end_s - start_s
        chosen = (trace.intended_s >= start_s) & (trace.intended_s < end_s)
        once = trace.intended_s[chosen] - start_s
        rounds = np.arange(math.ceil(load)) * window_s
        self._times_s = start_s + (rounds[:, None] + once[None, :]).ravel() / load
        self._times_s = self._times_s[self._times_s < end_s]
        self.payload_bytes = None
        if trace.payload_bytes is not None:
            self.payload_bytes = np.tile(trace.payload_bytes[chosen], len(rounds))[
                : len(self._times_s)
            ]
        self.first_row = np.searchsorted(self._times_s, edges_s, side="left").astype(np.int64)

    def instants(self, low: int, high: int) -> Floats:
        """Instants in the cells low .. high - 1, ascending. [s]"""
        return self._times_s[self.first_row[low] : self.first_row[high]]


@dataclass(frozen=True)
class TraceFile:
    """Columns of a trace, sorted by instant."""

    intended_s: Floats
    payload_bytes: npt.NDArray[np.uint32] | None


def read_trace(path: Path) -> TraceFile:
    """The trace in a CSV file with the header `intended_s` or `intended_s,payload_bytes`.

    Raises
    ------
    TopologyError
        The file cannot be read, or a row is not a non-negative finite instant [s] and, where the
        column exists, a payload of 1 to 10^7 whole bytes [B]; the message names the row.
    """
    try:
        status = path.stat()
        if not path.is_file() or status.st_size > TRACE_BYTES_MAX:
            rule = f"is not a file of at most {TRACE_BYTES_MAX // 1024**2} MiB"
            raise TopologyError([f"{path.name}: {rule}; split it"])
        return _read_trace(path.resolve(), (status.st_ino, status.st_size, status.st_mtime_ns))
    except OSError as error:
        raise TopologyError([f"{path.name}: cannot be read ({error.strerror}); check it"]) from None
    except (ValueError, csv.Error) as error:
        if isinstance(error, TopologyError):
            raise
        raise TopologyError([f"{path.name}: {error}"]) from None


@functools.lru_cache(maxsize=8)
def _read_trace(path: Path, version: tuple[int, int, int]) -> TraceFile:
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        rows = csv.reader(file)
        header = [name.strip() for name in next(rows, [])]
        if header not in (["intended_s"], ["intended_s", "payload_bytes"]):
            raise ValueError("has another header; write intended_s or intended_s,payload_bytes")
        table = [_trace_row(rows.line_num, row, len(header)) for row in rows if row]
    values = np.array(table, dtype=np.float64).reshape(len(table), len(header))
    values = values[np.argsort(values[:, 0], kind="stable")]
    sizes = values[:, 1].astype(np.uint32) if len(header) == 2 else None
    return TraceFile(np.ascontiguousarray(values[:, 0]), sizes)


def _trace_row(line: int, row: list[str], columns: int) -> list[float]:
    try:
        values = [float(cell) for cell in row]
    except ValueError:
        values = []
    shown = printable(",".join(row))[:60]
    if len(values) != columns or not 0.0 <= values[0] < math.inf:
        raise ValueError(f'line {line}: "{shown}": is no row; write {columns} figures from 0 up')
    if columns == 2 and not (1.0 <= values[1] <= 1e7 and values[1].is_integer()):
        raise ValueError(f'line {line}: "{shown}": is no payload; write whole bytes, 1 to 10^7')
    return values


def points(
    arrivals: schema.Arrivals,
    window_s: tuple[float, float],
    load: float,
    key: Key,
    edges_s: Floats,
    directory: Path,
) -> Points:
    """The instants of one stream between start and end, its rate multiplied by `load`.

    Raises
    ------
    TopologyError
        A trace cannot be read.
    """
    start_s, end_s = window_s
    if isinstance(arrivals, schema.Deterministic):
        return EvenPoints(arrivals.rate * load, start_s, end_s, edges_s)
    if isinstance(arrivals, schema.Trace):
        return TracePoints(read_trace(directory / arrivals.file), start_s, end_s, load, edges_s)
    poisson = PoissonPoints(intensity(arrivals, start_s, end_s, load, key), edges_s, key)
    return BatchPoints(arrivals, poisson, key) if isinstance(arrivals, schema.Batch) else poisson
