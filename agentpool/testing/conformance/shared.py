"""The suite of stores that can be opened again, and from elsewhere."""

from agentpool.testing.conformance.shared_handles import SharedHandleTests
from agentpool.testing.conformance.shared_processes import SharedProcessTests
from agentpool.testing.conformance.shared_reopening import SharedReopeningTests

__all__ = ("SharedStoreConformance",)


class SharedStoreConformance(SharedHandleTests, SharedReopeningTests, SharedProcessTests):
    """Tests that every store passes, without skips, that outlives the handle it is used by.

    They open a second handle on a store, another process that uses it and is killed, and a store
    that was closed. Derive from it as from `StoreConformance`; give it ``new_place``, and
    ``factory``, which another process imports and calls with a place.

    ::

        def open_store(place: str) -> AbstractAsyncContextManager[AgentPoolStore]:
            return MyStore.open(place)

        class TestMyStoreShared(SharedStoreConformance):
            factory = "my_package.my_module:open_store"

            def new_place(self) -> str:
                return f"my-store://{uuid4()}"
    """
