"""The child process in which black runs: a frame with code comes in, a frame with formatted code goes out.

A frame is its length in four bytes, then the text in UTF-8; an answer begins with one byte: `+` formatted, `-` not
Python, as far as black can tell, `>` too large.
"""

import signal
import struct
import sys
from typing import BinaryIO

import black
from black.parsing import InvalidInput


def main() -> None:
    """Format until the parent closes the pipe. Arguments: seconds for one piece of code, bytes of one answer."""
    seconds, most_bytes = float(sys.argv[1]), int(sys.argv[2])
    while (frame := _read(sys.stdin.buffer)) is not None:
        _limit(seconds)
        answer = _formatted(frame.decode(), most_bytes)
        _limit(0)
        sys.stdout.buffer.write(struct.pack(">I", len(answer)) + answer)
        sys.stdout.buffer.flush()


def _limit(seconds: float) -> None:
    """Die in time also where nobody is left who could kill this process."""
    if sys.platform != "win32":
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _formatted(code: str, most_bytes: int) -> bytes:
    try:
        formatted = black.format_str(code, mode=black.Mode()).encode()
    except (InvalidInput, IndentationError, RecursionError):
        return b"-"
    return b"+" + formatted if len(formatted) <= most_bytes else b">"


def _read(stream: BinaryIO) -> bytes | None:
    head = stream.read(4)
    return stream.read(struct.unpack(">I", head)[0]) if len(head) == 4 else None


if __name__ == "__main__":
    main()
