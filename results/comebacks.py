"""How Platforms came back after a loss, in figures: alike for simulated and for real ones.

Both sides book by population what a run's record has under `logins`: attempts, logins, who gave up,
who was refused, who was online at the ends of the intervals, and the time from the first attempt to
the session. What follows from that is computed here, once.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np

from results import histogram
from results.sessions import WHOLE
from results.statistics import FloatArray, Sample

QUANTILES: Final = {"login_p50_s": 0.5, "login_p99_s": 0.99}
Logins = Mapping[str, Mapping[str, Any]]


def figures(
    logins: Logins,
    edges_s: FloatArray,
    hostile: Collection[str],
    *,
    back_s: float,
    guess_s: float | None = None,
) -> dict[str, Sample]:
    """What the legitimate Platforms met with, and how often the others tried.

    Parameters
    ----------
    logins : mapping
        By population.
    edges_s : ndarray
        Ends of the intervals. [s]
    hostile : collection of str
        Names of the adversary's populations.
    back_s : float
        From when on all could have come back. [s]
    guess_s : float, optional
        From when on the adversary has tried. [s]

    Returns
    -------
    dict of str to Sample
        `makespan_s`, from `back_s` until 99 % are online for good; `online_share` at the end;
        `attempts_per_login`; median and 99 % quantile of the time from the first attempt to the
        session; `guesses_per_s` that were answered.
    """
    honest = [entry for name, entry in logins.items() if name not in hostile]
    found: dict[str, Sample] = {}
    if honest:
        platforms = sum(entry["platforms"] for entry in honest)
        online = np.sum([np.asarray(entry["online"]) for entry in honest], axis=0) / platforms
        makespans = np.array([makespan_s(each, edges_s, back_s) for each in online])
        endless = int(np.isinf(makespans).sum())
        reason = f"unbounded: not all are back at the end in {endless} of {len(makespans)} runs"
        found["makespan_s"] = Sample(
            float(makespans.mean()), makespans, 0.0, reason if endless else ""
        )
        found["online_share"] = Sample(float(online[:, -1].mean()), online[:, -1], 0.0)
        found |= _per_login(honest)
    if guess_s is not None:
        refused = sum(entry["refused"] for name, entry in logins.items() if name in hostile)
        runs = len(next(iter(logins.values()))["online"])
        rate = refused / runs / (float(edges_s[-1]) - guess_s)
        found["guesses_per_s"] = Sample(rate, reason="over all replications")
    return found


def work_per_answer(logins: Logins, hostile: Collection[str], cpu_s: float) -> dict[str, Sample]:
    """CPU time of the server for each guess that it refused or login that it let in.

    Unlike a rate it does not depend on how much of its core the server got.

    Parameters
    ----------
    logins : mapping
        By population.
    hostile : collection of str
        Names of the adversary's populations.
    cpu_s : float
        All that the server used, over all replications. [s]
    """
    refused = sum(entry["refused"] for name, entry in logins.items() if name in hostile)
    answered = refused + sum(entry["logins"] for entry in logins.values())
    value = cpu_s / answered if answered else np.nan
    return {"cpu_per_answer_s": Sample(value, reason="over all replications")}


def _per_login(honest: list[Mapping[str, Any]]) -> dict[str, Sample]:
    """Attempts for each login, and how long a login took; over all replications."""
    attempts, logins = (sum(entry[name] for entry in honest) for name in ("attempts", "logins"))
    why = "over all replications"
    found = {"attempts_per_login": Sample(attempts / logins if logins else np.inf, reason=why)}
    total = histogram.empty()
    for entry in honest:
        sparse = entry["login_latency"]
        total = total + histogram.dense(np.array(sparse["bins"], np.int32),
                                        np.array(sparse["counts"]))  # fmt: skip
    if total.sum():
        for name, share in QUANTILES.items():
            found[name] = Sample(float(histogram.quantile(total, share)), reason=why)
    return found


def makespan_s(share: FloatArray, edges_s: FloatArray, since_s: float) -> float:
    """From an instant until a share of `WHOLE` is there for good; infinite if it never is. [s]

    Within the interval in which that is reached it grows evenly.
    """
    broken = np.flatnonzero(share < WHOLE)
    if not len(broken):
        return 0.0
    last = int(broken[-1])
    if last + 1 >= min(len(share), len(edges_s)):
        return float(np.inf)
    grown = (WHOLE - share[last]) / (share[last + 1] - share[last])
    reached_s = edges_s[last] + grown * (edges_s[last + 1] - edges_s[last])
    return max(float(reached_s) - since_s, 0.0)
