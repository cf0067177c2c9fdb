"""Erlang terms as text, the way `file:consult/1` reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Atom:
    """An atom; a Python string becomes a binary."""

    name: str


Term: TypeAlias = "str | bytes | int | bool | Atom | tuple[Term, ...] | Sequence[Term]"


def term(value: Term) -> str:
    """A value as an Erlang term: strings as binaries of UTF-8, tuples as such, others as lists."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Atom):
        return "'" + "".join(_plain(byte, b"'\\") for byte in value.name.encode()) + "'"
    if isinstance(value, str | bytes):
        content = value.encode() if isinstance(value, str) else value
        return '<<"' + "".join(_plain(byte, b'"\\') for byte in content) + '">>'
    opening, closing = "{}" if isinstance(value, tuple) else "[]"
    return opening + ",".join(map(term, value)) + closing


def _plain(byte: int, special: bytes) -> str:
    return chr(byte) if 32 <= byte < 127 and byte not in special else f"\\x{{{byte:02x}}}"
