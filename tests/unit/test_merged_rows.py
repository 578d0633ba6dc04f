"""Rows that a transaction changed are listed among the stored ones as if they had been written."""

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st
from plain_engine import PlainPool, PlainSource

from agentpool.rules.command import DEADLINE, INBOX, LookUps, Row, RowKey
from agentpool.stores.batch.merged_rows import MergedRows

NUMBERS = st.integers(0, 40)
NAMES = st.sampled_from(["run.a", "run.b"])
KEYS = st.one_of(
    st.builds(RowKey, st.sampled_from([INBOX, "event"]), NAMES, NUMBERS),
    st.builds(RowKey, st.just(DEADLINE), NUMBERS.map("wake {}".format)),
)
ROWS = st.builds(Row, KEYS, st.text(max_size=1), NUMBERS)
CHANGES = st.one_of(ROWS, KEYS)
LIMITS = st.sampled_from([0, 1, 2, 5, 30, 2**31])


def source_of(rows: Iterable[Row]) -> PlainSource:
    source = PlainSource("pool.a", PlainPool(rows={row.key: row for row in rows}))
    source.load(LookUps())
    return source


def change(rows: MergedRows, each: Row | RowKey) -> None:
    if isinstance(each, Row):
        rows.put(each)
    else:
        rows.delete(each)


def unread(numbers: Iterable[int], due_at: int = 0) -> list[Row]:
    return [Row(RowKey(INBOX, "run.a", number), due_at=due_at) for number in numbers]


class Written:
    """What the rows would be if each change were written at once: a plain dict, walked through."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = {row.key: row for row in rows}

    def change(self, each: Row | RowKey) -> None:
        if isinstance(each, Row):
            self._rows[each.key] = each
        else:
            self._rows.pop(each, None)

    @property
    def source(self) -> PlainSource:
        return source_of(self._rows.values())


class Question:
    """One listing; two that are the same share what was read."""

    def __init__(self, name: str, after: int, limit: int, due_by: int) -> None:
        self._name, self._after, self._limit, self._due_by = name, after, limit, due_by

    def __repr__(self) -> str:
        return f"Question{(self._name, self._after, self._limit, self._due_by)}"

    def ask(self, rows: MergedRows | PlainSource) -> list[object]:
        name, after, limit = self._name, self._after, self._limit
        return [
            *(
                list(rows.rows(kind, name, after=after, limit=limit))
                for kind in (INBOX, "event", DEADLINE)
            ),
            list(rows.due(name, after=after, due_by=self._due_by, limit=limit)),
            list(rows.due(name, after=-1, due_by=self._due_by, limit=limit)),
            list(rows.deadlines(self._due_by, limit)),
            rows.next_deadline(),
            rows.next_due(self._name),
            rows.row(RowKey(INBOX, self._name, self._after)),
        ]


QUESTIONS = st.builds(
    Question, NAMES, st.sampled_from([0, 7, 20]), LIMITS, st.sampled_from([3, 20, 40])
)


@given(st.lists(ROWS, max_size=60), st.lists(st.tuples(CHANGES, QUESTIONS), max_size=30))
def test_every_listing_is_that_of_rows_written_at_once(
    stored: list[Row], steps: list[tuple[Row | RowKey, Question]]
) -> None:
    rows, written = MergedRows(source_of(stored)), Written(stored)
    for each, question in steps:
        assert question.ask(rows) == question.ask(written.source)
        change(rows, each)
        written.change(each)
        assert question.ask(rows) == question.ask(written.source)


@given(st.lists(ROWS, max_size=40), st.lists(CHANGES, max_size=40), QUESTIONS)
def test_many_changes_before_anything_is_listed(
    stored: list[Row], changes: list[Row | RowKey], question: Question
) -> None:
    rows, written = MergedRows(source_of(stored)), Written(stored)
    for each in changes:
        change(rows, each)
        written.change(each)
    assert question.ask(rows) == question.ask(written.source)


def test_what_did_not_change_is_asked_of_the_source_each_time() -> None:
    source = source_of(unread(range(5)))
    rows = MergedRows(source)
    rows.put(Row(RowKey(INBOX, "run.b", 1)))
    for _ in range(3):
        assert len(rows.rows(INBOX, "run.a", after=0, limit=2)) == 2
        assert len(rows.due("run.a", after=-1, due_by=0, limit=2)) == 2
        assert rows.next_due("run.a") == 0
    assert source.asked == {"rows": 3, "due": 3, "next_due": 3}


def test_those_who_take_the_first_row_one_after_another_read_the_stored_ones_a_few_times() -> None:
    source = source_of(unread(range(1, 1001)))
    rows = MergedRows(source)
    for number in range(1, 1001):
        [first] = rows.due("run.a", after=-1, due_by=10, limit=1)
        assert first.key.number == number
        rows.put(first._replace(due_at=100))
    assert rows.due("run.a", after=-1, due_by=10, limit=1) == []
    assert source.asked["due"] < 10


def test_deadlines_that_are_carried_out_one_after_another_read_the_stored_ones_a_few_times() -> (
    None
):
    stored = [Row(RowKey(DEADLINE, f"wake {number:04}"), due_at=number) for number in range(1000)]
    source = source_of(stored)
    rows = MergedRows(source)
    for row in stored:
        assert rows.next_deadline() == row.due_at
        assert rows.deadlines(2000, 1) == [row]
        rows.delete(row.key)
    assert rows.next_deadline() is None
    assert source.asked["deadlines"] < 10
    assert source.asked["next_deadline"] == 1


def test_the_next_deadline_is_found_once_until_a_deadline_changes() -> None:
    source = source_of([Row(RowKey(DEADLINE, "lease run.a"), due_at=5)])
    rows = MergedRows(source)
    for _ in range(3):
        assert rows.next_deadline() == 5
        rows.put(unread([1])[0])
    assert source.asked == {"next_deadline": 1}
    rows.put(Row(RowKey(DEADLINE, "lease run.b"), due_at=3))
    assert rows.next_deadline() == 3


def test_a_deadline_that_moved_is_due_at_its_new_time_only() -> None:
    key = RowKey(DEADLINE, "lease run.a")
    rows = MergedRows(source_of([Row(key, due_at=5)]))
    for due_at in (7, 7, 9):
        rows.put(Row(key, due_at=due_at))
    assert rows.next_deadline() == 9
    assert rows.deadlines(8, 10) == []
    assert rows.deadlines(9, 10) == [Row(key, due_at=9)]
