"""How a command takes a topology."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from topologies.schema import Topology


class TopologyName(click.ParamType[str]):
    """A path, or the bare name of a topology that is shipped or lies in `$GRIDLAB_HOME`."""

    name = "topology"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Names that begin so; where there are none, whatever files there are."""
        home = os.environ.get("GRIDLAB_HOME")
        homes = [*([Path(home)] if home else []), Path(__file__).parent]
        names = {path.stem for each in homes for path in each.glob("*.yaml")}
        matching = sorted(name for name in names if name.startswith(incomplete))
        if not matching:
            return [CompletionItem(incomplete, type="file")]
        return [CompletionItem(name) for name in matching]


TOPOLOGY = TopologyName()


def reads_topology(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument TOPOLOGY with `--set`; the function gets the checked `topology`."""

    @click.argument("topology", metavar="TOPOLOGY", type=TOPOLOGY)
    @_changes("--set", "overrides", "Change a field, e.g. controllers[0].cores=8.")
    @functools.wraps(function)
    def wrapper(
        *positional: Any, topology: str, overrides: tuple[str, ...], **arguments: Any
    ) -> Any:
        import topologies

        return function(*positional, topology=topologies.load(topology, overrides), **arguments)

    return wrapper


def reads_sides(one: str, other: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--set` for both sides of a command and `--set-SIDE` for each; it gets them as `sides`."""

    def decorated(function: Callable[..., Any]) -> Callable[..., Any]:
        @_changes("--set", "both", "Change a field on both sides, e.g. controllers[0].cores=8.")
        @_changes(f"--set-{one}", "of_one", f"Change a field of {one} alone.")
        @_changes(f"--set-{other}", "of_other", f"Change a field of {other} alone.")
        @functools.wraps(function)
        def wrapper(
            *positional: Any,
            both: tuple[str, ...],
            of_one: tuple[str, ...],
            of_other: tuple[str, ...],
            **arguments: Any,
        ) -> Any:
            sides = Sides(both, {one: of_one, other: of_other})
            return function(*positional, sides=sides, **arguments)

        return wrapper

    return decorated


def _changes(
    option: str, name: str, text: str
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(option, name, multiple=True, metavar="PATH=VALUE", help=text)


@dataclass(frozen=True)
class Sides:
    """Changes of the two topologies that a command sets side by side.

    Parameters
    ----------
    both : sequence of str
        Changes of both sides, e.g. `controllers[0].cores=8`.
    own : mapping
        Further changes by the name of the side that they are of.
    """

    both: Sequence[str]
    own: Mapping[str, Sequence[str]]

    @property
    def differ(self) -> bool:
        """Whether one and the same file makes two sides that need not be alike."""
        return any(self.own.values())

    def load(self, sources: Mapping[str, str]) -> list[Topology]:
        """The checked topology of each side that is named.

        Raises
        ------
        TopologyError
            All that is wrong with any of them, a mistake of both sides once.
        """
        import topologies

        loaded, problems = [], []
        for side, source in sources.items():
            try:
                loaded.append(topologies.load(source, (*self.both, *self.own[side])))
            except topologies.TopologyError as error:
                problems += [self._placed(problem, side) for problem in error.problems]
        if problems:
            raise topologies.TopologyError(list(dict.fromkeys(problems)))
        return loaded

    def refuse(self, side: str, source: object, what: str) -> None:
        """Refuse changes of a side that is no topology, but what has been made of one.

        Raises
        ------
        TopologyError
            There are changes of this side.
        """
        import topologies

        options = {"--set": self.both, f"--set-{side}": self.own[side]}
        problems = [
            f'{option} {change}: "{source}": is {what}, which stays as it was made; '
            f"name the topology, or leave the change to the other side"
            for option, changes in options.items()
            for change in changes
        ]
        if problems:
            raise topologies.TopologyError(problems)

    def _placed(self, problem: str, side: str) -> str:
        """The message with the option that was typed: `--set` says nothing of the side."""
        from topologies.overrides import place

        typed = [place(change) for change in self.own[side] if change not in self.both]
        if any(problem.startswith(f"{each}: ") for each in typed):
            return problem.replace("--set", f"--set-{side}", 1)
        return problem
