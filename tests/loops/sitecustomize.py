"""Has every event loop of this process be of the kind that ``AGENTPOOL_LOOP`` names.

Python imports a module of this name when it starts. With this folder on its path, every process
that the tests start runs on the same kind of loop, whatever program it runs.
"""

import asyncio
import os
import selectors
import sys


def use_eager_tasks() -> None:
    if sys.version_info < (3, 12):
        sys.exit("AGENTPOOL_LOOP=eager needs Python 3.12 or newer")

    class EagerLoop(asyncio.SelectorEventLoop):
        def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
            super().__init__(selector)
            self.set_task_factory(asyncio.eager_task_factory)

    asyncio.SelectorEventLoop = EagerLoop  # others are made of it
    asyncio.events.new_event_loop = EagerLoop


def use_uvloop() -> None:
    import uvloop  # noqa: PLC0415  # not always there

    asyncio.events.new_event_loop = uvloop.new_event_loop


KINDS = {"eager": use_eager_tasks, "uvloop": use_uvloop}

if kind := os.environ.get("AGENTPOOL_LOOP"):
    KINDS[kind]()
