"""Verbs that serve: what they refuse before they load what they need."""

from types import ModuleType
from unittest.mock import AsyncMock, Mock

import pytest

from agentpool.cli import extras, hosting, page

from .conftest import Shell


@pytest.mark.parametrize("port", ["99999", "65536", "-1", "x", "\u00b2", "9" * 20])
def test_what_is_no_port_is_a_wrong_use(library: Shell, port: str) -> None:
    called = library(f"mcp --http={port}")
    assert (called.code, called.raw) == (2, b"")
    assert "is no port; ports are 0 to 65535" in called.err


@pytest.mark.parametrize("token", ["", " ", "two words", "a\n", "a\t", "\u00a0", "\x7f", "\udcff"])
def test_what_is_no_token_lets_nobody_in_without_one(
    library: Shell, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    serves = AsyncMock()
    monkeypatch.setattr(hosting, "loaded", Mock(return_value=Mock(PATH="/mcp", serve_http=serves)))
    library.set(TOKEN=token)
    called = library("mcp --http 0")
    assert (called.code, called.raw, called.err.count("\n")) == (2, b"", 1)
    assert "AGENTPOOL_TOKEN: a token is not empty" in called.err
    serves.assert_not_awaited()


def test_a_page_of_a_pool_that_is_not_there_is_refused(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    serves = AsyncMock(return_value=0)
    monkeypatch.setattr(page, "loaded", Mock(return_value=Mock(serve=serves)))
    refused = library("web -p pool.nope")
    assert (refused.code, refused.raw) == (3, b"")
    assert "there is no such pool in the store; it has pool.library" in refused.err
    serves.assert_not_awaited()
    assert library("web").code == 0
    serves.assert_awaited_once()


@pytest.mark.parametrize("line", ["web", "mcp"])
@pytest.mark.parametrize("error", [ImportError("too old"), ModuleNotFoundError("not there")])
def test_an_extra_that_does_not_load_is_named(
    library: Shell, monkeypatch: pytest.MonkeyPatch, line: str, error: ImportError
) -> None:
    def fails(_: str) -> ModuleType:
        raise error

    monkeypatch.setattr(extras, "import_module", fails)
    called = library(line)
    assert (called.code, called.err.count("\n")) == (2, 1)
    assert f"agentpool-store[{line}]' ({error})" in called.err
