"""How a command takes a topology."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click


def reads_topology(function: Callable[..., Any]) -> Callable[..., Any]:
    """The argument TOPOLOGY with `--set`; the function gets the checked `topology`."""

    @click.argument("topology", metavar="TOPOLOGY")
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
