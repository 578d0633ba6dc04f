"""Runs: whether one is here, what it holds, whom it waits for and who waits for it."""

from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from agentpool.rules.command import PoolView
from agentpool.rules.explaining.awaiting import OpenQuestions, awaited_by_wake, due_of, owed_by
from agentpool.rules.explaining.explanations import (
    MOST_LISTED,
    AgentExplanation,
    QueueExplanation,
    RunExplanation,
)
from agentpool.rules.explaining.inboxes import claims_among, claims_by, inbox_seen, rows_of
from agentpool.rules.explaining.names import MOST_LOOKED_AT, alike_in_pool, members_of
from agentpool.rules.explaining.parts import ClaimSeen, NameKind, Presence, WaitSeen
from agentpool.rules.explaining.phrases import filter_words
from agentpool.rules.explaining.presence import Held, held
from agentpool.rules.queues import is_queue, queue_name
from agentpool.rules.requirements import require_open
from agentpool.rules.rows import WAKE
from agentpool.wire.records import AgentPoolMember, AgentPoolStoredWake

__all__ = ("explain_agent", "explain_queue", "explain_run")

_MOST_RUNS: Final = 10


def explain_run(view: PoolView, member: AgentPoolMember, asked: OpenQuestions) -> RunExplanation:
    """Explain a run that is a member, or was one.

    :param member: what it has joined with last
    """
    run_id = member.run_id
    known, rows = held(view, run_id), rows_of(view, run_id)
    wakes = list(view.state.open_wakes.of_run(run_id))
    by_wakes = (each for stored in wakes for each in awaited_by_wake(view, stored))
    named = list(islice(by_wakes, MOST_LOOKED_AT))
    awaited = [*asked.awaited_by(run_id), *named]
    is_all = asked.is_all and len(named) < MOST_LOOKED_AT
    owes, owes_in_all = owed_by(view, run_id)
    config = require_open(view)
    return RunExplanation(
        pool_id=view.pool_id,
        now=view.now,
        alike=alike_in_pool(view, NameKind.RUN, run_id, close=False),
        run_id=run_id,
        agent_id=member.agent_id,
        topics=member.topics,
        presence=known.presence,
        since=known.since,
        process=known.process,
        lease_until=known.until,
        lacks=tuple(each for each in config.policy_refs if each not in member.policy_refs),
        inbox=inbox_seen(view, run_id, rows),
        claims=tuple(islice(chain(claims_among(view, rows), _in_queues(view, known)), MOST_LISTED)),
        waits=tuple(_wait_seen(view, stored) for stored in wakes[:MOST_LISTED]),
        waits_in_all=len(wakes),
        waits_for=tuple(awaited[:MOST_LISTED]),
        waits_for_in_all=len(awaited) if is_all else None,
        owes=owes,
        owes_in_all=owes_in_all,
    )


def _in_queues(view: PoolView, known: Held) -> Iterator[ClaimSeen]:
    """Go through the claims in queues of the process that holds a run."""
    if known.process is not None and known.presence is Presence.HERE:
        for member in members_of(view):
            if is_queue(member):
                yield from claims_by(view, known.process, member.run_id)


def _wait_seen(view: PoolView, stored: AgentPoolStoredWake) -> WaitSeen:
    condition = stored.condition
    return WaitSeen(
        condition_id=condition.condition_id,
        waits_for=filter_words(condition.filter),
        until=due_of(view, WAKE, condition.condition_id),
    )


def explain_agent(view: PoolView, agent_id: str) -> AgentExplanation:
    """Explain the runs of an agent that are members."""
    runs = [each for each in view.state.members.values() if each.agent_id == agent_id]
    runs.sort(key=lambda each: -view.state.joined_at[each.run_id])
    asked = OpenQuestions(view)
    return AgentExplanation(
        pool_id=view.pool_id,
        now=view.now,
        alike=alike_in_pool(view, NameKind.AGENT, agent_id, close=False),
        agent_id=agent_id,
        runs=tuple(explain_run(view, each, asked) for each in runs[:_MOST_RUNS]),
        runs_in_all=len(runs),
    )


def explain_queue(view: PoolView, run_id: str) -> QueueExplanation:
    """Explain a queue, by its run."""
    rows = rows_of(view, run_id)
    return QueueExplanation(
        pool_id=view.pool_id,
        now=view.now,
        alike=alike_in_pool(view, NameKind.QUEUE, run_id, close=False),
        name=queue_name(run_id),
        run_id=run_id,
        is_member=run_id in view.state.members,
        inbox=inbox_seen(view, run_id, rows),
        claims=tuple(islice(claims_among(view, rows), MOST_LISTED)),
    )
