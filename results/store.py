"""Runs on disk: one directory each, written whole or not at all, verified by digest when read.

`run.json` holds the SHA-256 of every table, and its own: taken with zeros in its own place.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from results.records import RECORD_VERSION, TABLES, Header, RecordError
from results.tables import Columns, read_parquet, write_parquet

if TYPE_CHECKING:
    from results.run import Run

HEADER_FILE = "run.json"
PARTIAL = ".partial"
HEADER_BYTES_MAX = 64 * 2**20
_ELSEWHERE = "choose another directory with --out"


def default_directory() -> Path:
    """Where runs go unless told: $GRIDLAB_RUNS, in a checkout results/runs, else ./gridlab-runs."""
    chosen = os.environ.get("GRIDLAB_RUNS")
    if chosen:
        return Path(chosen).expanduser()
    package = Path(__file__).resolve().parent
    if (package.parent / "pyproject.toml").is_file():
        return package / "runs"
    return Path("gridlab-runs")


def claim_directory(parent: Path | None) -> Path:
    """The directory for runs, made if need be, before any work is done for it.

    Raises
    ------
    RecordError
        It cannot be made or written.
    """
    directory = parent or default_directory()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"{directory}: {error.strerror}; {_ELSEWHERE}") from None
    if not os.access(directory, os.W_OK | os.X_OK):
        raise RecordError(f"{directory}: cannot be written; {_ELSEWHERE}")
    return directory


def check_target(path: Path, *endings: str) -> Path:
    """The file that will be written, checked before any work is done for it.

    Raises
    ------
    RecordError
        Its name ends in none of the `endings`, its directory is not there or cannot be written, or
        it is no file.
    """
    if endings and path.suffix.lower() not in endings:
        raise RecordError(f"{path}: is written in another format; let it end in {endings[0]}")
    parent = path.absolute().parent
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise RecordError(
            f"{path}: its directory is not there or cannot be written; choose another file"
        )
    if path.exists() and not path.is_file():
        raise RecordError(f"{path}: is no file; choose another file")
    return path


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all: beside its place first, then there.

    Raises
    ------
    RecordError
        It cannot be written; nothing is left of it.
    """
    unfinished = path.with_name(path.name + PARTIAL)
    try:
        unfinished.write_text(text, encoding="utf-8")
        os.replace(unfinished, path)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)
        raise RecordError(f"{path}: {error.strerror}; choose another file") from None
    return path


def write(run: Run, parent: Path) -> Path:
    """Write a run as the new directory `parent / run_id`.

    Raises
    ------
    RecordError
        A run of this id is there already, or the directory cannot be written.
    """
    final = parent / run.header.run_id
    partial = parent / (run.header.run_id + PARTIAL)
    if final.exists():
        raise RecordError(f"{final}: exists, and runs are never overwritten; {_ELSEWHERE}")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    except FileExistsError as error:
        raise RecordError(f"{error.filename}: is in the way; remove it or {_ELSEWHERE}") from None
    except OSError as error:
        raise RecordError(f"{parent}: {error.strerror}; {_ELSEWHERE}") from None
    try:
        _fill(run, partial)
        partial.rename(final)
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RecordError(f"{final}: {error.strerror}; {_ELSEWHERE}") from None
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    _sync(parent)
    return final


def _fill(run: Run, directory: Path) -> None:
    digests = {HEADER_FILE: "0" * 64}
    for table in TABLES:
        path = directory / f"{table}.parquet"
        write_parquet(table, run.columns(table), path)
        _sync(path)
        digests[path.name] = hashlib.sha256(path.read_bytes()).hexdigest()
    document = run.header.model_copy(update={"digests": digests}).model_dump()
    try:
        text = json.dumps(document, indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    except (TypeError, ValueError) as error:
        raise RecordError(f"{HEADER_FILE}: holds what JSON cannot ({error}); write null") from None
    own = hashlib.sha256(text.encode()).hexdigest()
    path = directory / HEADER_FILE
    path.write_text(text.replace(_own("0" * 64), _own(own)), encoding="utf-8")
    _sync(path)
    _sync(directory)


def _own(digest: str) -> str:
    """The header's entry of its own digest; no string can hold it, its quotes would be escaped."""
    return f'"{HEADER_FILE}": "{digest}"'


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_run(path: Path | str) -> Run:
    """The run in the directory `path` (or whose `run.json` it is), verified by its digests.

    Raises
    ------
    RecordError
        There is no such run, it is unfinished, damaged, or of a newer schema.
    """
    from results.run import Run

    directory = Path(path)
    if directory.name == HEADER_FILE:
        directory = directory.parent
    header = _read_header(directory)
    for table in TABLES:
        _verify(directory / f"{table}.parquet", header.digests.get(f"{table}.parquet"))
    return Run.stored(header, StoredTables(directory), directory)


class StoredTables(Mapping[str, Columns]):
    """The tables of a run's directory, each read when it is first asked for."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[str, Columns] = {}

    def __getitem__(self, table: str) -> Columns:
        if table not in self._read:
            self._read[table] = read_parquet(table, self._directory / f"{table}.parquet")
        return self._read[table]

    def __iter__(self) -> Iterator[str]:
        return iter(TABLES)

    def __len__(self) -> int:
        return len(TABLES)


def _read_header(directory: Path) -> Header:
    from pydantic import ValidationError

    path = directory / HEADER_FILE
    document, text = _read_json(directory, path)
    version = document.get("record")
    if version != RECORD_VERSION:
        newer = isinstance(version, int) and version > RECORD_VERSION
        raise RecordError(
            f"{path}: record: {json.dumps(version)}: this gridlab reads version {RECORD_VERSION}; "
            f"{'update gridlab' if newer else 'run again'}"
        )
    try:
        header = Header.model_validate(document)
    except ValidationError as error:
        problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise RecordError(f"{path}: " + "; ".join(problems) + "; run again") from None
    own = header.digests.get(HEADER_FILE, "")
    blank = text.replace(_own(own), _own("0" * 64))
    if hashlib.sha256(blank.encode()).hexdigest() != own:
        _damaged(path)
    return header


def _read_json(directory: Path, path: Path) -> tuple[dict[str, Any], str]:
    if directory.is_file():
        raise RecordError(
            f"{directory}: is a file; name a run's directory, which holds its {HEADER_FILE}"
        )
    if not directory.is_dir():
        raise RecordError(f"{directory}: there is no such run{_neighbours(directory.parent)}")
    if directory.name.endswith(PARTIAL):
        raise RecordError(f"{directory}: this run did not finish; run it again and remove this one")
    if not path.is_file():
        raise RecordError(
            f"{directory}: is not a run, it has no {HEADER_FILE}{_neighbours(directory)}"
        )
    if path.stat().st_size > HEADER_BYTES_MAX:
        raise RecordError(f"{path}: is larger than any header; it was not written by gridlab")
    try:
        text = path.read_bytes().decode("utf-8")
        document = json.loads(text, parse_constant=_not_finite)
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: cannot be read ({error}); restore it or run again") from None
    if not isinstance(document, dict):
        raise RecordError(f"{path}: is not a run's header; choose a run's directory")
    return document, text


def _not_finite(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _neighbours(directory: Path) -> str:
    """The newest runs of a directory, as the end of a message."""
    runs = sorted(
        directory.glob(f"*/{HEADER_FILE}"), key=lambda p: p.stat().st_mtime_ns, reverse=True
    )
    names = [run.parent.name for run in runs[:3] if not run.parent.name.endswith(PARTIAL)]
    return f"; the newest here are {', '.join(names)}" if names else "; choose a run's directory"


def _verify(path: Path, digest: str | None) -> None:
    try:
        found = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise RecordError(f"{path}: {error.strerror}; restore the run or run again") from None
    if found != digest:
        _damaged(path)


def _damaged(path: Path) -> NoReturn:
    raise RecordError(
        f"{path}: its SHA-256 is not the one in {HEADER_FILE}; it was changed or damaged: "
        "restore it from a copy or run again"
    )
