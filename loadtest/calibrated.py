"""What a calibration found of a server: its profile, each figure, what could not be pinned down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from results.statistics import Estimate
from topologies.profiles import Profile


@dataclass
class Calibrated:
    """A server's profile, what is known of each figure, and the runs behind it."""

    controller: str
    profile: Profile
    figures: dict[str, Estimate]
    kept: dict[str, str]
    checks: dict[str, dict[str, float]]
    runs: list[str] = field(default_factory=list)
    paces_per_s: dict[str, float | None] = field(default_factory=dict)
    took_s: float = 0.0
    path: Path | None = None
    valid: bool = True
    reasons: list[str] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """One server in what `gridlab calibrate --json` prints."""
        return {
            "controller": self.controller,
            "profile": self.profile.name,
            "server": self.profile.server,
            "version": self.profile.version,
            "path": str(self.path) if self.path else None,
            "figures": self.figures,
            "not_pinned_down": self.kept,
            "checks": self.checks,
            "runs": self.runs,
            "paces_per_s": self.paces_per_s,
            "took_s": round(self.took_s, 1),
            "valid": self.valid,
            "reasons": self.reasons,
        }


def render(done: Sequence[Calibrated]) -> str:
    """What was found, with intervals, and what was not."""
    lines = []
    for each in done:
        lines.append(f"{each.profile.name} ({each.profile.server} {each.profile.version}):")
        for name, estimate in each.figures.items():
            value, low, high = (estimate[k] for k in ("value", "low", "high"))
            if value is None:
                lines.append(f"  {name}: {estimate.get('reason', '-')}")
                continue
            between = "" if low is None or high is None else f" [{low:.4g} .. {high:.4g}]"
            lines.append(f"  {name}: {value:.4g}{between}, n = {estimate['n']}")
        for name, check in each.checks.items():
            lines.append(f"  check {name}: CPU per publication {check['error']:+.1%}")
        for name, why in each.kept.items():
            lines.append(f"  not pinned down: {name}: {why}")
        for why in each.reasons:
            lines.append(f"  not valid: {why}")
        if each.path:
            lines.append(f"  wrote {each.path}, {each.took_s:.0f} s")
    return "\n".join(lines)
