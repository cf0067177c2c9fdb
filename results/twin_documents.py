"""The documents of validations and of the trust that they add up to: keys and meanings."""

from __future__ import annotations

from typing import Any, NotRequired

from typing_extensions import TypedDict

from results.evidence import Evidence, Metric
from results.statistics import Estimate


class MetricError(TypedDict):
    """A figure on both sides. [1/s, s, B or core seconds per second]

    `error` is predicted / measured - 1, null where there is none; `inside_interval` whether it is
    within the joint 95 % interval; `noise_floor` how far two such measurements would be apart
    on average, relative; `not_scored` why it does not count for the summary, empty where it does.
    """

    predicted: Estimate
    measured: Estimate
    error: float | None
    bound: float
    inside_interval: bool | None
    noise_floor: float | None
    not_scored: str


class PointVerdict(TypedDict):
    """Whether a measurement agrees with its prediction: agrees, disagrees or invalid."""

    verdict: str
    reasons: list[str]


class BracketingLoad(TypedDict):
    """The light load from which one run was predicted, on both sides, and the costs that it gave.

    `created` is when it began (UTC), `seconds` how long it was, `publications` how many it had.
    `used` is what each process used of a core [1] and `offered_per_s` what was offered in the
    measured phases [1/s], `predicted_` the same by the model before; `speeds` are the factors over
    the profiles' machine that the run was predicted with [1].
    """

    run: str
    created: str
    seconds: float
    valid: bool
    publications: int
    used: dict[str, float]
    offered_per_s: float
    predicted_used: dict[str, float]
    predicted_per_s: float
    speeds: dict[str, float]


class BracketedRun(TypedDict):
    """What was predicted of one measured run, from the light load played just before it.

    `stored` is when the prediction was on disk, `begun` when its run began (UTC), `sha256` the
    digest of `predicted` as it was stored.
    """

    predicted: Evidence
    light: BracketingLoad
    stored: str
    sha256: str
    begun: str


class PointEvidence(TypedDict):
    """What is kept of a point. `stored` is when the prediction was on disk, `begun` when each
    measurement began (UTC), `sha256` the digest of `predicted` as it was stored. `given_pace` is
    the model told the pace of the cores, once for each measured run, by `pace_exponent`
    (`results.pacing`); `bracketed` has what was predicted of each measured run just before it,
    without those whose light load did not count. All three are absent in older documents.
    """

    predicted: Evidence
    stored: str
    sha256: str
    measured: Evidence | None
    begun: list[str]
    structure: Evidence | None
    given_pace: NotRequired[Evidence | None]
    pace_exponent: NotRequired[float]
    bracketed: NotRequired[list[BracketedRun]]


class PointRuns(TypedDict):
    """Ids of the runs; `structure` is the model told the measured cost, `invalid` do not count."""

    predicted: str
    measured: list[str]
    invalid: list[str]
    structure: str | None


class Beyond(TypedDict):
    """One figure: s, deliveries/s, a load, B, s, B/s or B; `error` is predicted / measured - 1.

    `where` tells which point, defence or limit; `error` is null where one side has no figure.
    """

    figure: str
    server: str
    where: str
    predicted: float | None
    measured: float | None
    error: float | None
    bound: float


class TwinPoint(TypedDict):
    """One load at which a prediction was checked on a real server, by one or more repeats.

    `utilisation` is the predicted one of the busiest Controller; `structure` has the errors of the
    model that was told the measured CPU time per publication, `given_pace` those of the model that
    was told how fast the cores were meanwhile (empty where that is not known): `slowdown` times as
    slow as the costs hold for; `bracketed` those of what was predicted of each run from the light
    load just before it, of the runs that have one that counts (empty where none has).
    """

    load: float
    offered_load_per_s: float
    subscribers: int
    payload_bytes: float | None
    server: str
    utilisation: float
    repeats: int
    throughput: MetricError
    p50: MetricError
    p95: MetricError
    p99: MetricError
    last_p50: MetricError
    last_p95: MetricError
    cpu: MetricError
    cpu_per_publication: MetricError
    memory: MetricError
    structure: dict[Metric, MetricError]
    given_pace: dict[Metric, MetricError]
    bracketed: dict[Metric, MetricError]
    slowdown: float | None
    ledger: dict[str, int]
    generator: dict[str, Any]
    verdict: PointVerdict
    verdict_given_pace: PointVerdict | None
    verdict_bracketed: PointVerdict | None
    runs: PointRuns
    evidence: PointEvidence


class Score(TypedDict):
    """A metric over the points at which it counts; errors are absolute, relative to measured.

    `median_of_all` is over the others as well: those that noise, or the load, bars from the score.
    """

    points: int
    not_scored: int
    median_error: float | None
    p90_error: float | None
    worst: float | None
    inside_interval: float | None
    noise_floor: float | None
    bound: float
    median_of_all: float | None


class Scored(TypedDict):
    """A server's scores: its CPU per publication, latencies given that cost, all blind, all of each
    run from the light load just before it where any point has that, and all given the pace of its
    cores where that is known of any.
    """

    cost: dict[Metric, Score]
    structure: dict[Metric, Score]
    blind: dict[Metric, Score]
    bracketed: NotRequired[dict[Metric, Score]]
    given_pace: NotRequired[dict[Metric, Score]]


class Cause(TypedDict):
    """What the points tell about the model: costs, discipline, pauses or queueing; or that the
    machine was not the same before and after.
    """

    server: str
    cause: str
    why: str


class TwinSummary(TypedDict):
    """All points together."""

    points: int
    verdicts: dict[str, int]
    servers: dict[str, Scored]
    causes: list[Cause]


class TwinRefutation(TypedDict):
    """A figure that is off by more than its bound and by more than noise.

    `given_pace` is there, and true, if it is so given the pace of the cores, `bracketed` if so from
    the light loads just before the runs; without either it is so as predicted before all of them.
    """

    server: str
    load: float
    utilisation: float
    metric: Metric
    given_pace: NotRequired[bool]
    bracketed: NotRequired[bool]
    error: float
    bound: float
    noise_floor: float | None
    cause: str


class TwinSpells(TypedDict):
    """Spells of a server's machine that the pilot showed: how many, their share of the time [1],
    CPU time in them over that between [1], their mean length [s].
    """

    count: int
    share: float
    factor: float
    mean_s: float


class TwinCollections(TypedDict):
    """What a Prosody's collector was seen to do: its share of the CPU time of a light load [1],
    cycles for a unit of allocation [1], with how many sessions; what one costs by the fit, on the
    profile's own machine [s].
    """

    share: Estimate
    cycles: float
    sessions: int
    collection_s: float


class TwinFit(TypedDict):
    """The costs behind the predictions: a pilot's speed factor, or a profile that was given.

    `speed` is what the pilot's publications cost over what the profiles say, all servers together;
    `speeds` is each server's own factor over its profile's machine [1], `paces_per_s` the pace of
    its core for which the costs hold, null where it is not known [1/s]; `cold_s` what its first
    work after a long rest costs more [s]; `collections` what was seen of the collectors that show
    it; `spells` in which the pilot showed its machine to be slow: predictions expect them to go on.
    Documents until 2026-11-27 have `neighbours` for it.
    """

    speed: Estimate
    speeds: dict[str, float]
    paces_per_s: dict[str, float | None]
    pilot: str | None
    publications: int
    profile: str | None
    cold_s: NotRequired[dict[str, float]]
    collections: NotRequired[dict[str, TwinCollections]]
    spells: NotRequired[dict[str, TwinSpells]]


class LightLoad(TypedDict):
    """A run under a light load; one that does not count is played again, three times at most."""

    run: str
    valid: bool
    reasons: list[str]


class Validation(TypedDict):
    """The document of `gridlab validate --json`."""

    kind: str
    topology: str
    seed: int
    duration_s: float
    order: list[list[int]]  # point and repeat of each run, as they were played
    fit: TwinFit
    light_loads: NotRequired[list[LightLoad]]  # before the runs and after, those for nothing, too
    changes: list[str]  # made to the grid after its costs were fitted
    drift: Estimate | None  # what the same light load cost after the runs, over before
    drift_given_pace: Estimate | None  # the same at equal pace of the cores
    points: list[TwinPoint]
    summary: TwinSummary
    beyond: list[Beyond]
    refuted: list[TwinRefutation]
