"""SQL over the bodies of messages.

A body of at most a piece is one row. A larger one is kept in pieces, a transaction each; its row
comes last, and without that it is not there.
"""

from collections.abc import Sequence
from typing import Final

from agentpool.stores.batch.bodies import Reading
from agentpool.stores.postgres.pipeline import Pipeline, Statement
from agentpool.stores.postgres.values import byteas, texts
from agentpool.wire.content import PIECE, Content, damaged_content, no_content

__all__ = ("PostgresReading", "keep", "keep_now", "keep_piece", "keep_row", "media_type")

# One that is there as it should be is not touched: many put the same one at once, and whoever wrote
# it would have to be waited for. The first media type stays.
_PUT: Final = Statement(
    """
    INSERT INTO @.content AS kept (sha256, media_type, data)
    SELECT k.* FROM unnest($1::text[], $2::text[], $3::bytea[]) AS k (sha256, media_type, data)
    LEFT JOIN LATERAL (
        SELECT c.size IS NULL AND c.data = k.data AS is_well FROM @.content c
        WHERE c.sha256 = k.sha256 LIMIT 1
    ) c ON true
    WHERE c.is_well IS NOT TRUE
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data, size = NULL
    """
)
_PUT_ROW: Final = Statement(
    """
    INSERT INTO @.content (sha256, media_type, data, size)
    VALUES ($1::text, $2::text, '', $3::bigint)
    ON CONFLICT (sha256) DO UPDATE SET data = excluded.data, size = excluded.size
    """
)
_PUT_PIECE: Final = Statement(
    """
    INSERT INTO @.content_pieces (sha256, number, data)
    VALUES ($1::text, $2::bigint, $3::bytea)
    ON CONFLICT (sha256, number) DO UPDATE SET data = excluded.data
    """
)
_MEDIA_TYPE: Final = Statement("SELECT media_type FROM @.content WHERE sha256 = $1::text")
_FIND: Final = Statement(
    "SELECT data, size::text::bytea FROM @.content WHERE sha256 = $1::text", binary=True
)
_PIECE: Final = Statement(
    "SELECT data FROM @.content_pieces WHERE sha256 = $1::text AND number = $2::bigint",
    binary=True,
)


def keep(pipeline: Pipeline, bodies: Sequence[Content]) -> None:
    """Ask for small bodies to be kept, those that are not there yet."""
    # In one order everywhere, or two that put the same ones would wait for each other.
    ordered = sorted(bodies, key=lambda body: body.ref)
    pipeline.ask(
        _PUT,
        texts(body.ref for body in ordered),
        texts(body.media_type for body in ordered),
        byteas(bytes(body.data) for body in ordered),
    )


def keep_now(pipeline: Pipeline, body: Content) -> None:
    """Keep a small body, at once."""
    keep(pipeline, [body])
    pipeline.flush()


def keep_piece(pipeline: Pipeline, ref: str, number: int, piece: memoryview) -> None:
    """Keep a piece of a body, at once."""
    pipeline.ask(_PUT_PIECE, ref, number, bytes(piece))
    pipeline.flush()


def keep_row(pipeline: Pipeline, ref: str, media_type: str, size: int) -> None:
    """Write the row that makes a body be there whose pieces are, at once."""
    pipeline.ask(_PUT_ROW, ref, media_type, size)
    pipeline.flush()


def media_type(pipeline: Pipeline, ref: str) -> str:
    """Give the media type of a body.

    :raises ContentNotFoundError: it is not there
    """
    row = pipeline.ask(_MEDIA_TYPE, ref).row
    if row is None:
        raise no_content(ref)
    return str(row[0].decode())


class PostgresReading(Reading[Pipeline]):
    """Reads a body on a server."""

    def __init__(self, ref: str) -> None:
        super().__init__(ref)
        self._whole: bytes | None = None

    def find(self, connection: Pipeline) -> int:
        row = connection.ask(_FIND, self.ref).row
        if row is None:
            raise no_content(self.ref)
        data, size = row
        self._whole = data if size is None else None
        return len(data) if size is None else int(size)

    def read(self, connection: Pipeline, number: int, start: int) -> bytes:
        if self._whole is not None:
            return self._whole[start : start + PIECE]
        row = connection.ask(_PIECE, self.ref, number).row
        if row is None or not 0 < len(row[0]) <= PIECE:
            raise damaged_content(self.ref)
        return bytes(row[0])
