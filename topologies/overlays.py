"""Attack files: a threat of RFC 8600 laid over a base topology, with the defences to be tried.

An overlay adds Platforms, attacks and faults to a base, which can be another one than the file
names. Names of the base are then not known to the file, so it may write selectors instead:

    $controller    the first Controller            $topic       the Topic with the most deliveries
    $publisher     a population that publishes it   $subscriber  a population that receives it
    $platforms     how many Platforms there are     $subscribers how many receive that Topic
    $rate          publications on that Topic per second

A threat that moves people and programs rather than traffic has a `procedure` instead of attacks and
faults (`topologies.procedures`), which its defences change as `procedure.FIELD=VALUE`.

Each defence is a list of changes as `--set` takes them; the first is `none`. A section `real` says
how the same is played on a real server, at a scale that fits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from topologies import identity, overrides
from topologies.documents import Document, read
from topologies.loading import SHIPPED, content, load, parse, validated
from topologies.model import IDENTIFIER, Model, Name
from topologies.plan import offered
from topologies.problems import Problem, TopologyError, choice, printable
from topologies.procedures import AnyProcedure
from topologies.quantities import Fraction
from topologies.schema import Topology

ATTACKS: Final = SHIPPED / "attacks"
_ONE_HAPPENS: Final = "must have attacks, faults or adversaries, or else a procedure"
SELECTOR: Final = re.compile(r"\$([a-z]+)")


class Defence(Model):
    """What is done against an attack: changes of the topology, none for the first."""

    name: Name = Field(description="what tables call it")
    description: str = Field("", max_length=300, description="what it is, in a sentence")
    changes: tuple[str, ...] = Field((), max_length=100, description="as `--set` takes them")


class Enacted(Model):
    """What of an attack is played on a real server: scaled so that one core is enough.

    What is not written here is that of the file; where it has traffic of its own, the procedure is
    left out. With `procedure: null` and nothing else that happens, the base's own traffic is the
    attack, as `changes` make it.
    """

    headline: str | None = Field(None, description="figure that matters most")
    hypothesis: str | None = Field(None, min_length=3, max_length=1000, description="what to show")
    base: str | None = Field(None, description="topology that it is laid over")
    changes: tuple[str, ...] = Field((), max_length=100, description="of the base, as `--set`")
    platforms: tuple[dict[str, Any], ...] = Field((), description="populations that are added")
    attacks: tuple[dict[str, Any], ...] = Field((), description="instead of the base's own")
    faults: tuple[dict[str, Any], ...] = Field((), description="instead of the base's own")
    procedure: dict[str, Any] | None = Field(None, description="instead of the file's own")
    share: Fraction = Field(1.0, description="of its core that the server is held to [1]")
    defences: tuple[Defence, ...] = Field((), max_length=50, description="variants")

    def of(self, overlay: Overlay) -> Overlay:
        """The attack file as it is played."""
        own = {name: getattr(self, name) for name in self.model_fields_set if name != "share"}
        if self.model_fields_set & {"platforms", "attacks", "faults"}:
            own.setdefault("procedure", None)
        return overlay.model_copy(update=own)


class Overlay(Model):
    """An attack file."""

    schema_: int = Field(alias="schema", ge=1, le=1, description="version of this format")
    id: str = Field(pattern=IDENTIFIER, description="of the scenario, e.g. S-FLOOD")
    title: str = Field(min_length=3, max_length=200, description="what happens, in a line")
    reference: str = Field(min_length=3, max_length=200, description="where the RFC speaks of it")
    hypothesis: str = Field(min_length=3, max_length=1000, description="what is expected to show")
    headline: str = Field(description="figure that matters most, as the document calls it")
    picture: Literal["goodput", "memory", "online"] = Field(
        "goodput", description="what is drawn over time; a procedure draws its own"
    )
    base: str = Field(description="topology that it is laid over")
    changes: tuple[str, ...] = Field(
        (), max_length=100, description="of the base, for all variants, as `--set` takes them"
    )
    platforms: tuple[dict[str, Any], ...] = Field((), description="populations that are added")
    attacks: tuple[dict[str, Any], ...] = Field((), description="instead of the base's own")
    faults: tuple[dict[str, Any], ...] = Field((), description="instead of the base's own")
    procedure: dict[str, Any] | None = Field(
        None, description="what people and programs do on the control plane, beside the traffic"
    )
    slo: dict[str, Any] | None = Field(None, description="instead of the base's own")
    defences: tuple[Defence, ...] = Field(min_length=1, max_length=50, description="variants")
    real: Enacted | None = Field(None, description="how it is played on a real server (`--real`)")


class Played(Model):
    """The part of an attack file that the control plane plays."""

    procedure: AnyProcedure = Field(description="who does what")


@dataclass(frozen=True)
class Scenario:
    """An overlay on its base: one topology for each defence, and each again without the attack.

    Where the control plane plays it, there is a procedure for each defence instead of an attack.
    """

    overlay: Overlay
    base: str
    attacked: Mapping[str, Topology]
    calm: Mapping[str, Topology]
    procedures: Mapping[str, AnyProcedure] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of its core that a real server is held to. [1]"""
        return self.overlay.real.share if self.overlay.real is not None else 1.0


def catalogue() -> dict[str, str]:
    """The attack files that are shipped: title by id."""
    found = {}
    for path in sorted(ATTACKS.glob("S-*.yaml")):
        overlay = read_overlay(path)
        found[overlay.id] = overlay.title
    return found


def find_overlay(source: str | Path) -> Path:
    """The attack file that a path or an id means.

    Raises
    ------
    TopologyError
        There is none; the message names the nearest.
    """
    path = Path(source)
    if path.is_file():
        return path
    shipped = ATTACKS / f"{path.name.removesuffix('.yaml')}.yaml"
    if path.name == str(source) and shipped.is_file():
        return shipped
    known = [each.stem for each in sorted(ATTACKS.glob("S-*.yaml"))]
    near = choice(str(source), known, "attacks at hand are")
    raise TopologyError([f'"{printable(str(source))[:200]}": no such attack file; {near}'])


def read_overlay(path: Path) -> Overlay:
    """The checked attack file.

    Raises
    ------
    TopologyError
        All that is wrong with it.
    """
    document = read(content(path), path.name)
    if isinstance(document.data, dict) and "controllers" in document.data:
        rule = f"is a topology; simulate it, or name it after an attack: gridlab attack ID {path}"
        raise TopologyError([f"{path.name}: {rule}"])
    return validated(document, Overlay, [], _problems)


def _problems(overlay: Overlay) -> list[Problem]:
    found = _broken(overlay) + _idle(overlay)
    if overlay.real is not None:
        found += [
            Problem(("real", *each.path), each.rule, each.repair, each.value)
            for each in _broken(overlay.real.of(overlay))
        ]
    return found


def _broken(overlay: Overlay) -> list[Problem]:
    found = []
    if overlay.defences[0].name != "none" or overlay.defences[0].changes:
        rule, repair = "must be the one without any change", "begin with `- name: none`"
        found.append(Problem(("defences", 0), rule, repair))
    names = [defence.name for defence in overlay.defences]
    for number, name in enumerate(names):
        if name in names[:number]:
            rule = "is the name of two defences"
            found.append(Problem(("defences", number, "name"), rule, "name each once", name))
    if _happens(overlay) and overlay.procedure is not None:
        found.append(Problem((), _ONE_HAPPENS, "write the one that happens"))
    return found


def _idle(overlay: Overlay) -> list[Problem]:
    """Nothing happens; what is played of it may be the base's own traffic, as it is changed."""
    if _happens(overlay) or overlay.procedure is not None:
        return []
    return [Problem((), _ONE_HAPPENS, "write the one that happens")]


def _happens(overlay: Overlay) -> bool:
    adversaries = [each for each in overlay.platforms if each.get("role") == "adversary"]
    return bool(overlay.attacks or overlay.faults or adversaries)


def scenario(
    source: str | Path,
    base: str | None = None,
    defences: Sequence[str] = (),
    changes: Sequence[str] = (),
    *,
    real: bool = False,
) -> Scenario:
    """An attack file laid over its base, or over another.

    Parameters
    ----------
    source : str or Path
        Attack file, or the id of a shipped one.
    base : str, optional
        Topology instead of the file's.
    defences : sequence of str
        Names of the variants to keep, `none` always among them; all by default.
    changes : sequence of str
        Further changes of the base.
    real : bool
        Whether it is for a real server: as the file's section `real` says, if it has one.

    Raises
    ------
    TopologyError
        All that is wrong with the file, or with a topology that it makes.
    """
    path = find_overlay(source)
    overlay = read_overlay(path)
    if real and overlay.real is not None:
        overlay = overlay.real.of(overlay)
    chosen = _chosen(overlay, defences, path.name)
    named = base or overlay.base
    beside = path.parent / f"{named}.yaml"
    below = load(beside if base is None and beside.is_file() else named)
    select = _selectors(below, path.name)
    wanted = [select(change) for change in (*overlay.changes, *changes)]
    attacked, procedures = {}, {}
    parsed: dict[tuple[str, ...], Topology] = {}
    laid = _laid(overlay, below, select, f"{overlay.id} on {below.name}")
    for defence in chosen:
        own = tuple(select(change) for change in defence.changes)
        place = f"{path.name} on {below.name}"
        of_grid = [change for change in (*wanted, *own) if not change.startswith("procedure.")]
        key = tuple(of_grid)
        parsed[key] = parsed.get(key) or parse(laid, place, of_grid)
        attacked[defence.name] = parsed[key]
        if overlay.procedure is not None:
            rest = [change for change in (*wanted, *own) if change.startswith("procedure.")]
            procedures[defence.name] = _procedure(select(overlay.procedure), rest, place)
    calm = {
        name: topology.model_copy(update={"attacks": (), "faults": ()})
        for name, topology in attacked.items()
    }
    if not (overlay.attacks or overlay.faults or overlay.procedure):
        calm = {name: _without_adversaries(each) for name, each in attacked.items()}
    return Scenario(overlay, below.name, attacked, calm, procedures)


def _without_adversaries(topology: Topology) -> Topology:
    """The topology as it is without those who do harm by being there."""
    kept = tuple(each for each in topology.platforms if each.role != "adversary")
    return topology.model_copy(update={"platforms": kept})


def _procedure(section: Mapping[str, Any], changes: Sequence[str], place: str) -> AnyProcedure:
    """The procedure with a defence's changes."""
    document = Document(place, {"procedure": dict(section)})
    overrides.apply(document, tuple(changes), Played)
    return validated(document, Played, [], lambda _: []).procedure


def _chosen(overlay: Overlay, names: Sequence[str], file: str) -> list[Defence]:
    known = {defence.name: defence for defence in overlay.defences}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise TopologyError(
            [
                f'{file}: --defence "{name}": is not in the file; '
                f"{choice(name, known, 'defences are')}"
                for name in unknown
            ]
        )
    wanted = {"none", *(names or known)}
    return [defence for defence in overlay.defences if defence.name in wanted]


def _laid(overlay: Overlay, below: Topology, select: Callable[[Any], Any], name: str) -> str:
    """The text of the base with what the overlay adds."""
    import yaml

    data = dict(read(identity.text(below), below.name).data)
    data["platforms"] = [*data["platforms"], *select(list(overlay.platforms))]
    data.pop("attacks", None)
    data.pop("faults", None)
    for section in ("attacks", "faults"):
        if entries := getattr(overlay, section):
            data[section] = select(list(entries))
    data["workload"] = {**data["workload"], "study": "campaign"}
    if overlay.slo is not None:
        data["slo"] = overlay.slo
    data["description"] = name
    return str(yaml.safe_dump(data, sort_keys=False, allow_unicode=True))


def _selectors(below: Topology, file: str) -> Callable[[Any], Any]:
    """Replaces `$NAME` in texts, lists and sections by what it means on this base."""
    rates = offered(below)
    fan_out = below.fan_out()
    topic = max(rates, key=lambda name: rates[name] * max(fan_out.get(name, 0), 1e-9))
    publishers = [each.by for each in below.workload.arrivals if each.topic == topic]
    receivers = [each.name for each in below.platforms if each.subscriber_count(topic)]
    meanings = {
        "controller": below.controllers[0].name,
        "topic": topic,
        "publisher": publishers[0] if publishers else None,
        "subscriber": max(
            receivers,
            key=lambda name: next(p.count for p in below.platforms if p.name == name),
            default=None,
        ),
        "subscribers": str(fan_out.get(topic, 0)) if fan_out.get(topic) else None,
        "platforms": str(below.platform_count),
        "rate": f"{rates[topic]:.9g}/s",
    }

    def meant(match: re.Match[str]) -> str:
        meaning = meanings.get(match[1])
        if meaning is None:
            known = choice(match[0], [f"${name}" for name in meanings], "selectors are")
            rule = "matches nothing" if match[1] in meanings else "is no selector"
            raise TopologyError([f'{file}: "{match[0]}": {rule} on {below.name}; {known}'])
        return meaning

    def select(value: Any) -> Any:
        if isinstance(value, str):
            return SELECTOR.sub(meant, value)
        if isinstance(value, list | tuple):
            return [select(each) for each in value]
        if isinstance(value, dict):
            return {key: select(each) for key, each in value.items()}
        return value

    return select
