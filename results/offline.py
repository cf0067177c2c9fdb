"""What servers stored for Platforms without a session, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterator

from results import units
from results.documents import OfflineFigures
from results.records import Header


def figures(header: Header) -> list[OfflineFigures]:
    """Figures of each Controller that stores, over all replications."""
    return [
        {
            "controller": name,
            "stored": int(entry["stored"]),
            "bounced": int(entry["bounced"]),
            "delayed": int(entry["delayed"]),
            "waiting": int(entry["waiting"]),
            "bytes_max": float(entry["bytes_max"]),
        }
        for name, entry in header.measurement.get("offline", {}).items()
    ]


def text(found: list[OfflineFigures]) -> Iterator[str]:
    """`nac stored 1,200 copies for Platforms offline, 1.2 MB at most; 1,150 came late, ...`"""
    for each in found:
        yield (
            f"{each['controller']} stored {each['stored']:,} copies for Platforms that were "
            f"offline, at most {units.size(each['bytes_max'])} of payload; {each['delayed']:,} "
            f"were delivered late, {each['waiting']:,} wait, {each['bounced']:,} more bounced."
        )
