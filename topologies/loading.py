"""From a file to a checked `Topology` or `Profile`, or to all that is wrong with it at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from topologies import checks, identity, overrides, references, wording
from topologies.documents import BYTES_MAX, Document, read
from topologies.problems import Problem, TopologyError, choice, printable, quoted
from topologies.profiles import Profile
from topologies.schema import Source, Topology

SHIPPED = Path(__file__).parent
OTHER_KINDS = {  # what a topology never has -> what is said of a file that has it
    "hypothesis": "is an attack file; play it with: gridlab attack",
    "costs": "is a server profile; name it in a topology, as the profile of a Controller",
}
AnyModel = TypeVar("AnyModel", bound=BaseModel)


def load(source: str | Path, overrides: Sequence[str] = ()) -> Topology:
    """The checked topology in a file, or of a bare name.

    A bare name is looked for in `$GRIDLAB_HOME`, then among what is shipped.

    Parameters
    ----------
    source : str or Path
        Path of a YAML file, or a name such as `campus-nac`.
    overrides : sequence of str
        Changes before the check, e.g. `controllers[0].cores=8`.

    Raises
    ------
    TopologyError
        No such file, or all that is wrong with it.
    """
    path = find(source)
    return _topology(
        content(path), str(source) if path == Path(source) else path.name, path, overrides
    )


def parse(text: str | bytes, name: str = "<text>", overrides: Sequence[str] = ()) -> Topology:
    """The checked topology in a text; `name` stands for the file in messages.

    Raises
    ------
    TopologyError
        All that is wrong with it.
    """
    return _topology(text, name, None, overrides)


def varied(topology: Topology, changes: Sequence[str]) -> Topology:
    """The topology with further changes, e.g. `controllers[0].cores=8`, checked anew.

    Raises
    ------
    TopologyError
        All that is wrong with it.
    """
    source = topology.source
    if source is None:
        return _topology(identity.text(topology), topology.name, None, changes)
    known = source.overrides
    if known:
        as_read = _topology(source.text, topology.name, source.path, known)
        if identity.sha256(as_read) == identity.sha256(topology):
            return _topology(source.text, topology.name, source.path, (*known, *changes))
    return _topology(identity.text(topology), topology.name, source.path, changes)


def profile(topology: Topology, controller: str) -> Profile:
    """The cost profile of a Controller, by the name that the topology gives.

    Looked for beside the topology (`profiles/NAME.yaml`, `NAME.yaml`), then in `$GRIDLAB_HOME`,
    then among what is shipped.

    Raises
    ------
    TopologyError
        The topology has no such Controller, the profile is not found, or all that is wrong with it.
    """
    node = next((each for each in topology.controllers if each.name == controller), None)
    if node is None:
        names = [each.name for each in topology.controllers]
        raise TopologyError(
            [f'controllers: "{controller}": is not declared; {choice(controller, names, "use")}']
        )
    source = topology.source
    found = read_profile(node.profile, source.path.parent if source and source.path else None)
    return found.collecting(node.collection.growth) if node.collection else found


def read_profile(name: str, beside: Path | None = None) -> Profile:
    """The cost profile of that name; see `profile`.

    Raises
    ------
    TopologyError
        Not found, or all that is wrong with it.
    """
    homes = [*([beside] if beside else []), *_home(), SHIPPED]
    places = [home / part / f"{name}.yaml" for home in homes for part in ("profiles", "")]
    for path in places[:-1]:
        if path.is_file():
            return parse_profile(content(path), path.name)
    known = [path.stem for home in homes for path in sorted((home / "profiles").glob("*.yaml"))]
    repair = choice(name, dict.fromkeys(known), "profiles are")
    raise TopologyError([f'"{printable(name)}": no such profile; {repair}'])


def parse_profile(text: str | bytes, name: str = "<text>") -> Profile:
    """The checked cost profile in a text.

    Raises
    ------
    TopologyError
        All that is wrong with it.
    """
    return validated(_document(text, name), Profile, [], checks.profile_problems)


def find(source: str | Path) -> Path:
    """The file that a path or a bare name means.

    Raises
    ------
    TopologyError
        There is none; the message names the nearest topology.
    """
    text = str(source)
    path = Path(source)
    try:
        if path.exists():
            return path
        if path.name == text:
            stem = text.removesuffix(".yaml")
            for home in [*_home(), SHIPPED]:
                if (home / f"{stem}.yaml").is_file():
                    return home / f"{stem}.yaml"
    except (OSError, ValueError) as error:
        raise TopologyError([f"{quoted(text)}: is not a path ({error}); name a file"]) from None
    if (SHIPPED / "attacks" / f"{text.removesuffix('.yaml')}.yaml").is_file():
        raise TopologyError([f"{text}: is an attack; play it with: gridlab attack {text}"])
    near = choice(path.stem, shipped(), "topologies at hand are")
    raise TopologyError([f"{printable(text)[:200]}: no such file; {near}"])


def shipped() -> dict[str, str]:
    """Topologies by bare name, each with its description: `$GRIDLAB_HOME` first, then shipped."""
    known: dict[str, str] = {}
    for home in [*_home(), SHIPPED]:
        for path in sorted(home.glob("*.yaml")):
            if path.stem not in known:
                known[path.stem] = _description(path)
    return known


def _description(path: Path) -> str:
    try:
        data = read(content(path), path.name).data
    except TopologyError:
        return "(cannot be read)"
    text = data.get("description", "") if isinstance(data, dict) else "(is not a topology)"
    return printable(str(text)).strip()


def _home() -> list[Path]:
    home = os.environ.get("GRIDLAB_HOME")
    return [Path(home)] if home else []


def content(path: Path) -> bytes:
    """What a file holds, up to a little more than is read.

    Raises
    ------
    TopologyError
        It cannot be read.
    """
    name = printable(str(path))
    if path.is_dir():
        raise TopologyError([f"{name}: is a directory; name a file in it"])
    if not path.is_file():
        raise TopologyError([f"{name}: is not a regular file; write a YAML file"])
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except OSError as error:
        raise TopologyError([f"{name}: cannot be read ({error.strerror}); check it"]) from None


def _topology(
    content: str | bytes, name: str, path: Path | None, changes: Sequence[str]
) -> Topology:
    document = _document(content, printable(name))
    _refuse_other_kinds(document)
    if changes:
        overrides.apply(document, tuple(changes), Topology)
    text = content if isinstance(content, str) else content.decode("utf-8-sig")
    source = Source(text, path.absolute() if path else None, tuple(changes))
    dangling = references.problems(document.data)

    def cross(topology: Topology) -> list[Problem]:
        topology._source = source
        beside = source.path.parent if source.path else None
        return dangling or checks.topology_problems(topology, partial(read_profile, beside=beside))

    return validated(document, Topology, dangling, cross)


def _refuse_other_kinds(document: Document) -> None:
    """A file of another kind gets one message instead of one for each of its keys."""
    if "controllers" in document.data:
        return
    for key, kind in OTHER_KINDS.items():
        if key in document.data:
            raise TopologyError([f"{document.name}: {kind}"])


def _document(content: str | bytes, name: str) -> Document:
    document = read(content, name)
    if not isinstance(document.data, dict):
        rule = "must be a section of keys, not a list or a single value"
        repair = "start with `schema: 1` and `name: ...`"
        raise TopologyError([*document.problems, Problem((), rule, repair).line(name)])
    return document


def validated(
    document: Document,
    model: type[AnyModel],
    dangling: list[Problem],
    cross: Callable[[AnyModel], list[Problem]],
) -> AnyModel:
    """The document as a model.

    Raises
    ------
    TopologyError
        All that is wrong with it: form, fields, names, rules.
    """
    try:
        result = model.model_validate(document.data)
        found = cross(result)
        if not found and not document.problems:
            return result
    except ValidationError as error:
        found = wording.problems(error, model, document.data) + dangling
        with suppress(ValidationError):  # the rules may still speak where only extras were wrong
            pruned = wording.without(document.data, [problem.path for problem in found])
            found += cross(model.model_validate(pruned))
    raise TopologyError(_in_order(document, found))


def _in_order(document: Document, found: list[Problem]) -> list[str]:
    """All messages, each once, by line."""

    def line(message: str) -> int:
        number = message.removeprefix(f"{document.name}:").partition(":")[0]
        return int(number) if number.isdigit() else 0

    return sorted(dict.fromkeys([*document.problems, *document.lines(found)]), key=line)
