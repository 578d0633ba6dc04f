"""The conformance suite: everything that a caller of any store may rely on."""

from agentpool.testing.conformance.changes import ChangesTests
from agentpool.testing.conformance.closing import ClosingTests
from agentpool.testing.conformance.concurrency import ConcurrencyTests
from agentpool.testing.conformance.content import ContentTests
from agentpool.testing.conformance.event_numbers import EventNumberTests
from agentpool.testing.conformance.executing import ExecutingTests
from agentpool.testing.conformance.interruption import InterruptionTests
from agentpool.testing.conformance.members import MemberTests
from agentpool.testing.conformance.messages import MessageTests
from agentpool.testing.conformance.messages_together import MessagesTogetherTests
from agentpool.testing.conformance.opening import OpeningTests
from agentpool.testing.conformance.reading import ReadingTests
from agentpool.testing.conformance.refusing import RefusalTests
from agentpool.testing.conformance.wakes import WakeTests
from agentpool.testing.conformance.watching import WatchingTests

__all__ = ("StoreConformance",)


class StoreConformance(
    OpeningTests,
    MemberTests,
    MessageTests,
    MessagesTogetherTests,
    WakeTests,
    EventNumberTests,
    ReadingTests,
    WatchingTests,
    ChangesTests,
    ContentTests,
    RefusalTests,
    ExecutingTests,
    ConcurrencyTests,
    InterruptionTests,
    ClosingTests,
):
    """Tests that every store passes, without skips.

    Derive from it a class whose name begins with ``Test``, and give it `open_store`; each test
    opens stores of its own, most of them one. The tests are coroutines with plain asserts, which
    pytest with ``asyncio_mode = "auto"`` runs; any other runner that awaits the methods called
    ``test_*`` will do. With pytest, ``pytest.register_assert_rewrite("agentpool.testing")`` in a
    ``conftest.py`` makes the failures speak.

    ::

        class TestMyStore(StoreConformance):
            def open_store(self) -> AbstractAsyncContextManager[AgentPoolStore]:
                return MyStore.open(new_place())
    """
