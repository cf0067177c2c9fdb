"""The JSON documents that results print: their keys, and the JSON Schema made from them."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from results.statistics import Estimate

QUANTILES: tuple[Literal["p50", "p99", "p999"], ...] = ("p50", "p99", "p999")


class Quantiles(TypedDict):
    """Latency of legitimate deliveries. [s]"""

    p50: Estimate
    p99: Estimate
    p999: Estimate


class TopicQuantiles(TypedDict):
    """Latency of one Topic's legitimate deliveries. [s]"""

    p50: Estimate
    p99: Estimate


class Deliveries(TypedDict):
    """Copies, totals over all replications."""

    expected: int
    delivered: int
    rejected: int
    discarded: int
    lost: int


class ControllerFigures(TypedDict):
    """How busy a Controller is and how much memory it held at most. [1], [B]"""

    utilisation: Estimate
    memory_bytes_max: int


class Saturation(TypedDict):
    """What is used up: cpu, link or memory of a Controller, or a population's readers."""

    name: str
    resource: str


class StageFigures(TypedDict):
    """What a stage of the way took the copies that were followed. [s]"""

    topic: str
    population: str
    stage: str
    copies: int
    mean_s: float
    p99_s: float


class Usage(TypedDict):
    """Share in use of a resource: cpu, link or memory of a Controller, or readers. [1]"""

    name: str
    resource: str
    share: float


class Disturbance(TypedDict):
    """The phase that disturbs, and how soon after it all is as before. [s]"""

    phase: str
    recovery_s: Estimate


class SessionFigures(TypedDict):
    """Sessions of a population that lost some, over all replications. [1], [s]

    Times of logins count from the first attempt after a loss. `whole_again_s` is when 99 % of its
    Platforms are online for good; null if they never are.
    """

    population: str
    platforms: int
    attempts: int
    logins: int
    given_up: int
    refused: int
    away: int
    attempts_per_login: float | None
    login_p50_s: float | None
    login_p99_s: float | None
    online_share_min: float
    whole_again_s: float | None


class IdentityFigures(TypedDict):
    """A law that every run obeys, both sides counted apart."""

    name: str
    left: float
    right: float
    tolerance: float
    holds: bool


class VerdictFigures(TypedDict):
    """Whether the figures may be used, and why not."""

    valid: bool
    reasons: list[str]
    warnings: list[str]


class PhaseSummary(TypedDict):
    """Figures of one measured phase."""

    name: str
    start_s: float
    end_s: float
    offered_load_per_s: Estimate
    throughput_per_s: Estimate
    goodput_per_s: Estimate
    timely_share: Estimate
    latency_s: Quantiles
    controllers: dict[str, ControllerFigures]
    saturated: list[Saturation]


class OfflineFigures(TypedDict):
    """What a Controller stored for Platforms without a session, over all replications. [B]"""

    controller: str
    stored: int
    bounced: int
    delayed: int
    waiting: int
    bytes_max: float


class AnswerFigures(TypedDict):
    """One kind of answer to requests of one population; quantiles of its latency. [s]"""

    answer: str
    role: str
    population: str
    answered: int
    lost: int
    p50: Estimate
    p99: Estimate


class Summary(TypedDict):
    """A run in figures: the document of `gridlab simulate --json`."""

    run_id: str
    origin: str
    topology: str
    seed: int
    study: str
    duration_s: float
    replications: int
    deadline_s: float
    wall_s: float
    peak_rss_bytes: int
    headline: str
    publications: int
    deliveries: Deliveries
    latency_s: Quantiles
    goodput_per_s: Estimate
    controllers: dict[str, ControllerFigures]
    stations: dict[str, str]
    phases: list[PhaseSummary]
    topics: dict[str, TopicQuantiles]
    stages: list[StageFigures]
    busiest: list[Usage]
    saturated: list[Saturation]
    disturbance: Disturbance | None
    sessions: list[SessionFigures]
    answers: list[AnswerFigures]
    offline: list[OfflineFigures]
    identities: list[IdentityFigures]
    verdict: VerdictFigures


class Change(TypedDict):
    """A figure on both sides; difference is b - a, ratio is b / a."""

    a: Estimate
    b: Estimate
    difference: Estimate
    ratio: Estimate


class QuantileChanges(TypedDict):
    """Latency of legitimate deliveries on both sides. [s]"""

    p50: Change
    p99: Change
    p999: Change


class PhaseComparison(TypedDict):
    """One phase on both sides."""

    name: str
    offered_load_per_s: Change
    throughput_per_s: Change
    goodput_per_s: Change
    latency_s: QuantileChanges
    utilisation: dict[str, Change]


class Side(TypedDict):
    """The runs that are compared."""

    run_ids: list[str]
    origin: str
    topology: str
    replications: int


class Comparison(TypedDict):
    """Two sides compared: the document of `gridlab compare --json`."""

    a: Side
    b: Side
    paired: bool
    phases: list[PhaseComparison]
    warnings: list[str]


class PredictionError(TypedDict):
    """A figure on both sides; error is predicted / measured - 1, null where there is none."""

    predicted: Estimate
    measured: Estimate
    error: float | None


class Prediction(TypedDict):
    """How far a prediction is off. Rates in 1/s, quantiles in s, cpu in core seconds per second."""

    throughput: PredictionError
    p50: PredictionError
    p95: PredictionError
    p99: PredictionError
    cpu: PredictionError
    cpu_per_publication: PredictionError
    utilisation: PredictionError


class ScenarioFigures(TypedDict):
    """Figures of one scenario over its measured phases; utilisation is the busiest Controller's."""

    offered_load_per_s: Estimate
    throughput_per_s: Estimate
    goodput_per_s: Estimate
    latency_p50_s: Estimate
    latency_p99_s: Estimate
    latency_p999_s: Estimate
    utilisation: Estimate


class ScenarioRow(TypedDict):
    """One scenario: what is set, and its figures or why there are none."""

    key: str
    settings: dict[str, str]
    refused: list[str] | None
    figures: ScenarioFigures | None


class SweepDocument(TypedDict):
    """The document of `gridlab sweep --json`; `worked` scenarios were not stored before."""

    topology: str
    directory: str
    seed: int
    replications: int
    worked: int
    wall_s: float
    scenarios: list[ScenarioRow]


_DOCUMENTS = {
    "simulate": Summary,
    "compare": Comparison,
    "sweep": SweepDocument,
}


def document_schema(command: str) -> dict[str, Any]:
    """JSON Schema of the document that a command prints with `--json`."""
    from pydantic import TypeAdapter

    if command == "load":
        from results.scenario import LoadSummaries, LoadSummary

        either: Any = TypeAdapter(LoadSummary | LoadSummaries)
        about = "A measured run, `runs` where a scenario has several: `gridlab load --json`."
        return {**either.json_schema(mode="serialization"), "description": about}
    if command == "validate":
        from results.twin_documents import Validation

        return TypeAdapter(Validation).json_schema(mode="serialization")
    return TypeAdapter(_DOCUMENTS[command]).json_schema(mode="serialization")


def rounded(document: Any, digits: int = 12) -> Any:
    """A copy of a JSON document whose floats have at most so many significant digits."""
    if isinstance(document, float):
        return float(f"{document:.{digits}g}")
    if isinstance(document, dict):
        return {key: rounded(value, digits) for key, value in document.items()}
    if isinstance(document, list | tuple):
        return [rounded(value, digits) for value in document]
    return document
