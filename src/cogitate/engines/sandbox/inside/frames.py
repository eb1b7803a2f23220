"""Messages over a stream socket: eight bytes of length, then JSON."""

from __future__ import annotations

import json
import socket
from typing import Any

HEADER = 8
LARGEST = 256 * 1024 * 1024
"""No message is longer; a longer one is a broken or hostile peer."""


class Ended(Exception):
    """The other side is gone, or speaks nonsense."""


def packed(message: Any) -> bytes:
    """A message as bytes."""
    body = json.dumps(message).encode()
    return len(body).to_bytes(HEADER, "big") + body


def send(channel: socket.socket, message: Any) -> None:
    """Write one message.

    Raises:
        Ended: when nobody reads any more.
    """
    try:
        channel.sendall(packed(message))
    except OSError as error:
        raise Ended from error


def receive(channel: socket.socket, largest: int = LARGEST) -> Any:
    """Read one message.

    Raises:
        Ended: at the end of the stream, or for a message that is too long or no JSON.
    """
    size = int.from_bytes(_exactly(channel, HEADER), "big")
    if size > largest:
        raise Ended
    try:
        return json.loads(_exactly(channel, size))
    except (ValueError, RecursionError) as error:
        raise Ended from error


def _exactly(channel: socket.socket, size: int) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        try:
            part = channel.recv(min(size - len(parts), 1 << 20))
        except OSError as error:
            raise Ended from error
        if not part:
            raise Ended
        parts += part
    return bytes(parts)
