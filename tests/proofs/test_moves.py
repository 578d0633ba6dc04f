"""A file that is moved or restored under its writers loses nothing that was acknowledged."""

from random import Random

import pytest

from agentpool.testing.faults.moves import MOVES, moves

from .helpers import SEED

pytestmark = pytest.mark.slow


async def test_nothing_acknowledged_is_lost_when_a_file_moves_or_a_process_forks() -> None:
    tally = await moves(len(MOVES), Random(SEED))
    assert tally.faults == []
    assert set(tally.done) == set(MOVES)
    assert tally.acknowledged > 0
