"""The book of a validation: what was predicted, when, and what was played since; it can be resumed.

It lies beside the runs. While the validation is under way its name ends in `.open.json`, and the
same command goes on from it; it is renamed when the last run is played. A prediction enters it with
the digest of its evidence and the instant at which it was on disk, before any of its measurements.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.problems import LoadError

KEY_DIGITS = 12


def key(terms: Mapping[str, Any]) -> str:
    """The name of what is validated: a digest of topology, loads, seed and the rest."""
    text = json.dumps(terms, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_DIGITS]


def now() -> str:
    """This instant. [UTC, ISO 8601]"""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Book:
    """What is known of a validation so far.

    Parameters
    ----------
    directory : Path
        Where its runs are kept.
    terms : mapping
        All that it is; another validation has another book.

    Attributes
    ----------
    entries : dict
        `fit`, `predictions` by load, `measured` and `ahead` by load and repeat, as far as they are
        there; `light`, all light loads in turn.
    """

    def __init__(self, directory: Path, terms: Mapping[str, Any]) -> None:
        self._stem = directory / f"validation-{key(terms)}"
        self._path = self._stem.with_name(f"{self._stem.name}.open.json")
        self.resumed = self._path.is_file()
        self.entries: dict[str, Any] = {
            "terms": dict(terms),
            "predictions": {},
            "measured": {},
            "ahead": {},
            "light": [],
        }
        if self.resumed:
            self.entries = self._read(terms)

    def _read(self, terms: Mapping[str, Any]) -> dict[str, Any]:
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise LoadError(f"{self._path}: cannot be read ({error}); remove it") from None
        if not isinstance(entries, dict) or entries.get("terms") != dict(terms):
            raise LoadError(f"{self._path}: is of another validation; remove it")
        return entries

    def write(self) -> None:
        """Put it on disk, whole or not at all."""
        partial = self._path.with_suffix(".partial")
        try:
            with partial.open("w", encoding="utf-8") as stream:
                json.dump(self.entries, stream, allow_nan=False, indent=1)
                stream.flush()
                os.fsync(stream.fileno())
            partial.replace(self._path)
        except OSError as error:
            raise LoadError(f"{self._path}: {error.strerror}; choose another --out") from None

    def played(self, load: float, repeat: int) -> str | None:
        """The run of a repeat, if it is there."""
        found: str | None = self.entries["measured"].get(f"{load!r}/{repeat}")
        return found

    def enter(self, load: float, repeat: int, run_id: str) -> None:
        """A repeat was played."""
        self.entries["measured"][f"{load!r}/{repeat}"] = run_id
        self.write()

    def ahead(self, load: float, repeat: int) -> dict[str, Any] | None:
        """What was predicted of a repeat just before it, if anything was."""
        found: dict[str, Any] | None = self.entries["ahead"].get(f"{load!r}/{repeat}")
        return found

    def enter_ahead(self, load: float, repeat: int, entry: Mapping[str, Any] | None) -> None:
        """A repeat was predicted that is about to be played; None: its light load did not count."""
        self.entries["ahead"][f"{load!r}/{repeat}"] = entry and dict(entry)
        self.write()

    def enter_light(self, played: Mapping[str, Any]) -> None:
        """A light load was played, whether or not it counts."""
        self.entries["light"].append(dict(played))
        self.write()

    def close(self, document: Mapping[str, Any]) -> Path:
        """Keep the whole document in its place; returns where."""
        kept = self._stem.with_name(f"{self._stem.name}-{datetime.now(UTC):%Y%m%dT%H%M%S}.json")
        self.entries = dict(document)
        self.write()
        self._path.replace(kept)
        return kept
