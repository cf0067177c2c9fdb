"""A plan in words: its headline, remarks, and the cells of what was tried."""

from __future__ import annotations

from collections.abc import Iterator

from results import units
from results.plans import Collected, Evidence, PlanDocument, Restart
from results.statistics import Estimate

HEADINGS = ("size", "load", "case", "p99", "CPU", "verdict", "sure")
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
                f"With the file's figures as uncertain as their sources, {_cores(spread)}; "
                "gridlab sensitivity says which to measure better."
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


def _cores(spread: Estimate) -> str:
    low, high = f"{spread['low']:g}", f"{spread['high']:g}"
    return f"{low} to {high} cores" if low != high else f"still {low} core{'s' * (low != '1')}"


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


def cells(each: Evidence) -> tuple[str, ...]:
    """What was tried as a table shows it, under `HEADINGS`."""
    return (
        tried(each),
        f"{each['load']:.3g}",
        each["case"],
        units.latency(each["p99_s"]) if each["p99_s"] is not None else "–",
        units.percent(each["shares"]["cpu"] * each["load"]),
        each["reason"] if each["reason"].startswith(each["verdict"]) else _because(each),
        units.percent(each["certainty"]),
    )


def _because(each: Evidence) -> str:
    return f"{each['verdict']}: {each['reason']}" if each["reason"] else each["verdict"]


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
