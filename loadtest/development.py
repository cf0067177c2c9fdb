"""A server under development: the program, settings and modules that a topology names for it."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loadtest.problems import DeploymentError

if TYPE_CHECKING:
    from topologies.schema import Controller, Topology

_MODULE: Final = re.compile(r"mod_([a-z0-9_]+)\.lua")


@dataclass(frozen=True)
class Development:
    """What is used instead of, or beside, the system's package.

    Attributes
    ----------
    executable : str or None
        Program instead of the installed one.
    settings : str
        Text for the server's global settings.
    modules : mapping of str to bytes
        Modules that Prosody also loads, by name.
    """

    executable: str | None = None
    settings: str = ""
    modules: Mapping[str, bytes] = field(default_factory=dict)


def development(topology: Topology, controller: Controller) -> Development:
    """Read what a Controller's `server` section names.

    Raises
    ------
    DeploymentError
        Files that cannot be read or run, all at once.
    """
    section = controller.server
    if section is None:
        return Development()
    source = topology.source
    beside = source.path.parent if source and source.path else Path.cwd()
    problems: list[str] = []

    def content(key: str, name: str) -> bytes:
        try:
            if not (beside / name).is_file():  # not a pipe or device either: reading it may not end
                raise OSError(errno.ENOENT, "No such file")
            return (beside / name).read_bytes()
        except OSError as error:
            rule = f"{error.strerror}; name a file relative to the topology's"
            problems.append(f'server.{key}: "{name}": {rule}')
            return b""

    executable = (
        None if section.executable is None else str((beside / section.executable).resolve())
    )
    if executable is not None and not os.access(executable, os.X_OK):
        rule = "is not a program that can be run; name one, or leave it out for the package's"
        problems.append(f'server.executable: "{section.executable}": {rule}')
    modules = {}
    for number, name in enumerate(section.modules):
        found = _MODULE.fullmatch(Path(name).name)
        if found is None:
            rule = "must be called mod_NAME.lua; rename the file"
            problems.append(f'server.modules[{number}]: "{name}": {rule}')
        else:
            modules[found[1]] = content(f"modules[{number}]", name)
    settings = content("configuration", section.configuration) if section.configuration else b""
    if problems:
        raise DeploymentError("\n".join(problems))
    return Development(executable, settings.decode(errors="replace"), modules)
