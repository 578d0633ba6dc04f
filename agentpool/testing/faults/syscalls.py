"""What a process told the kernel to do with files, as strace(1) writes it down."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ("Call", "parse", "strace_or_reason", "traced")

_CALLS: Final = (
    "openat,close,pwrite64,write,fsync,fdatasync,ftruncate,unlink,unlinkat,rename,renameat2"
)
_LONGEST: Final = 1 << 20

_LINE: Final = re.compile(r"(\d+) +(.*)")
_UNFINISHED: Final = re.compile(r"(.*?),? *<unfinished \.\.\.>")
_RESUMED: Final = re.compile(r"<\.\.\. \w+ resumed>,? ?(.*)")
_WHOLE: Final = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_ARGUMENT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"|([^,"]+)')


class Call(NamedTuple):
    """A call that succeeded; an argument is its bytes, or its text."""

    name: str
    arguments: tuple[bytes | str, ...]
    result: int

    def number(self, index: int) -> int:
        """Give an argument as a number."""
        return int(self.arguments[index])


def strace_or_reason() -> tuple[str, str]:
    """Find strace, or say why it cannot be used here."""
    strace = shutil.which("strace")
    if strace is None:
        return "", "strace is not installed"
    probe = subprocess.run(  # noqa: S603
        [strace, "-o", os.devnull, "true"], check=False, capture_output=True, text=True
    )
    if probe.returncode:
        return "", f"this machine lets nobody trace: {probe.stderr.strip()}"
    return strace, ""


def traced(strace: str, output: Path, command: Iterable[str]) -> list[str]:
    """Make a command line that records the calls of another one."""
    options = ["-f", "--seccomp-bpf", "-qq", "-xx", "-s", str(_LONGEST), "-e", f"trace={_CALLS}"]
    return [strace, *options, "-e", "signal=none", "-o", str(output), *command]


def parse(lines: Iterable[str]) -> Iterator[Call]:
    """Read calls in the order in which they came to their end."""
    begun: dict[str, str] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, text = found.groups()
        if unfinished := _UNFINISHED.match(text):
            begun[thread] = unfinished[1]
            continue
        if resumed := _RESUMED.match(text):
            text = begun.pop(thread) + resumed[1]
        if whole := _WHOLE.match(text):
            name, arguments, result = whole.groups()
            if int(result) >= 0:
                yield Call(name, tuple(_arguments(arguments)), int(result))


def _arguments(text: str) -> Iterator[bytes | str]:
    for literal, word in _ARGUMENT.findall(text):
        if word.strip():
            yield word.strip()
        elif not word:
            yield bytes.fromhex(literal.replace("\\x", ""))
