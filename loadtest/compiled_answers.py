"""Results that answer publications, recognised by compiled code.

What `_iq_end` of `loadtest.receiver` and `PublishShare` do together, for an `iq` of type `result`
whose attributes are written as plainly as can be. All else is left to them.
"""

from __future__ import annotations

from typing import Any, Final

from loadtest.compiled_tables import Tables, compiled, foreign
from loadtest.publications import ANSWERED

_OPENING, _OPENED, _ZERO = ord("<"), ord(">"), ord("0")
_SLASH, _EQUALS, _BLANK, _QUOTE, _QUOTES = ord("/"), ord("="), ord(" "), ord("'"), ord('"')
_AND: Final = ord("&")
_I, _Q, _D, _T, _Y, _P = ord("i"), ord("q"), ord("d"), ord("t"), ord("y"), ord("p")
_IQ_CLOSE_BYTES, _IQ_OPEN_BYTES, _MARK_BYTES = len("</iq>"), len("<iq"), len("<!")
_NOT_IN_VALUES: Final = (_OPENING, _OPENED, _AND, _QUOTE, _QUOTES)
_NOT_IN_NAMES: Final = (_OPENING, _OPENED, _EQUALS, _BLANK, _SLASH, _QUOTE, _QUOTES)
_LEAST_BYTES: Final = len("<iq id='p1' type='result'/>")
_RESULT: Final = (ord("r"), ord("e"), ord("s"), ord("u"), ord("l"), ord("t"))


@compiled
def _value_end(clear: Any, place: int, size: int) -> int:
    """Where the attribute's value that begins after the quote before `place` ends; or -1."""
    quote = clear[place - 1]
    if quote not in (_QUOTE, _QUOTES):
        return -1
    while place < size and clear[place] != quote:
        if clear[place] in _NOT_IN_VALUES:
            return -1
        place += 1
    return place if place < size else -1


@compiled
def _row_at(clear: Any, place: int) -> int:
    """The row of the plan in the id at a place, `p` and the row; or -1."""
    row, first = 0, place + 1
    if clear[place] != _P:
        return -1
    place = first
    while _ZERO <= clear[place] < _ZERO + 10 and place < first + 10:
        row = 10 * row + clear[place] - _ZERO
        place += 1
    return row if place > first and clear[place] in (_QUOTE, _QUOTES) else -1


@compiled
def _is_result(clear: Any, place: int) -> bool:
    """Whether the value at a place is `result`; the rest of a record is long enough to tell."""
    same = clear[place + len(_RESULT)] in (_QUOTE, _QUOTES)
    for k in range(len(_RESULT)):
        same = same and clear[place + k] == _RESULT[k]
    return same


@compiled
def _attribute_end(tables: Tables, name: int) -> int:
    """Where the attribute that begins at a place ends, `id` and `type` being noted; or -1."""
    clear, turn = tables.clear, tables.turn[0]
    size, place = turn.clear_bytes, name
    while place < size and clear[place] not in _NOT_IN_NAMES:
        place += 1
    if place + 2 >= size or clear[place] != _EQUALS:
        return -1
    value, name_bytes = place + 2, place - name
    if name_bytes == 2 and clear[name] == _I and clear[name + 1] == _D:
        turn.id_from = value
    elif name_bytes == 4 and clear[name] == _T and clear[name + 1] == _Y and clear[name + 2] == _P:
        turn.type_from = value
    end = _value_end(clear, value, size)
    return end + 1 if 0 <= end < size - 2 else -1


@compiled
def _result_row(tables: Tables) -> int:
    """The row of the plan that the result at `clear_from` answers, `clear_to` behind its opening.

    -1 for all but an `iq` whose attributes are written as plainly as can be.
    """
    clear, turn = tables.clear, tables.turn[0]
    place = turn.clear_from
    if turn.clear_bytes - place < _LEAST_BYTES or clear[place + 1] != _I or clear[place + 2] != _Q:
        return -1
    place += 3
    turn.id_from = turn.type_from = 0
    while clear[place] == _BLANK:
        place = _attribute_end(tables, place + 1)
        if place < 0:
            return -1
    turn.clear_to = place
    if not turn.id_from or not turn.type_from or not _is_result(clear, turn.type_from):
        return -1
    return _row_at(clear, turn.id_from)


@compiled
def _closed(tables: Tables) -> bool:
    """Whether the `iq` at `clear_from`, opened until `clear_to`, is whole; `clear_to` behind it."""
    clear, turn, addresses = tables.clear, tables.turn[0], tables.addresses[0]
    place = turn.clear_to
    if clear[place] == _SLASH:
        turn.clear_to = place + 2
        return bool(place + 1 < turn.clear_bytes and clear[place + 1] == _OPENED)
    if clear[place] != _OPENED:
        return False
    begin, size = addresses.clear + place, turn.clear_bytes - place
    closed = foreign(addresses.memmem, begin, size, addresses.iq_close, _IQ_CLOSE_BYTES)
    if closed == 0:
        return False
    inside = closed - begin
    nested = foreign(addresses.memmem, begin, inside, addresses.iq_open, _IQ_OPEN_BYTES)
    marked = foreign(addresses.memmem, begin, inside, addresses.mark, _MARK_BYTES)
    turn.clear_to = place + inside + _IQ_CLOSE_BYTES
    return bool(nested == 0 and marked == 0)


@compiled
def place_of(tables: Tables, row: int) -> int:
    """Where this process has a row of the plan among its publications; or -1."""
    rows = tables.published
    low, high = 0, len(rows)
    if row < high and rows[row] == row:  # one process publishes all
        return row
    while low < high:
        middle = (low + high) >> 1
        if rows[middle] < row:
            low = middle + 1
        else:
            high = middle
    return low if low < len(rows) and rows[low] == row else -1


@compiled
def note_answer(tables: Tables, received_ns: int) -> bool:
    """Note the result at `clear_from` of a publication that is on its way, if there is one."""
    row = _result_row(tables)
    if row < 0 or not _closed(tables):
        return False
    place = place_of(tables, row)
    if place < 0 or tables.sent_ns[place] < 0 or tables.answered_ns[place] >= 0:
        return False
    tables.answered_ns[place] = received_ns
    tables.answers[tables.progress[ANSWERED]] = place
    tables.progress[ANSWERED] += 1
    return True
