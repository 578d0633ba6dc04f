"""The records and snapshots that the Rust implementation wrote come out byte for byte."""

from collections.abc import AsyncIterator, Iterable
from hashlib import sha256
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


SHA256 = {
    "filters.jsonl": "fd88f63a58985694129068de8d8314fa855b4cdb54768860613d92e1811c06b0",
    "matches.jsonl": "6c9fe2cb51b5da531c13c87d999fd9abb846cb0102a682842a5e7240c9692545",
    "records.jsonl": "da532d37b9658f27f4437c30f1422fb771294be3028f977fc63a93e58a4430b2",
    "records.snapshot.json": "81e3ea7689aa91b182b52788e3885866bcf4382844cb9afd1eaa93ec4847c4e4",
    "rejects.jsonl": "58c92a45a9032a8905b89fb75847d92e34957474478699175d60fb50077209df",
    "seed-store.db": "da4d10924ef9b206858a87ef2f60a366010fdaab12b38e4890376d2a6448e626",
    "seed-store.snapshot.json": "6efab43a0ea938c28b7186ec2018af868029b2ed8fe7ac114cf0c621d2c3bed5",
}


def test_nobody_has_edited_the_files_of_the_other_implementation() -> None:
    found = {each.name: sha256(each.read_bytes()).hexdigest() for each in FIXTURES.iterdir()}
    del found["README.md"]
    assert found == SHA256


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
