"""The three tables of a run: columns in memory, Parquet on disk, sparse histograms in between.

Columns are NumPy arrays by name, in the order and of the types that `results.records` declares.
Units and meanings travel in the Parquet files as column metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from results import histogram
from results.records import TABLES, Column, RecordError

Columns = dict[str, npt.NDArray[Any]]
Key = tuple[int, str, str, str, str, str]  # replication, phase, topic, population, role, stage


def checked(table: str, columns: Mapping[str, npt.ArrayLike]) -> Columns:
    """The table's columns as declared: order, types, equal lengths.

    Raises
    ------
    RecordError
        A column is missing, unknown, of another length or type.
    """
    declared = {column.name: column for column in TABLES[table]}
    missing, unknown = set(declared) - set(columns), set(columns) - set(declared)
    if missing or unknown:
        raise RecordError(
            f"{table}: columns missing {sorted(missing)}, unknown {sorted(unknown)}; "
            f"declared are {list(declared)}"
        )
    cast = {name: _cast(table, column, columns[name]) for name, column in declared.items()}
    lengths = {name: len(values) for name, values in cast.items()}
    if len(set(lengths.values())) > 1:
        raise RecordError(f"{table}: columns must be equally long; they are {lengths}")
    return cast


def _cast(table: str, column: Column, values: npt.ArrayLike) -> npt.NDArray[Any]:
    given = np.asarray(values)
    if given.ndim != 1:
        raise RecordError(f"{table}.{column.name}: shape {given.shape}; a column has one dimension")
    try:
        with np.errstate(invalid="ignore"):
            cast = given.astype(np.str_ if column.dtype == "str" else column.dtype)
    except (ValueError, TypeError) as error:
        raise RecordError(f"{table}.{column.name}: not {column.dtype} ({error})") from None
    if column.dtype != "str" and not np.array_equal(given, cast, equal_nan=cast.dtype.kind == "f"):
        raise RecordError(f"{table}.{column.name}: holds values that {column.dtype} cannot")
    return cast


def empty(table: str) -> Columns:
    """The table without rows."""
    return checked(table, {column.name: np.empty(0) for column in TABLES[table]})


def latency_columns(histograms: Mapping[Key, histogram.Counts]) -> Columns:
    """Dense histograms as the rows of the latency table, ordered by key and bin."""
    keys = sorted(histograms)
    pairs = [histogram.sparse(histograms[key]) for key in keys]
    repeats = [len(bins) for bins, _ in pairs]
    names = [column.name for column in TABLES["latency"]][:6]
    columns: Columns = {
        name: np.repeat(np.array([key[place] for key in keys]), repeats)
        for place, name in enumerate(names)
    }
    none = np.empty(0, dtype=np.int64)
    columns["bin"] = np.concatenate([none, *(bins for bins, _ in pairs)])
    columns["count"] = np.concatenate([none, *(counts for _, counts in pairs)])
    return checked("latency", columns)


def write_parquet(table: str, columns: Columns, path: Path) -> None:
    """The table as a Parquet file, compressed with zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields = [
        pa.field(
            column.name,
            pa.string() if column.dtype == "str" else pa.from_numpy_dtype(np.dtype(column.dtype)),
            metadata={"unit": column.unit, "meaning": column.meaning},
        )
        for column in TABLES[table]
    ]
    arrays = [_stored(columns[field.name], field.type) for field in fields]
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), path, compression="zstd")


def _stored(values: npt.NDArray[Any], kind: Any) -> Any:
    """A column for Parquet, from its bytes: `pyarrow.array` would load pandas first."""
    import pyarrow as pa

    if not pa.types.is_string(kind):
        buffer = pa.py_buffer(np.ascontiguousarray(values))
        return pa.Array.from_buffers(kind, len(values), [None, buffer])
    texts = [text.encode() for text in values.tolist()]
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(texts), pa.py_buffer(ends), pa.py_buffer(b"".join(texts))
    )


def read_parquet(table: str, path: Path) -> Columns:
    """The table from its Parquet file.

    Raises
    ------
    RecordError
        The file is not Parquet or does not hold the declared columns.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_table(path, use_threads=False, memory_map=False)
        return checked(table, {name: _array(stored.column(name)) for name in stored.column_names})
    except (pa.ArrowException, OSError) as error:
        raise RecordError(
            f"{path}: cannot be read as Parquet ({error}); restore or rerun"
        ) from None
    except RecordError as error:
        raise RecordError(f"{path.parent}: {error}") from None


def _array(column: Any) -> npt.NDArray[Any]:
    import pyarrow as pa

    if not pa.types.is_string(column.type):
        values: npt.NDArray[Any] = column.to_numpy()
        return values
    coded = column.combine_chunks().dictionary_encode()
    names = np.array(coded.dictionary.to_pylist(), dtype=np.str_)
    return names[coded.indices.to_numpy()] if len(names) else np.empty(0, dtype=np.str_)
