"""The command line as shells start it: in processes of their own, by signals, pipes and scripts."""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import Shell

ROOT = Path(__file__).parents[2]
BOUND = 200.0

pytestmark = pytest.mark.slow


def command(line: str) -> list[str]:
    return [sys.executable, "-W", "error", "-m", "agentpool", *line.split()]


def test_what_hooks_start_loads_nothing_that_they_do_not_need(library: Shell) -> None:
    library("join")
    program = """
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from agentpool.cli import main
assert [main([*each.split(), "--json"]) for each in sys.argv[1:]] == [0, 0, 1]
heavy = {"psycopg", "cyclopts", "rich", "agentpool.cli.working", "agentpool.cli.making"}
print(sorted(heavy & sys.modules.keys()))
"""
    lines = ("tail --last 1", "check", "wait --timeout 0")
    done = subprocess.run(
        [sys.executable, "-c", program, *lines], capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines()[-1] == "[]"


@contextmanager
def following(library: Shell) -> Iterator["subprocess.Popen[bytes]"]:
    """Follow a pool in a process that has printed its first line."""
    library("join")
    with subprocess.Popen(
        command("tail --follow --from 1"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tail:
        assert tail.stdout is not None
        assert tail.stdout.readline()
        yield tail


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_it_quietly(
    library: Shell, monkeypatch: pytest.MonkeyPatch, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    with following(library) as tail:
        assert tail.stdout is not None
        tail.stdout.close()
        for _ in range(3):
            library("send queue:work a")
        assert tail.wait(BOUND) == 141
        assert tail.stderr is not None
        assert tail.stderr.read() == b""


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("stats >&-", 0),
        ("send run.me <&-", 0),
        ("inbox --hook <&-", 0),
        ("send run.me hi --as run.new 2>&-", 0),
        ("send run.me hi --as run.new 2>&- >&- <&-", 0),
        ("members --store nosuch.db 2>&-", 3),
    ],
)
def test_a_closed_stream_is_one_to_which_nothing_comes(
    library: Shell, line: str, code: int
) -> None:
    library("join")
    whole = f"{shlex.join(command(''))} {line}"
    done = subprocess.run(["/bin/sh", "-c", whole], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, "")
    sent = library("inbox --field from").out.split()
    assert sent == (line.startswith("send") * ["run.new" if "run.new" in line else "run.me"])


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_nothing_is_taken_that_cannot_be_told(
    library: Shell, monkeypatch: pytest.MonkeyPatch, where: str, unbuffered: str
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    library("send queue:work a")
    take = f"{shlex.join(command('take --queue work'))} {where}"
    done = subprocess.run(["/bin/sh", "-c", take], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1)
    assert library("take --queue work").row["attempt"] == 1


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("body", [b"a" * 3_000_000, b"\xff" * 3_000_000])
def test_what_cannot_be_written_whole_is_told(
    library: Shell, monkeypatch: pytest.MonkeyPatch, unbuffered: str, body: bytes
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    for name in ("COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG"):
        monkeypatch.delenv(name, raising=False)  # it would write a file, too
    library("send queue:work --key key.1", given=body)
    show = shlex.join(command("show key.1 --field body"))
    done = subprocess.run(
        ["/bin/sh", "-c", f"ulimit -f 100; {show} > out"], capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (5, b"agentpool show: File too large\n")
    with subprocess.Popen(shlex.split(show), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.read(1)
        process.stdout.close()
        assert process.wait(BOUND) == 141
    assert subprocess.check_output(shlex.split(show)).rstrip(b"\n") == body


def test_programs_get_what_was_sent_whatever_the_encoding(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    library("join")
    library("send run.me", "Grüße 😀")
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    for more in ("--json", "--field body"):
        printed = subprocess.check_output(command(f"inbox --bodies {more}")).decode()
        body = json.loads(printed)["body"] if more == "--json" else printed.rstrip()
        assert body == "Grüße 😀"


def test_control_c_ends_it_quietly(library: Shell) -> None:
    with following(library) as tail:
        tail.send_signal(signal.SIGINT)
        _, err = tail.communicate(timeout=BOUND)
    assert (tail.returncode, err) == (130, b"")


def test_two_shells_talk(library: Shell) -> None:
    library("join --as run.you")
    with (
        subprocess.Popen(
            command("take --as run.you --timeout 3m"), stdout=subprocess.PIPE
        ) as taking,
        subprocess.Popen(
            command("ask run.you Where? --timeout 3m --field body"), stdout=subprocess.PIPE
        ) as asking,
    ):
        taken, _ = taking.communicate(timeout=BOUND)
        token = json.loads(taken)["token"]
        assert library(f"reply {token}", "Shelf 42.").code == 0
        assert library(f"ack {token}").code == 0
        answer, _ = asking.communicate(timeout=BOUND)
    assert (asking.returncode, answer) == (0, b"Shelf 42.\n")


@pytest.fixture
def on_path(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Put the command on the path, also where only a checkout is there."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "agentpool"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -W error -m agentpool "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHON", sys.executable)
    # So many processes, each of which would compile all of the library.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(tmp_path_factory.getbasetemp() / "compiled"))


@pytest.mark.usefixtures("on_path")
def test_a_shell_script_shares_a_pool_with_an_agent() -> None:
    done = subprocess.run(
        [str(ROOT / "examples/shell.sh")],
        capture_output=True,
        text=True,
        timeout=BOUND,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(done.stdout.splitlines()) == [
        "agent: durable has 7 letters",
        "shell: counting durable",
        "shell: the queue is empty",
        "true",
    ]
