"""How a command takes a topology."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


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
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="PATH=VALUE",
        help="Change a field, e.g. controllers[0].cores=8.",
    )
    @functools.wraps(function)
    def wrapper(
        *positional: Any, topology: str, overrides: tuple[str, ...], **arguments: Any
    ) -> Any:
        import topologies

        return function(*positional, topology=topologies.load(topology, overrides), **arguments)

    return wrapper
