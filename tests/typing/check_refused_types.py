"""Mistakes that a type checker finds: mypy complains where an ignore is not needed."""

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStoreCursor,
    EventFilter,
    EventKind,
    MessageReceipt,
    MessageStatus,
    PolicyRef,
    RunAddress,
    SqliteAgentPoolStore,
    decode,
    include,
)


def mistakes() -> None:
    AgentPoolMember("r")  # type: ignore[call-arg]
    AgentPoolMember("r", 7)  # type: ignore[arg-type]
    AgentPoolMember("r", "a", tags=("t",))  # type: ignore[call-arg]
    AgentPoolStoreCursor("1")  # type: ignore[arg-type]
    MessageReceipt("m", "delivered")  # type: ignore[arg-type]
    PolicyRef("p")  # type: ignore[call-arg, arg-type]
    EventFilter(kinds="all")  # type: ignore[arg-type]
    EventFilter(kinds=include(MessageStatus.FAILED))  # type: ignore[arg-type]
    EventFilter(include(EventKind.RUN_FAILED))  # type: ignore[call-arg]
    RunAddress.run(7)  # type: ignore[arg-type]
    decode(7, AgentPoolMember)  # type: ignore[arg-type]


def forgotten(pool: AgentPool) -> None:
    """What is not opened yet has nothing of what it will open."""
    opening = SqliteAgentPoolStore.open("pool.db")
    opening.read("pool.x")  # type: ignore[attr-defined]
    AgentPool.open(opening, "pool.x")  # type: ignore[arg-type]
    pool.member(AgentPoolMember("r", "a")).send  # type: ignore[attr-defined]  # noqa: B018
    with opening as _:  # type: ignore[attr-defined]
        pass
