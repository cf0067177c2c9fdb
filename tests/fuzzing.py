"""Files as no one should write them: shipped ones with wrong values, lost keys and broken text.

Strategies of hypothesis. A *tree* mutation changes what a file says and keeps it YAML; a *text*
mutation breaks the text itself.
"""

from __future__ import annotations

import copy
import functools
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ROOT / "topologies"
TOPOLOGIES = (
    *("single-broker", "national-cert", "federation", "switches", "campus-nac", "cti-community"),
)
WEIRD = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 10**30, -(10**30), 0.0, -0.0, 1e-320, 1e308),
    *(
        float("inf"),
        float("-inf"),
        float("nan"),
        "",
        " ",
        "0",
        "0/s",
        "-1/s",
        "1e308/s",
        "1e-308 s",
    ),
    *("1e400 s", "9" * 400, "9" * 400 + "/s", "1/0 s", "NaN s", "inf", "5", "5 parsec", "5 s s"),
    *("6/s", "1 h", "1 KB", "1 TB", "100 %", "101 %", "1e9/s", "100000 d", "on", "1:30", "~"),
    *(
        "a" * 5000,
        "\u202e",
        "\u0000x",
        "\ud7ff",
        "é",
        "../../etc/passwd",
        "/dev/zero",
        "/dev/stdin",
    ),
    *("$topic", "{}", "[]", "broker", "controller", "poisson", "batch", "trace", "diurnal", "cut"),
    *([], {}, [None], [[]], {"": None}, {"a": {"b": {}}}, [1, "x", {}], {1: 2}, {None: 1}),
)
PIECES = (
    *("&a ", "*a ", "!!python/object:os.system ", "<<: *a\n", "\t", "\x00", "---\n", "...\n", "? "),
    *("%YAML 9.9\n", "{", "}", "[", "]", "|\n", ">\n", "#", "'", '"', ": ", "- ", "\n", "\r", "  "),
    *("\ufeff", "\u2028", "\U0010ffff", "1e400", "=", "@", "`", "!", "%", "[" * 40, "- " * 40),
)

Place = tuple[str | int, ...]


@functools.cache
def text_of(name: str) -> str:
    """A shipped file."""
    return (SHIPPED / f"{name}.yaml").read_text(encoding="utf-8")


@functools.cache
def tree_of(name: str) -> tuple[Any, tuple[Place, ...]]:
    """The same as data, and every path in it."""
    data = yaml.safe_load(text_of(name))
    return data, tuple(_paths(data))


def _paths(data: Any, path: Place = ()) -> Any:
    steps = data.items() if isinstance(data, dict) else enumerate(data)
    for key, inner in steps:
        yield (*path, key)
        if isinstance(inner, dict | list):
            yield from _paths(inner, (*path, key))


def files(names: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    """Some shipped file, damaged one way or the other."""
    return st.sampled_from(names).flatmap(lambda name: st.one_of(trees(name), texts(name)))


@st.composite
def trees(draw: st.DrawFn, name: str) -> bytes:
    """The file with one to four places changed."""
    data, paths = tree_of(name)
    data = copy.deepcopy(data)
    for _ in range(draw(st.integers(1, 4))):
        _change(data, draw(st.sampled_from(paths)), draw)
    written = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    return written.encode("utf-8", "surrogatepass")


def _change(data: Any, path: Place, draw: st.DrawFn) -> None:
    """One change at a path, or at what is left of it after the changes before."""
    *around, last = path
    here = data
    for step in around:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return
    known = isinstance(here, dict) and last in here
    known |= isinstance(here, list) and isinstance(last, int) and last < len(here)
    if not known:
        return
    match draw(st.sampled_from(["set", "set", "set", "delete", "rename", "double", "wrap"])):
        case "set":
            here[last] = copy.deepcopy(draw(st.sampled_from(WEIRD)))
        case "delete":
            del here[last]
        case "rename" if isinstance(here, dict):
            here[draw(st.sampled_from(["name", "kind", "x", "rate", 7, None]))] = here.pop(last)
        case "double" if isinstance(here, list):
            here.insert(last, copy.deepcopy(here[last]))
        case _:
            here[last] = [copy.deepcopy(here[last])]


@st.composite
def texts(draw: st.DrawFn, name: str) -> bytes:
    """The file's bytes with one to six cuts, insertions and repetitions."""
    content = text_of(name).encode()
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 0, 1, 3, 20, 200]))
        match draw(st.sampled_from(["piece", "bytes", "repeat", "cut"])):
            case "piece":
                piece = draw(st.sampled_from(PIECES)).encode("utf-8", "surrogatepass")
            case "bytes":
                piece = draw(st.binary(max_size=8))
            case "repeat":
                piece = content[at : at + length] * 2
            case _:
                piece, length = b"", max(length, 1)
        content = content[:at] + piece + content[at + length :]
    return content
