"""A table that lists its values by key agrees with a dictionary that is sorted every time."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from agentpool.rules.replay import SortedTable

KEYS = st.sampled_from([f"k{n:02}" for n in range(30)]) | st.text(min_size=1, max_size=2).filter(
    lambda key: key.isprintable()
)


class TableMachine(RuleBasedStateMachine):
    """Puts and listings in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.table: SortedTable[int] = SortedTable()
        self.model: dict[str, int] = {}

    @rule(key=KEYS, value=st.integers())
    def put(self, key: str, value: int) -> None:
        self.table.put(key, value)
        self.model[key] = value

    @rule()
    def in_order(self) -> None:
        assert self.table.in_order() == tuple(v for _, v in sorted(self.model.items()))

    @invariant()
    def listing_twice_gives_the_same(self) -> None:
        assert self.table.in_order() == self.table.in_order()


TestTable = TableMachine.TestCase


@given(changes=st.lists(st.tuples(st.integers(0, 400), st.integers()), max_size=5))
def test_few_changes_to_a_large_table_are_placed_one_by_one(changes: list[tuple[int, int]]) -> None:
    table: SortedTable[int] = SortedTable()
    model = {f"{n:03}": n for n in range(0, 400, 2)}
    for key, value in model.items():
        table.put(key, value)
    table.in_order()
    for number, value in changes:
        table.put(f"{number:03}", value)
        model[f"{number:03}"] = value
        assert table.in_order() == tuple(value for _, value in sorted(model.items()))


def test_an_earlier_listing_does_not_change() -> None:
    table: SortedTable[int] = SortedTable()
    table.put("a", 1)
    before = table.in_order()
    table.put("a", 2)
    assert before == (1,)
    assert table.in_order() == (2,)


def test_an_empty_table() -> None:
    table: SortedTable[int] = SortedTable()
    assert table.in_order() == ()
