"""Sweeps: many scenarios of one topology, each simulated once and stored under its key.

A sweep is a directory named by all that its outcomes depend on, so that the same command finds it
again: what is stored there is not worked again, whatever stopped the sweep. Each outcome is written
whole (a rename) when it comes in; the directory holds no clock and no machine, so that it is the
same to the byte however many processes or machines did the work.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import topologies
from sim.axes import Axis, scenarios
from sim.executors import executor, prepare
from sim.scenarios import KEY_DIGITS, Base, Scenario, work, world
from topologies import TopologyError

Progress = Callable[[float, str], None]
OUTCOMES = "outcomes"
SPECIFICATION = "sweep.json"
SEAL = ',"sha256":"'


@dataclass(frozen=True)
class Sweep:
    """A finished sweep: where it is, its outcomes in order, and how many were worked just now."""

    directory: Path
    outcomes: tuple[dict[str, Any], ...]
    worked: int
    wall_s: float


def sweep(
    base: Base,
    axes: Sequence[Axis],
    directory: Path,
    *,
    samples: int | None = None,
    processes: int | None = None,
    cluster: str | None = None,
    progress: Progress | None = None,
) -> Sweep:
    """Simulate every scenario that is not stored yet.

    Parameters
    ----------
    base : Base
        The topology, costs, seed and replications.
    axes : sequence of Axis
        What is varied; see `sim.axes`.
    directory : Path
        Where the sweep's own directory is or will be.
    samples : int, optional
        Points of the Sobol sequence over the axes that are ranges.
    processes : int, optional
        Worker processes; one a core by default, 1 works in place.
    cluster : str, optional
        Address of a Dask scheduler whose workers shall do it instead.
    progress : callable, optional
        Called with the share that is done and a remark.

    Raises
    ------
    TopologyError
        An axis names no field or a value that the field does not take, or the directory cannot be
        written.
    """
    started = time.perf_counter()
    prepare(processes, cluster)
    _require_fields(base, axes)
    chosen = [
        Scenario(base, number, settings)
        for number, settings in enumerate(scenarios(axes, samples, base.seed))
    ]
    store = Store(directory / f"sweep-{base.topology.name}-{_name(chosen)}")
    with store.opened(_specification(base, chosen)):
        missing = [each for each in chosen if not store.holds(each.key)]
        worked: dict[str, dict[str, Any]] = {}
        for done, (key, text) in enumerate(_worked(missing, processes, cluster), start=1):
            store.keep(key, text)
            worked[key] = _opened(text)
            if progress is not None:
                stored = len(chosen) - len(missing) + done
                progress(stored / len(chosen), _remark(stored, len(chosen), done, started))
        outcomes = tuple(worked.get(each.key) or store.outcome(each.key) for each in chosen)
    return Sweep(store.directory, outcomes, len(missing), time.perf_counter() - started)


def _worked(
    missing: Sequence[Scenario], processes: int | None, cluster: str | None
) -> Iterator[tuple[str, str]]:
    """Keys and outcomes of the scenarios that are not stored, as they come."""
    if missing:
        with executor(processes, cluster) as workers:
            yield from workers.map(work_sealed, missing)


def work_sealed(scenario: Scenario) -> tuple[str, str]:
    """Key and outcome as it is stored: whoever worked it also writes it out."""
    return scenario.key, _sealed(work(scenario))


def _remark(stored: int, total: int, done: int, started: float) -> str:
    rate_per_s = done / (time.perf_counter() - started)
    return f"scenario {stored:,} of {total:,}, {rate_per_s:.3g}/s"


def _name(chosen: Sequence[Scenario]) -> str:
    return hashlib.sha256("".join(each.key for each in chosen).encode()).hexdigest()[:KEY_DIGITS]


def _specification(base: Base, chosen: Sequence[Scenario]) -> dict[str, Any]:
    """All that a sweep is, for people and for checking; outcomes are in the order of `keys`."""
    return {
        "sweep": 2,
        "topology": {
            "name": base.topology.name,
            "text": topologies.text(base.topology),
            "sha256": topologies.sha256(base.topology),
        },
        "seed": base.seed,
        "replications": base.replications,
        "load": base.load,
        "code": base.code,
        "keys": [each.key for each in chosen],
    }


def _require_fields(base: Base, axes: Sequence[Axis]) -> None:
    """Each axis alone must give a topology at all its ends."""
    problems: list[str] = []
    for axis in axes:
        for value in axis.ends():
            try:
                world(base, ((axis.path, value),))
            except TopologyError as error:
                problems += [each.replace("--set ", "--vary ", 1) for each in error.problems]
    if problems:
        raise TopologyError(list(dict.fromkeys(problems)))


class Store:
    """A sweep's directory: what it is, and an outcome for each key.

    Parameters
    ----------
    directory : Path
        The sweep's own.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._outcomes = directory / OUTCOMES

    @contextmanager
    def opened(self, specification: dict[str, Any]) -> Iterator[None]:
        """Make the directory, or find it again, and keep it for oneself.

        Raises
        ------
        TopologyError
            It cannot be written, or another sweep works on it.
        """
        try:
            self._outcomes.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.directory, os.O_RDONLY)
        except OSError as error:
            raise self._refusal(f"{error.strerror}; choose another place with --out") from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for stale in self.directory.rglob("*.partial"):
                stale.unlink()
            _write(self.directory / SPECIFICATION, _text(specification))
            yield
        except BlockingIOError:
            raise self._refusal("the same sweep is running; wait for it") from None
        finally:
            os.close(descriptor)

    def _refusal(self, rule: str) -> TopologyError:
        return TopologyError([f"{self.directory}: {rule}"])

    def holds(self, key: str) -> bool:
        """Whether the outcome of that key is there and whole; a damaged one is worked anew."""
        try:
            return bool(self._read(key)["key"] == key)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return False

    def keep(self, key: str, text: str) -> None:
        """Write a sealed outcome, whole or not at all.

        Raises
        ------
        TopologyError
            It cannot be written; what was stored before stays.
        """
        try:
            _write(self._outcomes / f"{key}.json", text)
        except OSError as error:
            rule = f"{error.strerror}; what is stored stays, the same command goes on"
            raise self._refusal(rule) from None

    def outcome(self, key: str) -> dict[str, Any]:
        """The outcome of a key that is held.

        Raises
        ------
        TopologyError
            Somebody changed it since.
        """
        try:
            return self._read(key)
        except ValueError as error:
            raise self._refusal(f"{OUTCOMES}/{key}.json: {error}; run the sweep again") from None

    def _read(self, key: str) -> dict[str, Any]:
        """What is stored, as it was written; anything else is a ValueError."""
        return _opened((self._outcomes / f"{key}.json").read_text(encoding="utf-8"))


def _sealed(outcome: dict[str, Any]) -> str:
    """An outcome's text, and in it as the last field its hash, by which a damaged one is known."""
    text = _text(outcome)
    return f'{text[:-1]}{SEAL}{_digest(text)}"}}'


def _opened(sealed: str) -> dict[str, Any]:
    """The outcome of a sealed text."""
    text, _, seal = sealed.rpartition(SEAL)
    if seal != f'{_digest(text + "}")}"}}':
        raise ValueError("is not what was written")
    found: dict[str, Any] = json.loads(text + "}")
    return found


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(document: dict[str, Any]) -> str:
    return json.dumps(document, allow_nan=False, separators=(",", ":"))


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
