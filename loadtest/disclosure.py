"""What whoever runs a Controller and its Broker can read of what Platforms say to each other.

Nothing is assumed of it: from some instant on a module of the server writes down every stanza that
clients send (`modules/mod_grid_reader.lua`, `templates/grid_reader.erl`), an owner's request has
what a Topic keeps, and the server's own files are searched.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from loadtest import pubsub
from loadtest.problems import LoadError
from loadtest.server import READER_FILE, READING_FILE

if TYPE_CHECKING:
    from loadtest.dialogue import Dialogue
    from loadtest.grid import Grid

BEGINS_WITHIN_S: Final = 0.6  # the modules look ten times a second whether they are to read


@dataclass(frozen=True)
class Disclosed:
    """Which of some texts were found: by a reader of stanzas, in what is kept, in files."""

    passing: frozenset[str]
    kept: frozenset[str]
    files: frozenset[str]

    @property
    def anywhere(self) -> frozenset[str]:
        """All of them."""
        return self.passing | self.kept | self.files


class Insider:
    """Who runs the first Controller of a grid that was deployed with `Options(reader=True)`."""

    def __init__(self, grid: Grid) -> None:
        place: dict[str, Any] = next(iter(grid.document()["controllers"].values()))
        self._directory = Path(place["server_directory"])

    async def begin(self) -> None:
        """Read along from now on."""
        (self._directory / READING_FILE).touch()
        await asyncio.sleep(BEGINS_WITHIN_S)

    async def find(
        self, texts: Collection[str], owner: Dialogue, broker: str, topic: str
    ) -> Disclosed:
        """Which of these texts can be found now.

        Raises
        ------
        LoadError
            The server wrote nothing down, or the Broker does not tell what it keeps.
        """
        noted = self._directory / READER_FILE
        if not noted.is_file():
            raise LoadError(f"{noted.name}: the server's module has read nothing; was it deployed?")
        reply = await owner.ask("get", broker, pubsub.items(topic))
        if not reply.ok:
            raise LoadError(f"{broker}: {reply.text[:200]}")
        files = [path for path in self._directory.rglob("*") if path.is_file() and path != noted]
        return Disclosed(
            _among(texts, [noted.read_bytes()]),
            _among(texts, [reply.text.encode()]),
            _among(texts, _contents(files)),
        )


def _contents(files: Iterable[Path]) -> Iterator[bytes]:
    """What is in the files that are still there: a server may write one anew meanwhile."""
    for each in files:
        with contextlib.suppress(FileNotFoundError):
            yield each.read_bytes()


def _among(texts: Collection[str], places: Iterable[bytes]) -> frozenset[str]:
    """Which of the texts are in any of the places."""
    found: set[str] = set()
    for place in places:
        found |= {text for text in texts if text.encode() in place}
    return frozenset(found)
