"""Pools that are copied from one file into another."""

from pathlib import Path
from typing import Any

import pytest

from agentpool import CorruptRecordError, InMemoryAgentPoolStore, InvalidValueError, open_store
from agentpool.copying import copy_pools
from agentpool.doctor import Level, examine
from agentpool.stores.batch.raw import BYTES_AT_ONCE, ITEMS_AT_ONCE, size_of
from agentpool.stores.sqlite.raw import SqliteRawPool
from agentpool.testing import a_message, a_receipt

from .copying_cases import (
    RECORDS,
    CopyingCases,
    copy_in_part,
    fill,
    open_place,
    raw,
    refuses_all_of,
)
from .helpers import POOL, sql

ODD = {
    "unknown": "'of_tomorrow', '{\"type\":\"of_tomorrow\"}'",
    "no JSON": "'run_message', '{\"type\":'",
    "no UTF-8": "'run_message', CAST(X'7bff7d' AS TEXT)",
    "a NUL": "'run_message', CAST(X'7b007d' AS TEXT)",
    "no text": "'run_message', X'7b7d'",
    "kind no UTF-8": "CAST(X'ff' AS TEXT), '{}'",
    "kind no text": "X'72', '{}'",
    "neither text": "X'72', X'7b'",
}
"""Kinds and payloads as other programs may write them."""


def put_odd_record(path: str, what: str) -> None:
    """Append a record of `ODD`, or of these kind and payload."""
    with sql(Path(path)) as connection:
        connection.create_function("agentpool_is_utf_8", 1, lambda _: True, deterministic=True)
        connection.execute(
            "INSERT INTO agent_pool_records SELECT ?, max(seq) + 1,"
            f" {ODD.get(what, what)} FROM agent_pool_records WHERE pool_id = ?",
            (POOL, POOL),
        )


def dump(path: str) -> list[Any]:
    """List what a file has of all pools, by plain SQL, with the types that SQLite has for it."""
    columns = {
        "agent_pool_records": "pool_id seq kind payload_json",
        "agent_pool_event_seq": "pool_id seq",
        "agentpool_pools": "pool_id projected",
        "agentpool_rows": "pool_id kind name number due_at value",
        "agentpool_times": "pool_id seq millis",
        "agentpool_content": "sha256 media_type data size",
        "agentpool_content_pieces": "sha256 number data",
    }
    found: list[Any] = []
    with sql(Path(path)) as connection:
        for table, names in columns.items():
            each = ", ".join(f"typeof({name}), hex({name})" for name in names.split())
            found += sorted(connection.execute(f"SELECT '{table}', {each} FROM {table}"))
    return found


class TestFromFileToFile(CopyingCases):
    kills = (1, 2, 2)

    @pytest.fixture
    def places(self, tmp_path: Path) -> tuple[str, str]:
        return str(tmp_path / "source.db"), str(tmp_path / "target.db")

    async def test_a_file_is_the_same_afterwards_whatever_others_have_written(
        self, places: tuple[str, str]
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            ref = await source.put_content(b"body")
            message = a_message("message.body", content_ref=ref, idempotency_key="key.body")
            await source.record_message(POOL, message, a_receipt(message))
            for name in ODD:
                put_odd_record(places[0], name)
            await copy_pools(source, target)
            copied = dump(places[1])
            await copy_pools(source, target)
        assert copied == dump(places[0]) == dump(places[1])

    async def test_a_damaged_body_or_row_is_refused_and_what_is_put_right_goes_on(
        self, places: tuple[str, str]
    ) -> None:
        damages = (
            ("UPDATE agentpool_content SET data = X'00'", "agentpool_content", "was damaged"),
            ("UPDATE agentpool_times SET millis = 'soon'", "agentpool_times", "one of its times"),
        )
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 3)
            ref = await source.put_content(b"body")
            message = a_message("message.body", content_ref=ref, idempotency_key="key.body")
            await source.record_message(POOL, message, a_receipt(message))
            with sql(Path(places[0])) as connection:
                connection.execute("INSERT INTO agentpool_times VALUES (?, 1, 1)", (POOL,))
                for damage, table, reason in damages:
                    connection.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table}")
                    connection.execute(damage)
                    with pytest.raises(CorruptRecordError, match=reason) as caught:
                        await copy_pools(source, target)
                    assert caught.value.pool_id == POOL
                    assert await target.pool_ids() == []
                    connection.execute(f"DELETE FROM {table}")
                    connection.execute(f"INSERT INTO {table} SELECT * FROM kept")
                    connection.execute("DROP TABLE kept")
            await copy_pools(source, target)
            assert await target.get_content(ref) == b"body"

    async def test_what_is_read_or_written_at_once_is_bounded(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pieces: list[tuple[int, int]] = []
        page, put = SqliteRawPool.page, SqliteRawPool.put

        def paged(self: Any, part: Any, after: Any) -> Any:
            items = page(self, part, after)
            pieces.append((len(items), sum(map(size_of, items[:-1]))))
            return items

        def noted(self: Any, part: Any, items: Any) -> None:
            pieces.append((len(items), sum(map(size_of, items[:-1]))))
            put(self, part, items)

        monkeypatch.setattr(SqliteRawPool, "page", paged)
        monkeypatch.setattr(SqliteRawPool, "put", noted)
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source, 300)
            for number in range(8):
                large = a_message(
                    f"large.{number}", content_ref="x" * 500, idempotency_key=f"large.{number}"
                )
                receipt = a_receipt(large, delivered_to=tuple(f"{i:0>400}" for i in range(200)))
                await source.record_message(POOL, large, receipt)
            await copy_pools(source, target)
        assert max(count for count, _ in pieces) == ITEMS_AT_ONCE
        assert 0 < max(size for _, size in pieces) <= BYTES_AT_ONCE

    async def test_a_file_that_does_not_wait_for_the_disk_is_no_exception(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with (
            open_place(places[0]) as source,
            open_store(places[1], synchronous="NORMAL") as target,
        ):
            await fill(source)
            await copy_in_part(monkeypatch, source, target, 2)
            await refuses_all_of(target)
            await copy_pools(source, target)
            assert await raw(target) == await raw(source)
            await fill(target, RECORDS + 1)

    async def test_the_doctor_says_that_a_pool_is_not_whole(
        self, places: tuple[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with open_place(places[0]) as source, open_place(places[1]) as target:
            await fill(source)
            await copy_in_part(monkeypatch, source, target, 2)
        report = examine(places[1])
        assert report.of("copies").level is Level.NOTE
        assert POOL in report.of("copies").what
        assert [each for each in report.findings if each.level is Level.BROKEN] == []

    async def test_only_engines_have_pools_to_copy(self, places: tuple[str, str]) -> None:
        memory = InMemoryAgentPoolStore()
        async with open_place(places[0]) as store:
            for each in (memory, store):
                await each.open_pool(POOL)
            for name, ends in {"source": (memory, store), "target": (store, memory)}.items():
                with pytest.raises(InvalidValueError, match=f"^{name}: .*InMemoryAgentPoolStore"):
                    await copy_pools(*ends)
            with pytest.raises(InvalidValueError, match=r"^pool_ids"):
                await copy_pools(store, store, [""])
            with pytest.raises(InvalidValueError, match=r"^force"):
                await copy_pools(store, store, force=1)  # type: ignore[arg-type]

    async def test_a_body_that_is_too_large_for_the_target_is_refused(
        self, places: tuple[str, str]
    ) -> None:
        async with open_place(places[0]) as source, open_store(places[1], max_body=3) as target:
            await fill(source, 3)
            ref = await source.put_content(b"body")
            message = a_message("message.body", content_ref=ref, idempotency_key="key.body")
            await source.record_message(POOL, message, a_receipt(message))
            with pytest.raises(InvalidValueError, match="larger max_body"):
                await copy_pools(source, target)
            assert await target.pool_ids() == []
