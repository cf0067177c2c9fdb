"""TLS records as they pass by: where their encrypted content is, and one bit of it turned over.

Only the content of application records (RFC 8446 section 5.1, type 23) is ever changed: what is
sent in the clear, handshakes and record heads pass as they are, so that a server is given damaged
ciphertext of the lab's own sessions and never XML that nobody sent.
"""

from __future__ import annotations

from typing import Final

_HANDSHAKE: Final = 22  # no XML holds this octet (XML 1.0 section 2.2): TLS begins where it is seen
_APPLICATION: Final = 23
_HEAD_BYTES: Final = 5


class Ciphertext:
    """Follows one direction of a connection and damages every `n`-th encrypted octet on request.

    Attributes
    ----------
    records : int
        Application records seen.
    damaged : int
        Octets changed.
    """

    def __init__(self) -> None:
        self.records = 0
        self.damaged = 0
        self._secured = False
        self._head = bytearray()
        self._left_bytes = 0
        self._since_damage_bytes = 0

    def passed(self, data: bytes, every_bytes: int) -> bytes:
        """The octets to pass on for `data`.

        Parameters
        ----------
        every_bytes : int
            One bit is turned in each such many encrypted octets; 0: none.
        """
        position = 0
        if not self._secured:
            position = data.find(_HANDSHAKE)
            if position < 0:
                return data
            self._secured = True
        changed = bytearray(data)
        while position < len(data):
            if self._left_bytes:
                taken = min(self._left_bytes, len(data) - position)
                if every_bytes and self._head[0] == _APPLICATION:
                    self._damage(changed, position, taken, every_bytes)
                self._left_bytes -= taken
                position += taken
            else:
                position = self._read_head(data, position)
        return bytes(changed)

    def _read_head(self, data: bytes, position: int) -> int:
        """Take in the rest of a record's head; where its content begins, or the data ends."""
        if len(self._head) == _HEAD_BYTES:
            self._head.clear()
        taken = data[position : position + _HEAD_BYTES - len(self._head)]
        self._head += taken
        if len(self._head) == _HEAD_BYTES:
            self._left_bytes = int.from_bytes(self._head[3:])
            self.records += self._head[0] == _APPLICATION
        return position + len(taken)

    def _damage(self, data: bytearray, position: int, size: int, every_bytes: int) -> None:
        while self._since_damage_bytes + size >= every_bytes:
            step = max(1, every_bytes - self._since_damage_bytes)
            position, size = position + step, size - step
            data[position - 1] ^= 0x01
            self.damaged += 1
            self._since_damage_bytes = 0
        self._since_damage_bytes += size
