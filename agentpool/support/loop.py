"""The event loop: this library runs on asyncio's, and says so under any other."""

import asyncio

from agentpool.errors import StoreClosedError

__all__ = ("running_loop",)


def running_loop() -> asyncio.AbstractEventLoop:
    """Give the asyncio loop that runs this.

    :raises StoreClosedError: none does: the caller runs on trio, or on no event loop at all
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError as error:
        msg = (
            "agentpool runs on asyncio only, and no asyncio event loop runs here;"
            " use `asyncio.run(...)`, or `anyio.run(..., backend='asyncio')`"
        )
        raise StoreClosedError(msg) from error
