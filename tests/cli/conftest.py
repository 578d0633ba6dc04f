"""Calling the command line: in this process, or as a shell does it."""

import io
import json
import shlex
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agentpool.cli import main

POOL = "pool.library"


class Stream(io.TextIOWrapper):
    """Takes what is written, and may say that it is a terminal."""

    def __init__(self, *, terminal: bool, given: bytes = b"") -> None:
        super().__init__(io.BytesIO(given), encoding="utf-8", write_through=True)
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal

    @property
    def taken(self) -> bytes:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


class Called(NamedTuple):
    """What came of a call."""

    code: int
    raw: bytes
    err: str

    @property
    def out(self) -> str:
        return self.raw.decode()

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def row(self) -> dict[str, Any]:
        [row] = self.rows
        return row


class Shell:
    """Calls the command line in this process, with an environment of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def set(self, **variables: str) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(f"AGENTPOOL_{name}", value)

    def __call__(self, line: str, *more: str, given: bytes = b"", terminal: bool = False) -> Called:
        streams = {name: Stream(terminal=terminal) for name in ("stdout", "stderr")}
        with self._monkeypatch.context() as patch:
            for name, stream in streams.items():
                patch.setattr(sys, name, stream)
            patch.setattr(sys, "stdin", Stream(terminal=False, given=given))
            try:
                code = main([*shlex.split(line), *more])
            except SystemExit as end:
                code = int(end.code or 0)
        return Called(code, streams["stdout"].taken, streams["stderr"].taken.decode())


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Shell:
    """Give a shell in an empty folder, which knows no store."""
    monkeypatch.chdir(tmp_path)
    for name in ("STORE", "SCHEMA", "POOL", "RUN", "AGENT"):
        monkeypatch.delenv(f"AGENTPOOL_{name}", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")
    return Shell(monkeypatch)


@pytest.fixture
def library(shell: Shell) -> Shell:
    """Give a shell with a pool that has a queue, and acts as ``run.me``."""
    shell.set(STORE="pool.db", POOL=POOL, RUN="run.me")
    assert shell("init --queue work").code == 0
    return shell
