"""Parts of a long proof, each kept in a file, so that a stopped proof goes on where it stopped.

A part counts only if it was made by the code as it is: each file names a hash of all the code that
the proof speaks of (`tests/proofs.yaml`), so what it proves cannot change behind its back.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import prove

ROOT = prove.ROOT
PROOFS = ROOT / "results" / "proofs"  # ignored by git
_MADE_BY = "made_by"


class Parts:
    """A directory of parts.

    Parameters
    ----------
    work : Path
        The directory.
    proof : str
        The proof's name in `tests/proofs.yaml`, which says what code it speaks of.
    """

    def __init__(self, work: Path, proof: str) -> None:
        self.work, self._proof = work, prove.named(proof)

    def made_by(self) -> str:
        """Hash of the code as it is."""
        return self._proof.digest()

    def read(self, name: str) -> dict[str, Any] | None:
        """A part, if it is there and made by the code as it is."""
        path = self.work / f"{name}.json"
        if not path.is_file():
            return None
        found: dict[str, Any] = json.loads(path.read_text())
        return found if found.pop(_MADE_BY) == self.made_by() else None

    def keep(self, name: str, part: dict[str, Any]) -> None:
        """Write a part, whole or not at all."""
        self.work.mkdir(parents=True, exist_ok=True)
        draft = self.work / f"{name}.partial"
        draft.write_text(json.dumps({_MADE_BY: self.made_by(), **part}, indent=1) + "\n")
        draft.replace(self.work / f"{name}.json")
