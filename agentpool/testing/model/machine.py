"""The state machine: every step on the model and on a store, and nothing may tell them apart."""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from itertools import permutations
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from agentpool import AgentPool, AgentPoolStore, AgentPoolStoreConfig
from agentpool.rules.claims import Claim
from agentpool.testing.conformance.pool_kit import ManualClock, a_reply
from agentpool.testing.model.model import ModelStore
from agentpool.testing.model.steps import PATIENCE, PLAIN, POOL, Actor, Outcome, Step
from agentpool.testing.model.values import (
    CONFIGS,
    ENDINGS,
    RUNS,
    START_MILLIS,
    STEPS,
    STEPS_AT_ONCE,
)
from agentpool.testing.sites import new_site
from agentpool.testing.values import a_member, a_message
from agentpool.wire.records import MessageResponseContract, RunAddress

__all__ = ("ModelMachine",)

T = TypeVar("T")

_HANDLES: Final = 2
_AT_HAND: Final = st.integers(0, _HANDLES - 1)
_FAST: Final = Path("/dev/shm")  # noqa: S108  # a folder of our own in it


class ModelMachine(RuleBasedStateMachine):
    """Two stores that have to behave alike.

    :cvar actor: what takes the steps on the store
    :cvar url: of a server that has it, in a schema of its own; else it is a file
    :cvar counts: the outcomes of the steps of all machines, for those who run many
    """

    actor: ClassVar[type[Actor]] = Actor
    url: ClassVar[str | None] = None
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._closing = ExitStack()
        folder = tempfile.TemporaryDirectory(dir=_FAST if _FAST.is_dir() else None)
        path = Path(self._closing.enter_context(folder))
        self._site = self._closing.enter_context(new_site(path, self.url))
        self._clock = ManualClock(START_MILLIS)
        self._store = ModelStore(clock=self._clock)
        self._claims: list[Claim] = []
        self._places = dict.fromkeys((POOL, PLAIN), 0)
        self._questions = 0

    def teardown(self) -> None:
        try:
            self._run(self._close())
        finally:
            self._runner.close()
            self._closing.close()

    @initialize(config=CONFIGS, plain=st.booleans())
    def open(self, config: AgentPoolStoreConfig, plain: bool) -> None:
        """Open the pool with a config, and perhaps the plain one."""
        self._config = config
        self._run(self._open())
        if plain:
            self._run(self._take(Step("open_pool", (PLAIN, None)), 0))

    # --- steps

    @rule(steps=st.lists(st.tuples(STEPS, _AT_HAND), min_size=1, max_size=6))
    def one_by_one(self, steps: list[tuple[Step, int]]) -> None:
        """Take steps one after another."""
        for step, at in steps:
            self._run(self._take(step, at))

    @rule(run_id=RUNS, ending=ENDINGS, at=_AT_HAND)
    def consume(self, run_id: str, ending: tuple[str, tuple[Any, ...]], at: int) -> None:
        """Take a message at one handle, and end its claim at the other."""
        before = len(self._claims)
        self._run(self._take(Step("take_next", (run_id,)), at))
        if len(self._claims) > before:
            self._run(self._take(self._ending(before, *ending), 1 - at))

    @rule(which=st.integers(0, 20), ending=ENDINGS, at=_AT_HAND)
    def end_claim(self, which: int, ending: tuple[str, tuple[Any, ...]], at: int) -> None:
        """End a claim, a current one or a stale one, if there was one.

        No precondition: what is drawn must not depend on which of two steps at once came first.
        """
        if self._claims:
            self._run(self._take(self._ending(which, *ending), at))

    @rule(
        steps=st.lists(st.tuples(STEPS_AT_ONCE, _AT_HAND), min_size=2, max_size=4),
        ending=st.none() | st.tuples(st.integers(0, 20), ENDINGS, _AT_HAND),
    )
    def at_once(self, steps: list[tuple[Step, int]], ending: Any) -> None:
        """Take several steps at once; some order of them has to explain what came of it."""
        if ending is not None and self._claims and len(steps) < 4:
            which, how, at = ending
            steps = [*steps, (self._ending(which, *how), at)]
        self._run(self._take_at_once(steps))

    @rule(millis=st.sampled_from((1, 100, 300, 1_000)), at=_AT_HAND)
    def let_time_pass(self, millis: int, at: int) -> None:
        """Let time go by, and let a handle carry out what is due."""
        self._run(self._pass_time(millis, at))

    @rule(at=_AT_HAND)
    def reopen(self, at: int) -> None:
        """Close a handle on the store and open another."""
        self._run(self._reopen(at))

    @rule(
        asker=RUNS,
        contract=st.builds(MessageResponseContract, st.integers(0, 2), st.sampled_from((300, 900))),
        steps=st.lists(st.sampled_from(("run.a", "run.b", "run.c", "leave")), max_size=3),
        at=_AT_HAND,
    )
    def ask(self, asker: str, contract: MessageResponseContract, steps: list[str], at: int) -> None:
        """Ask all, let some answer or the asker leave, and wait for the end of the time."""
        self._questions += 1
        name = f"question.{self._questions}"
        message = a_message(
            name, sender=asker, to=RunAddress.pool(POOL), response_contract=contract
        )
        replies = [
            Step("leave_run", (asker,))
            if each == "leave"
            else Step("send", (a_reply(message, each, number),))
            for number, each in enumerate(steps)
        ]
        self._run(self._ask(message, replies, at))

    @invariant()
    def logs_are_equal(self) -> None:
        """Both logs have the same new records, without a gap."""
        if hasattr(self, "_config"):
            self._run(self._compare_logs())

    # --- how

    def _run(self, making: Coroutine[Any, Any, T]) -> T:
        return self._runner.run(making)

    def _ending(self, which: int, do: str, more: tuple[Any, ...]) -> Step:
        return Step(do, (self._claims[which % len(self._claims)], *more))

    async def _open(self) -> None:
        self._model = Actor(await self._opened(self._store))
        self._actors = [await self._handle() for _ in range(_HANDLES)]
        for run_id in ("run.a", "run.b"):
            await self._take(Step("join_run", (a_member(run_id),)), 0)

    async def _handle(self) -> Actor:
        return self.actor(await self._opened(await self._site.open(clock=self._clock)))

    async def _opened(self, store: AgentPoolStore) -> AgentPool:
        config = self._config
        return await AgentPool.open(
            store,
            POOL,
            message_policy=config.message_policy,
            wake_policy=config.wake_policy,
            policy_refs=config.policy_refs,
        )

    async def _reopen(self, at: int) -> None:
        await self._actors[at].store.aclose()
        self._actors[at] = await self._handle()

    async def _close(self) -> None:
        if hasattr(self, "_actors"):
            for actor in (self._model, *self._actors):
                await actor.pool.aclose()
                await actor.store.aclose()

    async def _take(self, step: Step, at: int) -> None:
        expected = await self._model.take(step)
        found = await self._actors[at].take(step)
        assert found == expected, f"{step}: the store {found}, the model {expected}"
        self._note(step, expected)

    def _note(self, step: Step, outcome: Outcome) -> None:
        self.counts[f"{step.do} {outcome.error or 'ok'}"] += 1
        if isinstance(outcome.value, Claim):
            self._claims.append(outcome.value)

    async def _pass_time(self, millis: int, at: int) -> None:
        self._clock.advance(millis)
        await self._take(Step("catch_up"), at)

    async def _take_at_once(self, steps: Sequence[tuple[Step, int]]) -> None:
        saved = self._store.save()
        found = await asyncio.gather(*(self._actors[at].take(step) for step, at in steps))
        seen = await self._seen(self._actors[0])
        for order in permutations(range(len(steps))):
            outcomes = {each: await self._model.take(steps[each][0]) for each in order}
            expected = [outcomes[each] for each in range(len(steps))]
            if found == expected and seen == await self._seen(self._model):
                for (step, _), outcome in zip(steps, found, strict=True):
                    self._note(step, outcome)
                self.counts["steps at once"] += len(steps)
                return
            self._store.restore(saved)
        msg = f"no order explains {steps}: {found}, {seen}"
        raise AssertionError(msg)

    async def _ask(self, message: Any, replies: Sequence[Step], at: int) -> None:
        expecting = await self._model.begin_to_ask(message)
        asking = await self._actors[at].begin_to_ask(message)
        for reply in replies:
            await self._take(reply, 1 - at)
        await self._pass_time(message.response_contract.timeout_millis, at)
        async with asyncio.timeout(PATIENCE):
            expected, found = await asyncio.gather(expecting, asking)
        self._note(Step("ask"), Outcome(bool(expected.value), expected.error))
        assert found == expected, f"ask {message}: the store {found}, the model {expected}"

    async def _seen(self, actor: Actor) -> tuple[object, object]:
        return await self._logs(actor), await actor.history(self._places[POOL])

    async def _logs(self, actor: Actor) -> dict[str, list[tuple[int, bytes]]]:
        return {pool_id: await actor.log(pool_id, at) for pool_id, at in self._places.items()}

    async def _compare_logs(self) -> None:
        expected = await self._logs(self._model)
        for actor in self._actors:
            found = await self._logs(actor)
            assert found == expected, f"the store has {found}, the model {expected}"
        for pool_id, records in expected.items():
            numbers = [number for number, _ in records]
            first = self._places[pool_id] + 1
            assert numbers == list(range(first, first + len(numbers)))
            self._places[pool_id] += len(numbers)
