"""The document of `gridlab plan --json`; `results.plan_words` says the same in sentences."""

from __future__ import annotations

from typing import Any

from typing_extensions import TypedDict

from results.statistics import Estimate


class ControllerAnswer(TypedDict):
    """What one Controller of the file becomes: `controllers` with cores, memory and link each.

    `nic_bytes_per_s` is the thinnest link to buy that is enough. [B], [B/s]
    """

    controller: str
    controllers: int
    cores: int
    memory_bytes: int
    nic_bytes_per_s: float
    arrangement: str


class Answer(TypedDict):
    """What to buy and to set: all Controllers, all their cores, all their memory. [B]"""

    controllers: int
    cores: int
    memory_bytes: int
    limits: dict[str, Any]
    parts: list[ControllerAnswer]


class Constraint(TypedDict):
    """A resource, and how much of it the answer uses on average. [1]"""

    controller: str
    resource: str
    share: float


class NMinusOne(TypedDict):
    """The answer with one Controller lost; `needs` is what would outlive it."""

    meets: bool
    reason: str
    p99_s: Estimate | None
    needs: dict[str, int] | None


class UnderAttack(TypedDict):
    """The answer while all attacks last; `cores_at_least` is what closed forms ask for then."""

    meets: bool
    reason: str
    p99_s: Estimate | None
    cores_at_least: int


class Restart(TypedDict):
    """The answer after a restart of a Controller: when 99 % of all Platforms are back for good.

    Counted from the beginning of the restart; `about_s` is what closed forms say. [s]
    `meets` is null where it was not simulated: with very many Platforms, only if it is asked for.
    """

    controller: str
    platforms: int
    meets: bool | None
    reason: str
    whole_again_s: Estimate
    about_s: float


class Evidence(TypedDict):
    """One design that was tried: refused by a bound, or simulated.

    `nic_bytes_per_s` is its network link where that is not the file's [B/s]; `held_s` how long
    events are collected into items by `collected_by` (publishers or broker), 0 where they are not.
    """

    controller: str
    controllers: int
    cores: int
    nic_bytes_per_s: float | None
    arrangement: str
    held_s: float
    collected_by: str | None
    case: str
    load: float
    verdict: str
    reason: str
    certainty: float
    p99_s: Estimate | None
    figures: dict[str, Estimate]
    shares: dict[str, float]
    replications: int
    window_s: float


class Relaxed(TypedDict):
    """An objective that a smaller design would keep, and what it would save."""

    objective: str
    saves_cores: int


class Compared(TypedDict):
    """A way to share work out that was compared because one Controller is not enough.

    `controllers` with `cores` each are the smallest that keep the promise; null where none do.
    `reason` says why it was chosen, or was not.
    """

    controller: str
    arrangement: str
    text: str
    controllers: int | None
    cores: int | None
    chosen: bool
    reason: str


class Collected(TypedDict):
    """A smaller design that would do if publishers, or the Broker, collected events into items.

    `hold_s` is how long after the first event of an item; latencies count from the event.
    `saves_cores` is null where nothing is enough without.
    """

    controller: str
    by: str
    hold_s: float
    events_per_item: float
    controllers: int
    cores: int
    saves_cores: int | None
    p99_s: Estimate | None


class AdviceText(TypedDict):
    """What closed forms say of the grid as described, and what would help."""

    kind: str
    place: str
    text: str
    repairs: list[str]


class Confidence(TypedDict):
    """How sure the answer is: chance that answer and one size less would be judged alike again."""

    value: float
    text: str


class Check(TypedDict):
    """`--check`: the answer and one size less, simulated with draws of their own."""

    answer_meets: bool
    less_misses: bool
    evidence: list[Evidence]


class RealTrial(TypedDict):
    """The busiest Controller of a design as a real server bore it.

    `slower` is the CPU per delivery over what the plan reckoned with. [1]
    """

    controller: str
    controllers: int
    cores: int
    run_id: str
    p99_s: Estimate
    meets: bool
    slower: float
    valid: bool
    remarks: list[str]


class Rehearsed(TypedDict):
    """`--check-real`: the answer and one size less, played on a real server."""

    answer_meets: bool
    less_misses: bool
    trials: list[RealTrial]


class PlanDocument(TypedDict):
    """The document of `gridlab plan --json`; `answer` is null where nothing is enough.

    `cores_range` is where the answer's cores lie when all inputs are as uncertain as they are.
    """

    topology: str
    question: str
    answer: Answer | None
    reason: str
    cores_range: Estimate
    slo: list[str]
    binding: Constraint | None
    next: list[Constraint]
    headroom: Estimate
    n_minus_1: NMinusOne | None
    under_attack: UnderAttack | None
    restart: Restart | None
    relaxed: list[Relaxed]
    compared: list[Compared]
    collected: list[Collected]
    advice: list[AdviceText]
    evidence: list[Evidence]
    confidence: Confidence
    assumptions: list[str]
    check: Check | None
    rehearsal: Rehearsed | None
    seed: int
    wall_s: float
