"""Something about to be opened: ``thing = await opening``, or ``async with opening as thing``.

Forgetting that is the first mistake of everybody, so what is not opened yet says what to write.
"""

from collections.abc import Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

from agentpool.errors import InvalidValueError
from agentpool.support.loop import running_loop

__all__ = ("Opening", "Unopened")


class _Closable(Protocol):
    async def aclose(self) -> None: ...


T = TypeVar("T", bound=_Closable)


class _NotOpenedError(InvalidValueError, AttributeError):
    """Also an `AttributeError`: `hasattr`, and whoever asks like it, takes that for a no."""


class Unopened:
    """What has to be entered before it can be used; anything else tried with it says so.

    :ivar remedy: what to write instead
    """

    remedy: str

    def refuse(self, *_: object, **__: object) -> NoReturn:
        """Say that this is not opened yet.

        :raises InvalidValueError: always
        """
        msg = f"not opened yet: {self.remedy}"
        raise _NotOpenedError(msg)

    # A type checker finds these mistakes by itself, as long as it does not see this.
    if not TYPE_CHECKING:
        __call__ = __iter__ = __aiter__ = __getitem__ = __enter__ = __exit__ = __await__ = refuse

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):  # asked for by `copy`, `inspect` and the like, not by users
                msg = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(msg, name=name, obj=self)
            msg = f"{name!r} of what is not opened yet: {self.remedy}"
            raise _NotOpenedError(msg)


class Opening(Unopened, Generic[T]):
    """Opens when it is awaited or entered; what was entered is closed at the end of the block.

    :param call: what made this, as in the user's program
    :param name: what users call the thing
    """

    def __init__(self, open_: Callable[[], Coroutine[Any, Any, T]], call: str, name: str) -> None:
        self._open = open_
        self._opened: T | None = None
        self._call = call
        self.remedy: str = (
            f"write `async with {call}(...) as {name}:`, or `{name} = await {call}(...)`"
        )

    def __repr__(self) -> str:
        return f"<{self._call.removesuffix('.open')}, not opened yet>"

    def __await__(self) -> Generator[Any, None, T]:
        running_loop()
        return self._open().__await__()

    async def __aenter__(self) -> T:
        self._opened = await self
        return self._opened

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._opened is not None:
            await self._opened.aclose()
