"""A process that parses Parquet: a damaged file may bring polars down, and it alone.

It starts with the first file, serves all that follow, and is replaced when it has come
down. A process that was forked starts its own: answers must not cross.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import subprocess
import sys
import threading
from typing import IO

_LENGTH = 8  # bytes before a message that say how long it is
_CHILD = f"""
import io, sys, polars
source, sink = sys.stdin.buffer, sys.stdout.buffer
while head := source.read({_LENGTH}):
    data = source.read(int.from_bytes(head, "big"))
    try:
        frame = polars.read_parquet(io.BytesIO(data))
        answer = b"+" + frame.write_ipc(None).getvalue()
    except BaseException as error:  # a panic of polars is no Exception
        answer = b"-" + (str(error) or type(error).__name__).encode()
    sink.write(len(answer).to_bytes({_LENGTH}, "big") + answer)
    sink.flush()
"""
_lock = threading.Lock()
_running: dict[int, subprocess.Popen[bytes]] = {}  # by the process that started it


def parquet_to_ipc(data: bytes) -> bytes:
    """Turn Parquet into Arrow's IPC format, which the process writes itself.

    Raises:
      ValueError: with what polars says, or that it came down.
    """
    with _lock:
        answer = _ask(data) or _ask(data)  # what came down before is not this file's
    if not answer:
        raise ValueError("the parser came down")
    if not answer.startswith(b"+"):
        raise ValueError(answer[1:].decode(errors="replace"))
    return answer[1:]


def _start() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )


def _pipes(process: subprocess.Popen[bytes]) -> tuple[IO[bytes], IO[bytes]]:
    assert process.stdin is not None
    assert process.stdout is not None
    return process.stdin, process.stdout


def _ask(data: bytes) -> bytes:
    """Send one message and wait for the answer, b"" if the process came down."""
    process = _running.get(os.getpid())
    if process is None:
        process = _running[os.getpid()] = _start()
    sink, source = _pipes(process)
    try:
        sink.write(len(data).to_bytes(_LENGTH, "big") + data)
        sink.flush()
        head = source.read(_LENGTH)
        length = int.from_bytes(head, "big")
        answer = source.read(length)
    except OSError:
        head, length, answer = b"", 0, b""
    if len(head) < _LENGTH or len(answer) < length:
        _stop()
        return b""
    return answer


def _stop() -> None:
    """End the process, by closing what it reads, or by force if it hangs."""
    process = _running.pop(os.getpid(), None)
    if process is None:
        return
    for pipe in _pipes(process):
        with contextlib.suppress(OSError):  # what it never read is lost with it
            pipe.close()
    try:
        process.wait(timeout=5.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


atexit.register(_stop)
