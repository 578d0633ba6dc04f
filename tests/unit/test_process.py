"""The names of the process and of the boot."""

from pathlib import Path

import pytest

from agentpool.support import process


def test_a_boot_has_one_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    named = tmp_path / "boot_id"
    named.write_text("b7757777-25ee\n")
    monkeypatch.setattr(process, "_BOOT_ID", named)
    assert process.boot_id() == process.boot_id() == "b7757777-25ee"


@pytest.mark.parametrize("content", [None, b"", b"\xff"])
def test_a_boot_may_have_no_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    nameless = tmp_path / "boot_id"
    if content is not None:
        nameless.write_bytes(content)
    monkeypatch.setattr(process, "_BOOT_ID", nameless)
    assert process.boot_id() is None
