"""The document of `gridlab plan --json`, and the same in sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from typing_extensions import TypedDict

from results import units
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


RESOURCES = {
    "cpu": "CPU",
    "link": "network link",
    "memory": "memory",
    "readers": "reading by the Platforms",
    "latency": "latency of an idle grid",
}


def headline(document: PlanDocument) -> str:
    """The answer in one sentence."""
    answer, promise = document["answer"], " and ".join(document["slo"])
    if answer is None:
        return f"Nothing in the budget keeps {promise}: {document['reason']}."
    binding = document["binding"]
    assert binding is not None
    resource = RESOURCES[binding["resource"]]
    return (
        f"{_size(answer['controllers'], answer['cores'])} and "
        f"{units.size(answer['memory_bytes'])} of memory keep {promise}; the {resource} of "
        f"{binding['controller']} binds ({units.percent(binding['share'])} in use)."
    )


def _size(controllers: int, cores: int) -> str:
    nodes = f"{controllers} Controller{'s' if controllers > 1 else ''}"
    return f"{nodes} with {cores} core{'s' if cores > 1 else ''} in all"


def remarks(document: PlanDocument) -> Iterator[str]:
    """What else a reader should know, one sentence each."""
    others = [
        f"{RESOURCES[c['resource']]} of {c['controller']} ({units.percent(c['share'])})"
        for c in document["next"]
    ]
    if others:
        yield f"Next constraints: {', then '.join(others)}."
    if document["answer"] is not None:
        headroom = document["headroom"]
        yield (
            f"Head-room: keeps it up to {headroom['low']:.2f} times the load, no longer at "
            f"{headroom['high']:.2f} times."
        )
        spread = document["cores_range"]
        if spread["low"] is not None:
            yield (
                f"With the file's figures as uncertain as their sources, {spread['low']:g} to "
                f"{spread['high']:g} cores; gridlab sensitivity says which to measure better."
            )
    yield from _threats(document)
    for relaxed in document["relaxed"]:
        cores = relaxed["saves_cores"]
        yield f"{relaxed['objective']} would save {cores} core{'s' if cores > 1 else ''}."
    for way in document["compared"]:
        size = "not chosen"
        if way["controllers"] is not None and way["cores"] is not None:
            size = _size(way["controllers"], way["controllers"] * way["cores"])
        mark = ", chosen" if way["chosen"] else ""
        yield f"Compared for {way['controller']}: {way['text']}: {size}{mark} ({way['reason']})."
    yield from (_if_collected(each) for each in document["collected"])
    if (check := document["check"]) is not None:
        own = "meets" if check["answer_meets"] else "MISSES"
        less = "misses" if check["less_misses"] else "MEETS"
        yield f"Checked with other draws: the answer {own} it, one size less {less} it."
    if (rehearsal := document["rehearsal"]) is not None:
        for trial in rehearsal["trials"]:
            design = f"{trial['controllers']} × {trial['cores']}"
            verdict = "meets" if trial["meets"] else "misses"
            doubt = "" if trial["valid"] else f" (run not valid: {'; '.join(trial['remarks'])})"
            p99 = units.latency(trial["p99_s"])
            yield (
                f"On a real server the busiest of {design} {verdict} it: p99 {p99}; a "
                f"delivery took {trial['slower']:.2f} times the CPU reckoned with{doubt}."
            )
    confidence = document["confidence"]
    yield f"Confidence {units.percent(confidence['value'])}: {confidence['text']}."


def _if_collected(each: Collected) -> str:
    """What collecting events would save, in a sentence."""
    who = "its publishers" if each["by"] == "publishers" else "its Broker"
    size = _size(each["controllers"], each["controllers"] * each["cores"])
    saved, p99 = each["saves_cores"], each["p99_s"]
    saving = f" (saves {saved})" if saved is not None else ""
    late = f", p99 {units.latency(p99)} from the event on" if p99 is not None else ""
    return (
        f"Batching: if {who} collected what comes up within {units.seconds(each['hold_s'])} into "
        f"one item, {each['events_per_item']:.3g} events on average, {size} would do for "
        f"{each['controller']}{saving}{late}."
    )


def tried(each: Evidence) -> str:
    """The size of a design that was tried: 2 × 4, and what else it has of its own."""
    design = f"{each['controllers']} × {each['cores']}"
    if each["nic_bytes_per_s"]:
        design += f", {units.bits(each['nic_bytes_per_s'])}"
    if each["arrangement"] == "cluster" and each["controllers"] > 1:
        design += " in a cluster"
    if each["collected_by"]:
        who = "Broker holds" if each["collected_by"] == "broker" else "publishers hold"
        design += f", {who} {units.seconds(each['held_s'])}"
    return design


def _threats(document: PlanDocument) -> Iterator[str]:
    """A lost Controller, the attacks of the file, and a restart."""
    if (lost := document["n_minus_1"]) is not None:
        needs = lost["needs"]
        repair = (
            f"; {_size(needs['controllers'], needs['cores'])} would outlive it" if needs else ""
        )
        verdict = "it still keeps its promise" if lost["meets"] else f"it fails ({lost['reason']})"
        yield f"One Controller lost: {verdict}{'' if lost['meets'] else repair}."
    if (attack := document["under_attack"]) is not None:
        if attack["meets"]:
            yield "Under attack it still keeps its promise."
        else:
            yield (
                f"Under attack it fails ({attack['reason']}); closed forms ask for at least "
                f"{attack['cores_at_least']} cores then."
            )
    if (restart := document["restart"]) is not None:
        yield _restarted(restart)


def _restarted(restart: Restart) -> str:
    """What a restart does, in a sentence."""
    named = f"After a restart of {restart['controller']}"
    logins = f"{restart['platforms']:,} Platforms log in again"
    about = f"closed forms say about {units.seconds(restart['about_s'])}"
    if restart["meets"] is None:
        return (
            f"{named} its {logins}: {about} until 99 % are back; --slo 'whole < 5 min' has it "
            "simulated."
        )
    if restart["whole_again_s"]["value"] is None:
        return f"{named} its {logins}, and are not all back in time ({restart['reason']})."
    back = units.latency(restart["whole_again_s"])
    verdict = "" if restart["meets"] else f", which {restart['reason']}"
    return f"{named} its {logins}: 99 % are back {back} after it began{verdict}; {about}."
