"""Stores: the contract, and everything that the author of a new one needs.

*What a store is.* A log of records for each pool, and rows beside it; both are changed by commands,
in transactions. What the records and rows mean is none of its business: `carry_out` decides a
command and works out all that follows from it. A store derives from `AgentPoolStore`, which says
what its users may rely on and brings every method but these.

``execute(pool_id, command)``
    One write transaction, and one at a time in a pool, whoever else has the store open: take the
    lock; bring a `PoolTransaction` up to what is durable now; call ``carry_out(transaction,
    command)``; write everything that was applied to the transaction, in one piece that a crash
    leaves whole or not at all; wait for the disk; let go of the lock; then `notify` the pool if a
    record was appended or a decision had ``announce`` set; return the result. Several commands may
    share a transaction if they are carried out one after another. A pool without any record is
    executed on too: the first command makes the pool, and an event number needs no opened one.

    Whatever `carry_out` raises, the transaction is rolled back, in memory as on the disk, and the
    caller gets that error; of a `ConsequenceError`, which is internal, its ``error``. In a batch,
    an `AgentPoolError` harms only the command that it refuses: what the others applied may be
    committed. Cancelling a caller must not stop a transaction half-way: run it in a thread, or in a
    task of its own. `Command.must_survive_power_cut` says whether the disk has to be waited for;
    to wait always is right.

``query(pool_id, question)``
    Call the question with a `PoolView` of what is committed now, whoever committed it, and give
    back what it returns or raises. Questions of one handle are called one at a time, on any thread.
    A pool without any record has a view as well: ``head`` is 0 and ``config`` is ``None``.

``read_page(pool_id, after, limit)``
    Read records off the log: at most ``limit`` of those with numbers above ``after``, which may lie
    far beyond the end. `open_records` reads them, with ``keep_unknown=True`` also those of unknown
    kinds. At the first that cannot be read the page ends: ``Page(records, error)``. A pool without
    any record is refused with `not_open`.

``put_content`` and ``get_content``
    Bodies of messages, beside the pools: `checked_content` checks the arguments, `content_ref`
    makes the ref, `no_content` the error for what is not there.

``finish()``
    Called once by ``aclose``, which has stopped what runs in the background: finish the
    transaction that is being written, refuse with `StoreClosedError` the calls that wait behind it,
    let go of files, threads and connections. What is still to be cancelled belongs into `spawn`.

``listen()`` and ``stop_listening()``
    Only for a store that others can write to. Called on the event loop when the first follower of
    any pool comes, and when the last has gone; again and again. In between, `notify` every pool in
    which somebody else appended or announced something, soon after they did: by a notification of
    the engine where there is one, and by looking now and then. A turn too many costs a look, one
    that never comes costs a wait for ever. Followers may still be there when the store is closed:
    a task from `spawn` ends with it.

``due(pool_ids)``
    May be overridden where one question for many pools is cheaper than one for each.

*How a method begins.* `check_identifier` for ``pool_id`` and ``ref``, then `refuse_closed`; and
that once more when it has waited for its turn. `notify` is called on the event loop only.

*The transaction.* `PoolTransaction` is what `carry_out` works on: the look-ups of `PoolView`, and
``apply`` and ``set_projected``. All of it is called from one thread, without awaiting, and each
look-up has to see what was applied before it. A store that has room for its pools in memory takes
`MemoryPool`, gives it what was logged, and logs what is applied to it. One that has not writes its
own, over an engine that can look up by key:

- records (`SealedPayload`: ``kind`` and ``payload_json`` are what is to be stored) by number, and
  the latest message and wake by idempotency key, the latest wake by condition;
- `PoolState`, made by feeding it the records in order: members, config, open wakes;
- rows (`Row`, by `RowKey`): by key, by kind and name in order of their numbers, the rows of kind
  `DEADLINE` by ``due_at``, and the earliest ``due_at`` of those of kind `INBOX` of one name;
- two numbers: the last event number, and how far the records have been worked into the rows;
- when a record was appended.

`LookUps` says what a command is going to look up, for engines that are a trip away.

*Errors.* Nothing foreign reaches a caller: `StoreBusyError` when others held the lock for too long,
`StoreFullError` when there is no room, `CorruptRecordError` and `UnknownRecordError` for a record
(`open_payload` raises them), `IncompatibleStoreError` when what is to be opened is no store or a
newer one, `StoreClosedError`, and `StoreError` for the rest. Each but the last leaves the store
usable, and none leaves half of a command behind. ``raise ... from`` the foreign error.

*Testing.* A store passes `StoreConformance` and `PoolConformance` of `agentpool.testing`; one that
can be opened again, or from elsewhere, passes `SharedStoreConformance` too.
"""

from agentpool.errors import (
    AgentPoolError,
    ContentNotFoundError,
    CorruptRecordError,
    IncompatibleStoreError,
    InvalidValueError,
    PoolNotOpenError,
    StoreBusyError,
    StoreClosedError,
    StoreError,
    StoreFullError,
    UnknownRecordError,
)

# Commands and what they are carried out on
from agentpool.rules.command import (
    DEADLINE,
    INBOX,
    Command,
    Decision,
    LookUps,
    Placed,
    PoolTransaction,
    PoolView,
    Row,
    RowKey,
)
from agentpool.rules.consequences import ConsequenceError, carry_out
from agentpool.rules.replay import PoolState, not_open

# The store
from agentpool.stores.base import AgentPoolStore, Due
from agentpool.stores.memory_pool import MemoryPool
from agentpool.stores.tail import PAGE_SIZE, Page
from agentpool.support.clock import Clock, wall_clock

# What is stored
from agentpool.wire.content import OCTETS, checked_content, content_ref, no_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import SealedPayload, open_payload, open_records, seal

__all__ = (
    "DEADLINE",
    "INBOX",
    "OCTETS",
    "PAGE_SIZE",
    "AgentPoolError",
    "AgentPoolStore",
    "Clock",
    "Command",
    "ConsequenceError",
    "ContentNotFoundError",
    "CorruptRecordError",
    "Decision",
    "Due",
    "IncompatibleStoreError",
    "InvalidValueError",
    "LookUps",
    "MemoryPool",
    "Page",
    "Placed",
    "PoolNotOpenError",
    "PoolState",
    "PoolTransaction",
    "PoolView",
    "Row",
    "RowKey",
    "SealedPayload",
    "StoreBusyError",
    "StoreClosedError",
    "StoreError",
    "StoreFullError",
    "UnknownRecordError",
    "carry_out",
    "check_identifier",
    "checked_content",
    "content_ref",
    "no_content",
    "not_open",
    "open_payload",
    "open_records",
    "seal",
    "wall_clock",
)
