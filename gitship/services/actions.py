"""Runs an engine's actions in a service's container: small outputs, and streams of any size in bounded memory."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

from gitship.engine.errors import FREE_SPACE, NO_SPACE
from gitship.engine.interface import Engine, NoSpace, Program
from gitship.engine.timeouts import TimeoutExpired
from gitship.errors import ServiceError
from gitship.services.engine_file import EngineAction
from gitship.services.placeholders import blanked, filled, wanted

OUTPUT_BYTES = 4 << 20  # of a small output: counts of some ten thousand tables
TAIL_BYTES = 16 << 10  # of what a program says beside its output
LAST_LINES = 5
PIECE_BYTES = 256 << 10  # what goes to a program at once
_ERROR = re.compile(r"error|fatal|denied", re.I)
_NOBODY = threading.Event()  # never set


class ServiceActions:
    """Every method raises ServiceError when the program fails, EngineError when Docker does, or has a full disk.

    An action without a command has nothing to do, and nothing to say.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def output(self, container_id: str, action: EngineAction, values: Mapping[str, str], timeout_s: float) -> str:
        """What a small action prints. It is killed after ``timeout_s``."""
        if not action.command:
            return ""
        printed = bytearray()
        said = _Tail()
        try:
            with self._program(container_id, action, values, _NOBODY, timeout_s) as program:
                _feed(program, action, values)
                for stream, data in program.output():
                    if stream == "stderr":
                        said.add(data)
                    elif len(printed) + len(data) > OUTPUT_BYTES:
                        raise ServiceError(f"{_name(action)} printed more than {OUTPUT_BYTES >> 20} MB")
                    else:
                        printed += data
                said.add(bytes(printed[-TAIL_BYTES:]) if not said.text() else b"")
                _ended(program, action, values, said)
        except TimeoutExpired:
            raise ServiceError(
                f"{_name(action)} took longer than {timeout_s:g} s", "see the service's log: it may be busy, or stuck"
            ) from None
        return printed.decode("utf-8", "replace")

    @contextmanager
    def read(
        self, container_id: str, action: EngineAction, values: Mapping[str, str], gone: threading.Event
    ) -> Iterator[Iterator[bytes]]:
        """What an action prints, as it comes; its end raises ServiceError when the exit code is not 0.

        Only who reads to the end has the whole. Reading raises ``timeouts.WaitInterrupted`` when ``gone`` is set; a
        program that still runs when the context ends is killed.
        """
        with self._program(container_id, action, values, gone) as program:
            _feed(program, action, values)
            yield _stdout(program, action, values)

    @contextmanager
    def holding(
        self, container_id: str, action: EngineAction, values: Mapping[str, str], gone: threading.Event
    ) -> Iterator[str]:
        """The first line that an action prints; its input ends, and so does it, with the block."""
        printed, said = b"", _Tail()
        with self._program(container_id, action, values, gone) as program:
            _say(program, action, values)
            for stream, data in program.output():
                if stream == "stderr":
                    said.add(data)
                    continue
                printed += data
                if b"\n" in printed:
                    break
            else:
                _ended(program, action, values, said)
                raise ServiceError(f"{_name(action)} printed nothing", "see the service's log")
            yield printed.partition(b"\n")[0].decode("utf-8", "replace").strip()
            program.end_input()

    def write(
        self,
        container_id: str,
        action: EngineAction,
        values: Mapping[str, str],
        chunks: Iterable[bytes],
        gone: threading.Event,
    ) -> None:
        """Feeds ``chunks`` to an action. What ``chunks`` raises kills the program: it sees no end of its input.

        Raises ``timeouts.WaitInterrupted`` when ``gone`` is set.
        """
        with self._program(container_id, action, values, gone) as program:
            reader = _Reader(program)
            reader.start()
            try:
                for piece in pieces(chunks):
                    if not program.send(piece):
                        break  # it has ended: its exit code says how
                else:
                    program.end_input()
            except BaseException:
                program.close()  # before the reader is waited for
                raise
            finally:
                reader.join()
            if reader.failed is not None:
                raise reader.failed
            _ended(program, action, values, reader.said)

    @contextmanager
    def _program(
        self,
        container_id: str,
        action: EngineAction,
        values: Mapping[str, str],
        gone: threading.Event,
        timeout_s: float = float("inf"),
    ) -> Iterator[Program]:
        program = self._engine.attach_exec(
            container_id,
            tuple(filled(word, values) for word in wanted(action.command, values)),
            env={name: filled(text, values) for name, text in action.env.items()},
            terminal=None,
            gone=gone,
            timeout_s=timeout_s,
        )
        try:
            yield program
        finally:
            program.close()


class _Tail:
    """The last TAIL_BYTES of what a program said."""

    def __init__(self) -> None:
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        self._data += data
        del self._data[:-TAIL_BYTES]

    def text(self) -> str:
        return self._data.decode("utf-8", "replace").strip()


class _Reader(threading.Thread):
    """Takes what a program says while another thread feeds it: neither may wait for the other."""

    def __init__(self, program: Program) -> None:
        super().__init__(name="service-action", daemon=True)
        self._program = program
        self.said = _Tail()
        self.failed: Exception | None = None

    def run(self) -> None:
        try:
            for _, data in self._program.output():
                self.said.add(data)
        except Exception as error:
            self.failed = error


def pieces(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of at most PIECE_BYTES, small ones gathered."""
    gathered = bytearray()
    for chunk in chunks:
        if len(gathered) + len(chunk) <= PIECE_BYTES:
            gathered += chunk
            continue
        if gathered:
            yield bytes(gathered)
            gathered.clear()
        if len(chunk) < PIECE_BYTES:
            gathered += chunk
            continue
        view = memoryview(chunk)
        for start in range(0, len(chunk), PIECE_BYTES):
            yield bytes(view[start : start + PIECE_BYTES])
    if gathered:
        yield bytes(gathered)


def _feed(program: Program, action: EngineAction, values: Mapping[str, str]) -> None:
    _say(program, action, values)
    program.end_input()


def _say(program: Program, action: EngineAction, values: Mapping[str, str]) -> None:
    if text := "".join(wanted(action.stdin.splitlines(keepends=True), values)):
        program.send(filled(text, values).encode())


def _stdout(program: Program, action: EngineAction, values: Mapping[str, str]) -> Iterator[bytes]:
    said = _Tail()
    for stream, data in program.output():
        if stream == "stdout":
            yield data
        else:
            said.add(data)
    _ended(program, action, values, said)


def _name(action: EngineAction) -> str:
    """The program of an action, for people: of a shell, the shell's name says nothing."""
    word = action.command[0].rpartition("/")[2]
    return "the engine's command" if word in ("sh", "bash") else word


def _ended(program: Program, action: EngineAction, values: Mapping[str, str], said: _Tail) -> None:
    """Waits for the end. Raises ServiceError, without secrets, unless the exit code is 0; NoSpace on a full disk."""
    code = program.exit_code()
    if code == 0:
        return
    lines = [line.rstrip() for line in blanked(said.text(), values).splitlines() if line.strip()][-LAST_LINES:]
    told = [line for line in lines if _ERROR.search(line)] or lines  # its last line may be no more than a remark
    reason = f": {told[-1][:300]}" if told else ""
    if full := [line for line in lines if NO_SPACE in line.lower()]:
        raise NoSpace(f"{_name(action)} failed, Docker's disk is full: {full[-1][:300]}", FREE_SPACE)
    raise ServiceError(f"{_name(action)} failed with exit code {code}{reason}", "see the service's log", lines)
