"""Large bodies go piece by piece: no transaction is large, and none is there before it is whole."""

import asyncio
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import pytest

from agentpool import (
    ContentNotFoundError,
    CorruptRecordError,
    SqliteAgentPoolStore,
    StoreBusyError,
    StoreClosedError,
)
from agentpool.doctor import Level, examine
from agentpool.stores.sqlite.backfill import Backfill
from agentpool.testing.conformance.kit import pieces
from agentpool.wire.content import PIECE, content_ref

from .helpers import BOUND, POOL, is_intact, send, sql, worker

BODY = b"".join(number.to_bytes(4) for number in range(PIECE))  # of 4 pieces, each another
MANY = 24 * PIECE
PAGE = 4096
SLACK = 16
"""Pages that a transaction writes beside those of a piece."""


def commits(path: Path) -> Iterator[int]:
    """Give the pages of each transaction in the write-ahead log, which nobody has started anew."""
    log = path.with_name(path.name + "-wal").read_bytes()
    frame = 24 + PAGE
    headers = [log[at : at + 8] for at in range(32, len(log), frame)]
    ends = [number for number, each in enumerate(headers, 1) if each[4:] != bytes(4)]
    yield from (end - begin for begin, end in pairwise([0, *ends]))


def counts(path: Path) -> tuple[int, int]:
    """Count the bodies and the pieces, by plain SQL."""
    with sql(path) as connection:
        tables = ("agentpool_content", "agentpool_content_pieces")
        first, second = (
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables
        )
        return first, second


async def until_there_are(path: Path, pieces: int) -> None:
    async with asyncio.timeout(BOUND):
        while counts(path)[1] < pieces:  # noqa: ASYNC110  # the file tells nobody
            await asyncio.sleep(0.001)


async def collect(pieces: AsyncIterator[bytes], given: list[bytes]) -> None:
    async for piece in pieces:
        given.append(piece)  # noqa: PERF401  # what was given before an error, too


def change(path: Path, statement: str) -> None:
    with sql(path) as connection:
        assert connection.execute(statement).rowcount == 1


async def test_no_transaction_is_larger_than_a_piece(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as reader:
        reader.execute("BEGIN")  # so that all stays in the log
        reader.execute("SELECT count(*) FROM agentpool_content").fetchone()
        await store.put_content(bytes(10 * PIECE))
        assert max(commits(path)) <= PIECE // PAGE + SLACK
        reader.execute("ROLLBACK")


async def test_the_log_is_copied_in_small_steps_while_a_body_is_put(
    store: SqliteAgentPoolStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    copy = Backfill._copy

    def counted(self: Backfill) -> int:
        made.append(copy(self))
        return made[-1]

    monkeypatch.setattr(Backfill, "_copy", counted)
    await store.put_content(bytes(MANY))
    assert 0 < max(made) <= 2**20 // PAGE + PIECE // PAGE + SLACK


async def test_other_writers_have_their_turn_between_two_pieces(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path) as store, SqliteAgentPoolStore.open(path) as other:
        await store.open_pool(POOL)
        putting = asyncio.create_task(store.put_content(bytes(MANY)))
        await until_there_are(path, 1)
        for number, handle in enumerate((store, other, store)):
            await send(handle, number)
            assert not putting.done()
        await putting


async def test_a_body_is_read_without_being_in_memory(store: SqliteAgentPoolStore) -> None:
    ref = await store.put_content(bytes(MANY))
    tracemalloc.start()
    try:
        sizes = [len(piece) async for piece in store.open_content(ref)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sum(sizes) == MANY
    assert peak < 5 * PIECE


async def test_what_was_killed_half_way_is_not_there_and_can_be_put_again(path: Path) -> None:
    body = bytes(MANY)
    async with SqliteAgentPoolStore.open(path) as store:
        async with worker("put.py", path, MANY) as process:
            await until_there_are(path, 2)
            process.kill()
            await process.finish()
        bodies, left = counts(path)
        assert bodies == 0
        assert 2 <= left < MANY // PIECE
        for read in (store.get_content, lambda ref: anext(store.open_content(ref))):
            with pytest.raises(ContentNotFoundError):
                await read(content_ref(body))
        assert examine(path).of("pieces").level is Level.NOTE
        ref = await store.put_content(body)
        assert await store.get_content(ref) == body
        assert counts(path) == (1, MANY // PIECE)
    assert examine(path).of("pieces").level is Level.OK
    assert is_intact(path)


async def test_what_another_writer_kept_from_its_end_can_be_put_again(path: Path) -> None:
    async with SqliteAgentPoolStore.open(path, busy_timeout=0.05) as store:
        putting = asyncio.create_task(store.put_content(BODY))
        await until_there_are(path, 1)
        with sql(path) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreBusyError):
                await putting
            other.execute("COMMIT")
        with pytest.raises(ContentNotFoundError):
            await store.get_content(content_ref(BODY))
        assert await store.get_content(await store.put_content(BODY)) == BODY


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE agentpool_content_pieces SET data = zeroblob(length(data)) WHERE number = 0",
        "UPDATE agentpool_content_pieces SET data = zeroblob(length(data)) WHERE number = 3",
        "UPDATE agentpool_content_pieces SET data = substr(data, 2) WHERE number = 2",
        "UPDATE agentpool_content_pieces SET data = data || data WHERE number = 0",
        "UPDATE agentpool_content_pieces SET data = 'text' WHERE number = 1",
        "UPDATE agentpool_content_pieces SET data = x'' WHERE number = 1",
        "DELETE FROM agentpool_content_pieces WHERE number = 3",
        "UPDATE agentpool_content SET size = size / 2",
        "UPDATE agentpool_content SET size = -1",
        "UPDATE agentpool_content SET size = 'text'",
    ],
)
async def test_a_damaged_body_is_refused_until_it_is_put_again(
    damage: str, store: SqliteAgentPoolStore, path: Path
) -> None:
    ref = await store.put_content(BODY)
    change(path, damage)
    with pytest.raises(CorruptRecordError, match=ref):
        await store.get_content(ref)
    given: list[bytes] = []
    with pytest.raises(CorruptRecordError, match=ref):
        await collect(store.open_content(ref), given)
    assert len(b"".join(given)) < len(BODY)
    assert await store.put_content(BODY) == ref
    assert b"".join(await pieces(store, ref)) == await store.get_content(ref) == BODY


async def test_the_media_type_of_the_first_is_kept(store: SqliteAgentPoolStore, path: Path) -> None:
    for media_type in ("text/plain", "text/html"):
        await store.put_content(BODY, media_type=media_type)
    with sql(path) as connection:
        row = connection.execute("SELECT media_type, data, size FROM agentpool_content").fetchone()
        assert row == ("text/plain", b"", len(BODY))


async def test_what_is_there_already_is_not_written_again(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    ref = await store.put_content(BODY)
    with sql(path) as other:
        other.execute("BEGIN IMMEDIATE")
        async with asyncio.timeout(BOUND):
            assert await store.put_content(BODY) == ref
        other.execute("COMMIT")


async def test_a_trigger_that_swallows_a_piece_is_told(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    with sql(path) as connection:
        connection.execute(
            "CREATE TRIGGER t BEFORE INSERT ON agentpool_content_pieces WHEN new.number = 2"
            " BEGIN SELECT RAISE(IGNORE); END"
        )
    with pytest.raises(Exception, match="a trigger stands in the way"):
        await store.put_content(BODY)
    assert counts(path) == (0, 2)


async def test_a_large_body_that_an_earlier_version_kept_in_a_row_is_read_and_mended(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    ref = content_ref(BODY)
    with sql(path) as connection:
        row = (ref, "text/plain", BODY)
        insert = "INSERT INTO agentpool_content (sha256, media_type, data) VALUES (?, ?, ?)"
        connection.execute(insert, row)
    for _ in range(2):
        assert await store.get_content(ref) == BODY
        assert {len(piece) for piece in await pieces(store, ref)} == {PIECE}
        assert await store.put_content(BODY) == ref
    assert counts(path) == (1, 0)
    change(path, "UPDATE agentpool_content SET data = substr(data, 1, 700000)")
    with pytest.raises(CorruptRecordError):
        await store.get_content(ref)
    await store.put_content(BODY)
    assert await store.get_content(ref) == BODY
    assert counts(path) == (1, 4)


async def test_reading_in_pieces_holds_nothing_while_its_consumer_pauses(
    store: SqliteAgentPoolStore, path: Path
) -> None:
    async with aclosing(store.open_content(await store.put_content(BODY))) as body:
        await anext(body)
        with sql(path) as other:
            blocked, frames, copied = other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            assert (blocked, frames, copied) == (0, 0, 0)
        assert sum([len(piece) async for piece in body]) == len(BODY) - PIECE


async def test_closing_ends_a_put_half_way_and_another_handle_completes_it(path: Path) -> None:
    body = bytes(MANY)
    async with SqliteAgentPoolStore.open(path) as store:
        putting = asyncio.create_task(store.put_content(body))
        await until_there_are(path, 1)
        async with asyncio.timeout(BOUND):
            await store.aclose()
            with pytest.raises(StoreClosedError):
                await putting
    assert counts(path)[0] == 0
    async with SqliteAgentPoolStore.open(path) as store:
        assert await store.get_content(await store.put_content(body)) == body
