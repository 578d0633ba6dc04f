"""Stores: the contract, and everything that the author of a new one needs.

*What a store is.* A log of records for each pool, and rows beside it; both are changed by commands,
in transactions. What records and rows mean is none of its business: `carry_out` has each `Command`
decide, and works out all that follows from its `Decision`. A store derives from `AgentPoolStore`,
which says what its users may rely on, and brings every method but these. It is made with a `Clock`,
by default `wall_clock`, which it hands on.

``execute(pool_id, command)``
    One write transaction, and one at a time in a pool, whoever else has the store open: take the
    lock; bring a `PoolTransaction` up to all that is committed; call ``carry_out(transaction,
    command)``; write everything that was applied to the transaction, in one piece that a crash
    leaves whole or not at all, bodies too; wait for the disk; let go of the lock; then `notify` the
    pool if a record was appended or a decision had ``announce`` set; return the result. Rows alone
    are no reason to tell anybody. Several commands may share a transaction, one after another:
    whatever waits while one is being written should be the next, or each waits for the disk alone.
    A pool without any record is executed on too: the first command makes the pool, and an event
    number needs no opened one.

    Whatever `carry_out` raises, what it applied is rolled back, in memory as on the disk, and the
    caller gets that error; of a `ConsequenceError`, which is internal, its ``error``. The other
    commands of a batch are not harmed. (Before an `AgentPoolError` only what was due before the
    command was applied; a store may keep that.)

    Cancelling the caller must not stop a transaction half-way: let it run in a thread, or in a task
    of its own. `Command.must_survive_power_cut` says whether the disk has to be waited for; to wait
    always is right.

``query(pool_id, question)``
    Call the question with a `PoolView` of what is committed now, whoever committed it, and give
    back what it returns or raises. Questions of one handle are called one at a time, on any thread;
    where they have to queue, those of callers that were cancelled are dropped, and a `Bulk` one
    lets others go first.
    A pool without any record has a view as well: ``head`` is 0 and ``config`` is ``None``.

``read_page(pool_id, after, limit)``
    Read a `Page` off the log, committed records only: at most ``limit``, which is mostly
    `PAGE_SIZE`, of those with numbers above ``after``, which may lie far beyond the end.
    `open_records` opens them, with ``keep_unknown=True`` those of unknown kinds too; at the first
    that cannot be read the page ends, with the error. A pool without any record is refused with
    `not_open`, a `PoolNotOpenError`.

``pool_ids()``
    List the pools that have a record, in any order.

``put_content(data, media_type=OCTETS)``, ``get_content(ref)``, ``content_type(ref)``
    Bodies of messages, beside the pools, by default `OCTETS`: `checked_content` checks the
    arguments, `content_ref` makes the ref, `no_content` the `ContentNotFoundError`. The `Content`
    in the ``bodies`` of a `Decision` is kept in its transaction, as if it had been put.

``open_content(ref)``
    May be overridden where bodies are not in memory; by default it cuts what `get_content` gives.

``finish()``
    Called once by ``aclose``, when what runs in the background has been stopped: finish the
    transaction that is being written, refuse with `StoreClosedError` the calls that wait behind it,
    let go of files, threads and connections.

``listen()``, ``stop_listening()``
    Only for a store that others can write to. Called on the event loop, when the first follower of
    any pool comes and when the last has gone; again and again. In between, `notify` every pool in
    which somebody else appended or announced something, soon after they did: by a notification of
    the engine where there is one, and by looking now and then. A turn too many costs a look, one
    that never comes costs a wait for ever. Followers may still be there when the store is closed;
    what `spawn` runs ends with it. A store that can tell what was touched calls ``tail.touch``
    instead of `notify`, and ``listen_to(pool_id, topic)`` tells it what somebody begins to follow.

``due(pool_ids)``, ``pools()``
    May be overridden where it is cheaper to find what is `Due` in many pools, or to list them, at
    once.

*How a method begins.* `check_identifier` for ``pool_id`` and ``ref``, which raises
`InvalidValueError`, then `refuse_closed`. What waited for its turn looks at `is_closed` once more.
`notify` and `refuse_closed` are for the event loop, `is_closed` and ``clock()`` for any thread.

*The transaction.* `PoolTransaction` is what `carry_out` works on: the look-ups of `PoolView`, and
``apply`` and ``set_projected``. All of it is called from one thread, without awaiting, and each
look-up sees what was applied before it. A store that has room for its pools in memory takes
`MemoryPool`: it gives it what was logged, and logs what is applied to it. One that has not writes
its own, over an engine that can look up by key:

- records by number, of each ``kind`` and ``payload_json`` of its `SealedPayload`; the latest
  message and wake by idempotency key, the latest wake by condition, each `Placed`; when a record
  was appended (`seal` makes one for tests, `open_payload` reads one back);
- `PoolState`, made by feeding it the records in order: members, config, open wakes;
- each `Row` by its `RowKey`; those of one kind and name in order of their numbers; those of kind
  `DEADLINE` by ``due_at``; the earliest ``due_at`` of those of kind `INBOX` and one name;
- two numbers: the last event number, and how far the records have been worked in.

`LookUps` says what a command is going to look up, for engines that are a trip away.

*Errors.* Each is an `AgentPoolError`, nothing foreign reaches a caller: `StoreBusyError` when
others held the lock for too long, `StoreFullError` when there is no room, `CorruptRecordError` and
`UnknownRecordError` for a record (`open_payload` raises them), `IncompatibleStoreError` when what
is to be opened is no store or a newer one, `StoreClosedError`, and `StoreError` for the rest, each
``from`` the foreign error. None leaves half of a command behind, and those that can be retried
leave the handle usable. One error for several callers is a ``copy()`` for each. One that a question
raises is told its pool by ``in_pool``; `carry_out` has done so for commands.

*Testing.* A store passes `StoreConformance` and `PoolConformance` of `agentpool.testing`; one that
can be opened again, or from elsewhere, passes `SharedStoreConformance` too.

*What is where.*

======================= =======================================================================
`base`                  the contract
`sqlite`                the store in one file
`postgres`              the store on a server
`batch`                 what these two have in common: commands in batches, on any engine
`memory`                the store in memory: `memory_pool`, `row_table`
`sharded`               one store of several
`handle`                the life of a handle; `tail`: following its pools, by `turns`
`snapshots`             those that a handle keeps
`counting`              what waits in a pool, in numbers
======================= =======================================================================
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
from agentpool.stores.base import AgentPoolStore, Bulk, Due
from agentpool.stores.memory_pool import MemoryPool
from agentpool.stores.tail import PAGE_SIZE, Page
from agentpool.support.clock import Clock, wall_clock

# What is stored
from agentpool.wire.content import OCTETS, Content, checked_content, content_ref, no_content
from agentpool.wire.ids import check_identifier
from agentpool.wire.payload import SealedPayload, open_payload, open_records, seal

__all__ = (
    "DEADLINE",
    "INBOX",
    "OCTETS",
    "PAGE_SIZE",
    "AgentPoolError",
    "AgentPoolStore",
    "Bulk",
    "Clock",
    "Command",
    "ConsequenceError",
    "Content",
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
