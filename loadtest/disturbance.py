"""What a fault proxy does to the connections that pass through it, as plain figures."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Literal

from loadtest.problems import LoadError

Held = Literal["none", "to-server", "to-client", "both"]
_HELD: Final = ("none", "to-server", "to-client", "both")


@dataclass(frozen=True)
class Disturbance:
    """How a proxy treats a connection; the default passes everything on at once.

    Attributes
    ----------
    delay_s : float
        Everything arrives so much later, in each direction. [s]
    rate_bytes_per_s : float or None
        What one connection carries, in each direction; None: no limit. [B/s]
    held : {"none", "to-server", "to-client", "both"}
        Nothing gets through in this direction (a half-open connection): what is sent waits, as TCP
        keeps it through a broken path, and arrives once this is lifted.
    corrupt_every_bytes : int
        One bit is turned in each so many encrypted octets; 0: none. [B]
    refused : bool
        New connections are closed at once.

    Raises
    ------
    LoadError
        A figure is out of range.
    """

    delay_s: float = 0.0
    rate_bytes_per_s: float | None = None
    held: Held = "none"
    corrupt_every_bytes: int = 0
    refused: bool = False

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.delay_s <= 60:
            problems.append(f"delay_s: {self.delay_s!r} is not between 0 and 60 s")
        rate = self.rate_bytes_per_s
        if rate is not None and not 1 <= rate <= 1e12:
            problems.append(f"rate_bytes_per_s: {rate!r} is not between 1 and 1e12 B/s")
        if self.held not in _HELD:
            problems.append(f'held: "{self.held}" is none of {", ".join(_HELD)}')
        if not (0 <= self.corrupt_every_bytes < math.inf):
            problems.append(f"corrupt_every_bytes: {self.corrupt_every_bytes!r} is negative")
        if problems:
            raise LoadError("disturbance: " + "; ".join(problems))

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Disturbance:
        """The disturbance that a JSON object describes; LoadError names what it is not."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(document.keys() - set(known))
        if unknown:
            raise LoadError(
                f"disturbance: {', '.join(unknown)}: unknown; there is {', '.join(known)}"
            )
        return cls(**document)

    def document(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return asdict(self)

    def holds(self, direction: str) -> bool:
        """Whether nothing gets through in this direction, `to-server` or `to-client`."""
        return self.held in ("both", direction)


CALM: Final = Disturbance()
