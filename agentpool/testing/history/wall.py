"""A wall clock that somebody sets."""

from pathlib import Path

from agentpool.support.clock import wall_clock

__all__ = ("Wall",)


class Wall:
    """The machine's wall clock, off by what a file says: all who use it see it jump at once.

    :param folder: where that file lies
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "wall"

    def __call__(self) -> int:
        return wall_clock() + self._off_by()

    def set(self, millis: int) -> None:
        """Let the clock be off by so much, for all at once."""
        fresh = self._path.with_name(f"{self._path.name}.new")
        fresh.write_text(str(millis), encoding="ascii")
        fresh.replace(self._path)

    def _off_by(self) -> int:
        try:
            return int(self._path.read_text(encoding="ascii"))
        except FileNotFoundError:
            return 0
