"""The suite of the coordinator: everything that a user of `AgentPool` may rely on, on any store."""

from agentpool.testing.conformance.pool_absent_asker import PoolAbsentAskerTests
from agentpool.testing.conformance.pool_asking import PoolAskingTests
from agentpool.testing.conformance.pool_asking_each import PoolAskingEachTests
from agentpool.testing.conformance.pool_bodies import PoolBodyTests
from agentpool.testing.conformance.pool_cancellation import PoolCancellationTests
from agentpool.testing.conformance.pool_claims import PoolClaimTests
from agentpool.testing.conformance.pool_closing import PoolClosingTests
from agentpool.testing.conformance.pool_deadlines import PoolDeadlineTests
from agentpool.testing.conformance.pool_deferred import PoolDeferredTests
from agentpool.testing.conformance.pool_endings import PoolEndingTests
from agentpool.testing.conformance.pool_entering import PoolEnteringTests
from agentpool.testing.conformance.pool_events import PoolEventTests
from agentpool.testing.conformance.pool_explaining import PoolExplainingTests
from agentpool.testing.conformance.pool_explaining_waits import PoolExplainingWaitsTests
from agentpool.testing.conformance.pool_failing import PoolFailingTests
from agentpool.testing.conformance.pool_gathering import PoolGatheringTests
from agentpool.testing.conformance.pool_inbox import PoolInboxTests
from agentpool.testing.conformance.pool_inbox_model import PoolInboxModelTests
from agentpool.testing.conformance.pool_late_answers import PoolLateAnswerTests
from agentpool.testing.conformance.pool_members import PoolMemberTests
from agentpool.testing.conformance.pool_no_recipient import PoolNoRecipientTests
from agentpool.testing.conformance.pool_outcomes import PoolOutcomeTests
from agentpool.testing.conformance.pool_own_events import PoolOwnEventTests
from agentpool.testing.conformance.pool_presence import PoolPresenceTests
from agentpool.testing.conformance.pool_publishing import PoolPublishingTests
from agentpool.testing.conformance.pool_queues import PoolQueueTests
from agentpool.testing.conformance.pool_renewing import PoolRenewingTests
from agentpool.testing.conformance.pool_scoping import PoolScopingTests
from agentpool.testing.conformance.pool_sending import PoolSendingTests
from agentpool.testing.conformance.pool_sending_many import PoolSendingManyTests
from agentpool.testing.conformance.pool_serving import PoolServingTests
from agentpool.testing.conformance.pool_statuses import PoolStatusTests
from agentpool.testing.conformance.pool_staying import PoolStayingTests
from agentpool.testing.conformance.pool_taking import PoolTakingTests
from agentpool.testing.conformance.pool_taking_many import PoolTakingManyTests
from agentpool.testing.conformance.pool_taking_over import PoolTakingOverTests
from agentpool.testing.conformance.pool_tokens import PoolTokenTests
from agentpool.testing.conformance.pool_waiting_again import PoolWaitingAgainTests
from agentpool.testing.conformance.pool_wakes import PoolWakeTests

__all__ = ("PoolConformance",)


class PoolConformance(
    PoolMemberTests,
    PoolGatheringTests,
    PoolSendingTests,
    PoolBodyTests,
    PoolNoRecipientTests,
    PoolSendingManyTests,
    PoolDeferredTests,
    PoolStatusTests,
    PoolInboxTests,
    PoolTakingTests,
    PoolTakingManyTests,
    PoolClaimTests,
    PoolTokenTests,
    PoolRenewingTests,
    PoolFailingTests,
    PoolInboxModelTests,
    PoolQueueTests,
    PoolServingTests,
    PoolAskingTests,
    PoolOutcomeTests,
    PoolAskingEachTests,
    PoolAbsentAskerTests,
    PoolLateAnswerTests,
    PoolWakeTests,
    PoolScopingTests,
    PoolEndingTests,
    PoolEventTests,
    PoolPublishingTests,
    PoolOwnEventTests,
    PoolExplainingTests,
    PoolExplainingWaitsTests,
    PoolPresenceTests,
    PoolStayingTests,
    PoolWaitingAgainTests,
    PoolTakingOverTests,
    PoolEnteringTests,
    PoolDeadlineTests,
    PoolCancellationTests,
    PoolClosingTests,
):
    """Tests that `AgentPool` passes on every store, without skips.

    Derive from it as from `StoreConformance`; here ``open_store`` is given the clock that the
    store has to take its time from.

    ::

        class TestPoolsInMyStore(PoolConformance):
            def open_store(self, clock: Clock) -> AbstractAsyncContextManager[AgentPoolStore]:
                return MyStore.open(new_place(), clock=clock)
    """
