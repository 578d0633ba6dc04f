"""Reading ``tests/fixtures``: files that the Rust implementation wrote."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

FIXTURES: Final = Path(__file__).parent / "fixtures"


class StoredRow(NamedTuple):
    """A row of ``agent_pool_records``."""

    pool_id: str
    seq: int
    kind: str
    payload_json: str


def lines(name: str) -> list[bytes]:
    """Read a file line by line. Only ``\\n`` ends a line: strings hold U+2028 and the like."""
    return (FIXTURES / name).read_bytes().removesuffix(b"\n").split(b"\n")


def documents(name: str) -> list[dict[str, Any]]:
    """Read a file of one JSON document a line."""
    return [json.loads(line) for line in lines(name)]


def compact(document: Any) -> bytes:
    """Write a document as the wire format does; ``json`` keeps the order that it read."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def seed_rows(folder: Path) -> list[StoredRow]:
    """Read the records of the seed store with SQLite alone, out of a copy in this folder."""
    copy = shutil.copy(FIXTURES / "seed-store.db", folder)
    with closing(sqlite3.connect(copy)) as connection:
        rows = connection.execute(
            "SELECT pool_id, seq, kind, payload_json FROM agent_pool_records ORDER BY seq"
        )
        return [StoredRow(*row) for row in rows]
