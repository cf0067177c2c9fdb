"""Whether a measurement agrees with its prediction: what is off by more than noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from results.evidence import Metric
from results.twin_documents import MetricError, PointVerdict

INVARIANT = "below saturation all that is offered is delivered"


def refuted(error: MetricError) -> bool:
    """Off by more than its bound, by more than the noise, and, of one run, by more than chance."""
    off = error["error"]
    if off is None or abs(off) <= error["bound"]:
        return False
    if error["noise_floor"] is not None:
        return error["noise_floor"] <= error["bound"] / 2 or abs(off) > 3.0 * error["noise_floor"]
    return error["inside_interval"] is not True


def foreseen(name: Metric, error: MetricError) -> bool:
    """Whether a figure is one that was predicted, not one that could not be otherwise."""
    return name != "cpu_per_publication" and error["not_scored"] != INVARIANT


def verdict(blind: Mapping[Metric, MetricError], invalid: Sequence[str]) -> PointVerdict:
    """Agrees, disagrees, or invalid: nothing was measured, or it was too noisy to tell."""
    if invalid:
        return {"verdict": "invalid", "reasons": list(invalid)}
    gated = {name: error for name, error in blind.items() if foreseen(name, error)}
    off = [name for name, error in gated.items() if refuted(error)]
    if off:
        reasons = [f"{name} is off by {gated[name]['error']:+.0%}" for name in off]
        return {"verdict": "disagrees", "reasons": reasons}
    noisy = [
        f"too noisy: {name} is off by {error['error']:+.0%}, its repeats by "
        f"{error['noise_floor']:.0%}"
        for name, error in gated.items()
        if error["error"] is not None and error["noise_floor"] is not None
        and abs(error["error"]) > error["bound"]
    ]  # fmt: skip
    return {"verdict": "invalid" if noisy else "agrees", "reasons": noisy}
