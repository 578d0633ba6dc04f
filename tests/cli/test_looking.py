"""The verbs that look, and change nothing."""

import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from agentpool import AgentPool, AgentPoolMember
from agentpool.cli import looking
from agentpool.cli.rows import member_row, overview_row
from agentpool.cli.running import MODULES
from agentpool.doctor import Level, examine
from agentpool.rules import backlog
from agentpool.rules.explaining import inboxes, overview
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.testing.conformance.pool_kit import ManualClock

from .conftest import POOL, Shell

FIXTURES = Path(__file__).parents[1] / "fixtures"
LOOKING = (
    *("pools", "members", "stats", "top --count 1", "explain run.me", "tail", "tail --last 0"),
    *("show 3", "show key.1", "thread key.1", "inbox", "dead", "check", "check --format text"),
)
ACTING = (
    *("send queue:work a", "ask queue:work a --timeout 1ms", "reply key.1 a", "publish done"),
    *("take", "ack 1.1.0.0123456789abcdef", "nack 1.1.0.0123456789abcdef", "dead --retry all"),
    *("wait --timeout 0", "join", "leave"),
)


def test_every_verb_that_opens_a_store_is_here() -> None:
    named = {line.split()[0] for line in (*LOOKING, *ACTING)}
    others = {"init", "doctor", "backup", "copy", "completion", "mcp", "setup", "web"}
    assert named | others == {name for names in MODULES.values() for name in names}


def code_of_refusal(line: str) -> int:
    return 2 if line.startswith("check") else 3


def content(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in folder.iterdir()}


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_nothing_is_created_by_mistake(shell: Shell, line: str, tmp_path: Path) -> None:
    shell.set(STORE="pool.db", POOL=POOL, RUN="run.me")
    called = shell(line)
    assert called.code == code_of_refusal(line)
    assert called.raw == b"" or line.startswith("check")
    assert "no such file" in called.err
    assert ("agentpool init" in called.err, "create=" in called.err) == (True, False)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("line", [*LOOKING, *ACTING])
def test_an_older_file_is_refused_and_not_migrated(shell: Shell, line: str, tmp_path: Path) -> None:
    shutil.copyfile(FIXTURES / "seed-store.db", tmp_path / "pool.db")
    before = content(tmp_path)["pool.db"]
    shell.set(STORE="pool.db", POOL=POOL, RUN="run.me")
    called = shell(line)
    assert (called.code, "schema version 0" in called.err) == (code_of_refusal(line), True)
    assert ("agentpool init" in called.err, "migrate=" in called.err) == (True, False)
    assert content(tmp_path)["pool.db"] == before


@pytest.mark.parametrize("place", ["/dev/null", "text.db"])
def test_what_no_init_mends_leads_nobody_to_it(shell: Shell, tmp_path: Path, place: str) -> None:
    (tmp_path / "text.db").write_text("no database")
    for line in (f"members --store {place}", f"check --store {place}", f"copy {place} other.db"):
        called = shell(line)
        assert called.code in {2, 3}
        assert re.search("agentpool init|--create", f"{called.err}{called.out}") is None


def test_a_pool_that_is_not_there_is_not_made(library: Shell) -> None:
    for line in ("members", "send run.me a", "wait --timeout 0", "tail"):
        called = library(f"{line} --pool pool.typo")
        assert (called.code, "it has pool.library" in called.err) == (3, True)
    assert library("check --pool pool.typo").code == 2
    assert library("pools --field pool").out == f"{POOL}\n"


def test_the_only_pool_of_a_store_need_not_be_named(library: Shell) -> None:
    library.set(POOL="")
    assert library("members").code == 0
    assert library("init --pool pool.other").code == 0
    several = library("members")
    assert (several.code, "pool.library, pool.other" in several.err) == (2, True)


def test_looking_appends_nothing_and_carries_nothing_out(library: Shell) -> None:
    assert library("send queue:work a --key key.1 --expires-in 3s").code == 0
    before = library("stats").row
    while before["overdue_seconds"] == 0:  # nobody has the pool open when it expires
        time.sleep(0.2)
        before = library("stats").row
    for line in LOOKING:
        assert library(line).code in {0, 1}
    after = library("stats").row
    assert after["records"] == before["records"]
    assert after["overdue_seconds"] > before["overdue_seconds"]
    library("take --queue work")  # whoever acts does so
    acted = library("stats").row
    assert (acted["records"], acted["overdue_seconds"]) == (before["records"] + 1, 0)


def test_a_tail_begins_and_ends_where_it_is_told(library: Shell) -> None:
    library("join")
    for number in range(1, 6):
        library(f"send queue:work {number} --key key.{number}")
    every = library("tail --from 1").rows
    numbers = [each["seq"] for each in every]
    assert numbers == list(range(2, 15))  # the first, that the pool was opened, is no event
    assert [each["seq"] for each in library("tail").rows] == numbers[-10:]
    assert [each["seq"] for each in library("tail -n 2").rows] == numbers[-2:]
    assert [each["seq"] for each in library("tail --from 6 --count 3").rows] == [6, 7, 8]
    assert library("tail --since 1h").rows == every
    assert library("tail --since 2999-01-01").code == 1
    assert library("tail --count 0").code == 2
    bodies = [each["body"] for each in library("tail --bodies").rows if each["body"]]
    assert bodies == ["1", "2", "3", "4", "5"]
    line = library("tail --notify --last 1 --count 1 --as queue.work --text").out
    assert re.fullmatch(r"message 14 from run\.me: message\.\w+\n", line)


@pytest.mark.parametrize("more", ["", "--follow --count 4"])
def test_every_line_of_a_tail_with_bodies_has_one(library: Shell, more: str) -> None:
    library("send queue:work first")
    library("send queue:work second")
    bodies = [each["body"] for each in library(f"tail --bodies --from 5 {more}").rows]
    assert bodies == [None, "first", None, "second"]
    printed = library(f"tail --bodies --field body --from 5 {more}")
    assert (printed.code, printed.out) == (0, "\nfirst\n\nsecond\n")


def test_a_message_a_record_and_why(library: Shell) -> None:
    library("send queue:work a --key key.1")
    shown = library("show key.1").row
    assert (shown["body"], shown["to"], shown["status"]) == ("a", "run:queue.work", "delivered")
    assert library(f"show {shown['message']}").row == shown
    assert library("show 6").row == shown
    assert library("show 3").row["event"] == "agent_pool_run_joined"
    assert [library(f"show {each}").code for each in ("nosuch", "1", "999", "0")] == [1, 1, 1, 2]
    assert library("explain key.1").row["kind"] == "message"
    assert "queue.work" in library("explain queue.work --text").out
    assert library("explain nosuch").code == 1
    assert library("thread 6").rows == library("thread key.1").rows != []
    assert [library(f"thread {each}").code for each in ("nosuch", "3", "0")] == [1, 1, 2]


def test_numbers_of_a_pool(library: Shell) -> None:
    library("send queue:work a")
    library("take --queue work")
    row = library("stats").row
    assert (row["members"], row["queues"], row["unread"], row["claimed"]) == (1, 1, 1, 1)
    assert library("top --count 2 --interval 0").rows[1]["unread"] == 1
    top = library("top --count 1", terminal=True).out
    assert top.startswith("\x1b[H\x1b[2Jpool.library: 6 records, 1 members, 0 here, 1 unread")


async def test_who_has_outlived_its_lease_is_lost_and_not_here() -> None:
    clock = ManualClock()
    async with InMemoryAgentPoolStore(clock=clock) as store:
        pool = await AgentPool.open(store, POOL)
        await pool.member(AgentPoolMember("run.gone", "agent.any"), lease=3600)
        for hours, presence, here in ((0, "here", 1), (3, "lost", 0)):
            clock.advance(hours * 3_600_000)
            seen = await looking.looked_over(pool)
            assert member_row(seen.members[0], seen.now)["presence"] == presence
            assert overview_row(seen)["here"] == here
        await pool.aclose()


def test_a_number_is_of_all_or_says_that_it_is_not(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_MOST_COUNTED", 3)
    monkeypatch.setattr(backlog, "_ROWS_AT_ONCE", 2)
    library("init --queue other")
    for _ in range(4):
        library("send queue:work a")
        token = library("take --queue work --field token").out.strip()
        library(f"nack {token} --max-attempts 1")
    for number in range(6):
        library("send", "queue:other" if number == 0 else "queue:work", "a")
    library("take --queue work --count 4")
    exact = {"unread": 6, "claimed": 4, "dead": 4, "at_least": []}
    row = library("stats").row
    assert {name: row[name] for name in exact} == exact
    metrics = library("check --format prometheus").out
    for name in ("unread", "claimed", "dead"):
        assert f'agentpool_{name}{{pool="{POOL}"}} {exact[name]}\n' in metrics
    assert [library(f"check --max-dead {most}").code for most in (3, 4)] == [1, 0]
    assert "pool.library: 6 unread" in library("check --text --max-dead 4").out
    counted = {"unread": 3, "claimed": 3, "dead": 3, "at_least": ["unread", "claimed", "dead"]}
    other, work = library("members").rows[:2]
    assert {name: work[name] for name in counted} == counted
    assert (other["unread"], other["at_least"]) == (1, [])
    assert library("top --count 1").row["at_least"] == counted["at_least"]
    assert "4+ unread, 3+ claimed, 3+ dead" in library("top --count 1 --text").out
    assert re.search(r"^queue.work .* 3\+ +3\+ +3\+ ", library("members --text").out, re.MULTILINE)


def test_of_many_members_all_are_listed(library: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (overview, looking):
        monkeypatch.setattr(module, "MEMBERS_AT_ONCE", 2)
    runs = ["queue.work"]
    for number in range(4):
        library(f"join --as run.{number}")
        runs.append(f"run.{number}")
        assert library("members --field run").out.splitlines() == runs


def test_a_check_tells_monitoring_what_is_to_be_done(library: Shell) -> None:
    assert library("check").row["status"] == "OK"
    library("send queue:work a")
    assert library("check --max-age 1h").code == 0
    old = library("check --max-age 0 --format nagios")
    assert old.code == 1
    assert re.match(r"AGENTPOOL WARNING - pool.library: the oldest unread .* \| '", old.out)
    assert re.search(r"^note    unread ", library("check --max-age 0 --text").out, re.MULTILINE)
    token = library("take --queue work --field token").out.strip()
    library(f"nack {token} --max-attempts 1")
    assert library("check").code == 1
    assert library("check --max-dead 1").code == 0
    metrics = library("check --format prometheus").out
    assert f'\nagentpool_dead{{pool="{POOL}"}} 1\n' in metrics
    assert "agentpool_status 1\n" in metrics
    library.set(STORE="nosuch.db")
    unknown = library("check --format nagios")
    assert (unknown.code, unknown.out.startswith("AGENTPOOL UNKNOWN - ")) == (3, True)


@pytest.mark.parametrize("more", ["--store nosuch.db", "--pool nosuch", "--store memory:"])
def test_a_check_that_cannot_look_says_so_in_each_format(library: Shell, more: str) -> None:
    told = library(f"check {more} --format prometheus")
    assert (told.code, "\nagentpool_status 2\n" in told.out) == (2, True)
    assert told.err.startswith("agentpool: ")
    told = library(f"check {more}")
    assert (told.code, told.row["status"], told.row["pools"]) == (2, "CRITICAL", [])
    [finding] = told.row["findings"]
    assert (finding["level"], finding["what"]) == ("BROKEN", told.err.split(": ", 1)[1].rstrip())
    told = library(f"check {more} --text")
    assert (told.code, told.out.startswith("BROKEN  store ")) == (2, True)
    assert library(f"check {more} --format nagios").code == 3


def test_pools_are_copied_into_a_store_of_their_own(library: Shell, tmp_path: Path) -> None:
    refused = library("copy pool.db other.db")
    assert (refused.code, (tmp_path / "other.db").exists()) == (3, False)
    assert refused.err.endswith(
        "no such file; `--create` makes TO, and brings an older one to this version\n"
    )
    copied = library("copy pool.db other.db --create")
    assert copied.code == 0
    assert [row["was_there"] for row in copied.rows] == [False]
    assert library("tail --store other.db").rows == library("tail").rows
    again = library(f"copy pool.db other.db --pool {POOL}")
    assert [row["was_there"] for row in again.rows] == [True]
    assert library("copy pool.db other.db --pool nosuch").code == 3


@pytest.mark.parametrize("same", ["pool.db", "./pool.db", "sqlite:///pool.db", "link.db"])
def test_a_store_is_not_copied_into_itself(library: Shell, tmp_path: Path, same: str) -> None:
    (tmp_path / "link.db").symlink_to("pool.db")
    for line in (f"copy pool.db {same}", f"copy {same} pool.db --create"):
        refused = library(line)
        assert (refused.code, "the same store" in refused.err) == (2, True)


def test_the_doctor_and_a_backup(library: Shell, tmp_path: Path) -> None:
    examined = library("doctor pool.db")
    assert examined.code in {0, 1}  # SQLite itself may be worth a note
    assert examined.out.splitlines()[-1].endswith(", 0 BROKEN")
    assert library("doctor --json").rows[0]["check"] == "sqlite"
    assert library("doctor nosuch.db").code == 2
    assert library("backup copy.db --store postgresql://host/db").code == 2
    made = library("backup copy.db")
    assert made.row == {"copy": "copy.db", "bytes": (tmp_path / "copy.db").stat().st_size}
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert library("backup copy.db").code == 2
    assert library("backup nosuch/copy.db").code == 2
    assert library("members --store copy.db").rows == library("members").rows
    refused = library("backup other.db --store /dev/null")
    assert (refused.code, "it is no regular file" in refused.err) == (3, True)
    missing = library("backup other.db --store nosuch.db")
    assert (missing.code, "no such file; `agentpool init`" in missing.err) == (3, True)
    assert list(tmp_path.glob("*part*")) == []


WRITER = """
import asyncio, sys
import agentpool as ap

async def main():
    async with ap.open_store("pool.db") as store, ap.AgentPool.open(store, "pool.library") as pool:
        me = pool.acting_as(ap.AgentPoolMember("run.me", "agent.shell"))
        while True:
            await me.send(ap.RunAddress.run("queue.work"), "a")
            print("sent", flush=True)

asyncio.run(main())
"""


def test_a_backup_is_whole_while_others_write(library: Shell, tmp_path: Path) -> None:
    library("join")
    with subprocess.Popen([sys.executable, "-c", WRITER], stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        try:
            for number in range(3):
                assert writer.stdout.readline() == b"sent\n"
                assert library(f"backup copy-{number}.db").code == 0
        finally:
            writer.kill()
    for number in range(3):
        report = examine(tmp_path / f"copy-{number}.db")
        assert [each for each in report.findings if each.level is Level.BROKEN] == []
        assert int(library(f"stats --store copy-{number}.db --field records").out) > 4


@pytest.mark.parametrize("url", ["sqlite:///pool.db", "SQLite:///pool.db"])
def test_a_file_is_a_file_by_its_url_too(library: Shell, url: str) -> None:
    of_file = library("check --text").out
    assert "ok      file" in of_file or "links" in of_file
    assert library(f"check --text --store {url}").out == of_file
    assert library(f"backup copy.db --store {url}").row["copy"] == "copy.db"
    assert library(f"doctor {url}").code == library("doctor pool.db").code
