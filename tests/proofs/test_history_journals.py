"""What a process wrote down of its calls is read back, whatever became of the process."""

from pathlib import Path

from agentpool.testing.history import Journal, read_journals


async def test_a_journal_gives_back_what_was_written(tmp_path: Path) -> None:
    async def make() -> dict[str, int]:
        return {"seq": 7}

    with Journal(tmp_path / "journal", "p") as journal:
        assert await journal.call(journal.next_id(), "append", {"key": "k"}, make()) == {"seq": 7}
        journal.began("p.9", "watch", {"cursor": 0})
        journal.saw("p.9", (1, "abc"))
    appended, watched = read_journals([tmp_path / "journal"])
    assert (appended.id, appended.arguments, appended.result) == ("p.1", {"key": "k"}, {"seq": 7})
    assert appended.ok
    assert appended.returned is not None
    assert appended.called <= appended.returned <= watched.called
    assert (watched.outcome, watched.returned, watched.saw) == ("unknown", None, [(1, "abc")])


def test_a_line_that_a_kill_has_cut_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(path, "p") as journal:
        journal.began("p.1", "append", {})
        journal.ended("p.1", "ok", {"seq": 1})
    path.write_bytes(path.read_bytes()[:-5])
    [call] = read_journals([path])
    assert call.outcome == "unknown"
