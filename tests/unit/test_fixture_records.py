"""The records and snapshots that the Rust implementation wrote come out byte for byte."""

from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any, cast, get_args

import pytest
from fixture_files import FIXTURES, documents, lines, seed_rows
from samples import open_record

from agentpool import (
    AgentPoolError,
    AgentPoolSnapshot,
    AgentPoolStoreRecord,
    AgentPoolStoreRecordPayload,
    CorruptRecordError,
    InvalidValueError,
    UnknownRecordError,
    decode,
    encode,
    replay,
)
from agentpool.wire.payload import KINDS, open_payload, seal
from agentpool.wire.records import record_at

RECORDS = lines("records.jsonl")
REJECTS = documents("rejects.jsonl")
PAYLOAD = cast("type[AgentPoolStoreRecordPayload]", AgentPoolStoreRecordPayload)


async def _records(of: Iterable[Any]) -> AsyncIterator[AgentPoolStoreRecord]:
    for seq, payload in enumerate(of, 1):
        yield record_at("pool.fixture", seq, payload)


def test_the_records_are_of_every_kind() -> None:
    kinds = {type(decode(raw, PAYLOAD)) for raw in RECORDS}
    assert kinds == set(get_args(AgentPoolStoreRecordPayload))


@pytest.mark.parametrize("number", range(1, len(RECORDS) + 1))
def test_a_record_round_trips(number: int) -> None:
    raw = RECORDS[number - 1]
    payload = decode(raw, PAYLOAD)
    assert encode(payload) == raw
    assert decode(raw.decode(), PAYLOAD) == payload


@pytest.mark.parametrize("number", range(1, len(RECORDS) + 1))
def test_a_record_can_be_sealed_and_opened(number: int) -> None:
    raw = RECORDS[number - 1]
    sealed = seal(decode(raw, PAYLOAD))
    assert sealed.payload_json == raw.decode()
    assert open_payload("pool", number, sealed.kind, raw) == sealed.payload


async def test_the_records_mean_the_same() -> None:
    snapshot = await replay(
        _records(decode(raw, PAYLOAD) for raw in RECORDS), pool_id="pool.fixture"
    )
    expected = (FIXTURES / "records.snapshot.json").read_bytes().removesuffix(b"\n")
    assert encode(snapshot) == expected
    assert decode(expected, AgentPoolSnapshot) == snapshot


def test_the_seed_store_round_trips(tmp_path: Path) -> None:
    for pool_id, seq, kind, payload_json in seed_rows(tmp_path):
        record = open_record(pool_id, seq, kind, payload_json.encode())
        assert seal(cast("AgentPoolStoreRecordPayload", record.payload)) == (
            record.payload,
            kind,
            payload_json,
        )


async def test_the_seed_store_means_the_same(tmp_path: Path) -> None:
    async def records() -> AsyncIterator[AgentPoolStoreRecord]:
        for pool_id, seq, kind, payload_json in seed_rows(tmp_path):
            yield open_record(pool_id, seq, kind, payload_json.encode())

    snapshot = await replay(records(), pool_id="pool.interop")
    expected = (FIXTURES / "seed-store.snapshot.json").read_bytes().removesuffix(b"\n")
    assert encode(snapshot) == expected


@pytest.mark.parametrize("reject", REJECTS, ids=[reject["why"][:40] for reject in REJECTS])
def test_refuses_what_the_other_implementation_refuses(reject: dict[str, str]) -> None:
    with pytest.raises(InvalidValueError) as caught:
        decode(reject["payload"], PAYLOAD)
    assert str(caught.value)


@pytest.mark.parametrize("kind", [*KINDS, "new_kind"])
@pytest.mark.parametrize("reject", REJECTS, ids=[reject["why"][:40] for reject in REJECTS])
def test_no_refused_record_can_be_opened(reject: dict[str, str], kind: str) -> None:
    with pytest.raises((CorruptRecordError, UnknownRecordError)) as caught:
        open_payload("pool.fixture", 7, kind, reject["payload"].encode())
    error: AgentPoolError = caught.value
    assert (error.pool_id, error.seq) == ("pool.fixture", 7)
