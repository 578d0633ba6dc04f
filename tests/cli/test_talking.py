"""The verbs by which shells talk and work, each call of them one of its own."""

import asyncio
import base64
import io
import json
import re
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import closing
from pathlib import Path

import pytest

from agentpool import (
    AgentPool,
    AgentPoolMember,
    AgentPoolStoreCursor,
    AskOutcome,
    Delivery,
    EventEnvelope,
    Inbox,
    MessageExplanation,
    RunAddress,
    open_pool,
)
from agentpool.cli import waiting
from agentpool.cli.log import events_of
from agentpool.cli.printing import Printer, Row
from agentpool.cli.running import parsed
from agentpool.faces import naming
from agentpool.faces.naming import message_with_id

from .conftest import POOL, Shell


def test_two_runs_talk(library: Shell) -> None:
    sent = library("send run.you 'come here' --as run.me", terminal=False)
    assert (sent.code, sent.raw) == (1, b"")
    assert "run.you" in sent.err
    assert library("join --as run.you --agent agent.you --topic topic.news").code == 0
    sent = library("send agent.you 'come here' --key key.1")
    assert (sent.code, sent.row["delivered_to"], sent.err) == (0, ["run.you"], "")
    assert library("send agent.you 'come here' --key key.1").row == sent.row
    listed = library("inbox --as run.you --bodies")
    assert [(each["from"], each["body"]) for each in listed.rows] == [("run.me", "come here")]
    answered = library("reply key.1 coming --as run.you")
    assert answered.row["delivered_to"] == ["run.me"]
    assert library("inbox --bodies --field body").out == "coming\n"
    thread = library(f"thread {answered.row['message']} --field body")
    assert thread.out == "come here\ncoming\n"


def test_who_acts_first_joins_and_stays(library: Shell) -> None:
    first = library("send queue:work a")
    assert "run.me has joined pool.library as agent.shell, and stays" in first.err
    assert library("send queue:work b").err == ""
    rows = library("members").rows
    assert [(each["run"], each["presence"]) for each in rows] == [
        ("queue.work", "queue"),
        ("run.me", "unheld"),
    ]
    assert library("leave").code == 0
    assert library("leave").code == 3
    assert library("members --agent agent.shell").code == 1


@pytest.mark.parametrize("to", ["topic:topic.news", "topic.news", "run:run.you", "agent.you"])
def test_an_address_says_of_what_it_is_or_is_of_who_is_there(library: Shell, to: str) -> None:
    library("join --as run.you --agent agent.you --topic topic.news")
    assert library(f"send {to} a").row["delivered_to"] == ["run.you"]


def test_what_reached_nobody_is_told_with_what_helps(library: Shell) -> None:
    told = library("send queue:nope a")
    assert (told.code, "`agentpool init --queue 'nope'`, send it again\n" in told.err) == (1, True)
    told = library("send agent:agent.you a --key key.1")
    assert (told.code, "send it again under the same idempotency key\n" in told.err) == (1, True)


@pytest.mark.parametrize("to", ["foo:bar", "agnet:agent.you", "pool:", ":", "queue:"])
@pytest.mark.parametrize("verb", ["send", "ask"])
def test_what_is_no_kind_of_address_is_told_which_there_are(
    library: Shell, verb: str, to: str
) -> None:
    told = library(f"{verb} {to} a")
    assert (told.code, "run:ID, agent:ID, topic:ID, queue:NAME or pool" in told.err) == (2, True)
    library(f"join --as {to}")
    assert library(f"send {to} a").row["delivered_to"] == [to]


@pytest.mark.parametrize("verb", ["send", "ask"])
@pytest.mark.parametrize("to", ["agent.you", "topic.news"])
def test_under_a_key_a_bare_address_means_whom_it_meant_before(
    library: Shell, verb: str, to: str
) -> None:
    library("join")
    library("join --as run.you --agent agent.you --topic topic.news")
    line = f"{verb} {to} a --key key.1{' --timeout 1ms' if verb == 'ask' else ''}"
    first = library(line)
    for change in (f"join --as {to}", "leave --as run.you", f"leave --as {to}"):
        assert library(change).code == 0
        assert library(line) == first
    assert "no member" in library(f"send {to} a --key key.2").err


def test_a_key_of_another_sender_or_for_another_target_leads_nobody_there(library: Shell) -> None:
    library("join --as run.you --agent agent.you")
    library("send agent.you a --key key.1")
    library("leave --as run.you")
    for line in ("send agent.you a --as run.evil", "send run.you a", "send run:agent.you a"):
        refused = library(f"{line} --key key.1")
        assert (refused.code, "another sender, target or content" in refused.err) == (3, True)
    assert library("send agent.you a", "--key=").code == 2


def test_bodies_come_from_an_argument_a_file_or_the_input(library: Shell, tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_text('{"step": 1}\n')
    for arguments, given in (
        (["text"], b""),
        (["@plan.json"], b""),
        ([], b"of the input\n"),
        (["-"], b"\xff\x00"),
        (["@@plan.json"], b""),
    ):
        assert library("send queue:work", *arguments, given=given).code == 0
    taken = library("take --queue work --count 9").rows
    bytes_ = {"base64": base64.b64encode(b"\xff\x00").decode()}
    bodies = ["text", '{"step": 1}\n', "of the input\n", bytes_, "@plan.json"]
    assert [each["body"] for each in taken] == bodies
    assert library(f"show {taken[3]['message']} --field body").raw == b"\xff\x00"
    missing = library("send queue:work @nosuch")
    assert (missing.code, "'nosuch'" in missing.err) == (2, True)


def test_what_was_taken_is_done_or_given_back_by_its_token(library: Shell) -> None:
    library("send queue:work a")
    token = library("take --queue work --field token").out.strip()
    assert token.endswith("@queue.work")
    assert library("take --queue work").code == 1
    assert library(f"show {token} --field body").out == "a\n"
    assert library(f"nack {token} --delay 0").code == 0
    lost = library(f"ack {token}")
    assert (lost.code, "no longer current" in lost.err) == (3, True)
    again = library("take --queue work").row
    assert again["attempt"] == 2
    of_library = again["token"].partition("@")[0]
    assert library(f"ack {of_library} --as run.other").code == 2
    assert library(f"ack {of_library} --queue work").code == 0
    assert library("take --queue work").code == 1
    assert library("ack nonsense").code == 2
    library.set(RUN="")
    assert (
        library("ack nonsense").err
        == "agentpool ack: 'nonsense' is no token, as `take` prints one\n"
    )
    asked = library(f"ack {of_library}")
    assert (asked.code, "which run?" in asked.err) == (2, True)


def test_of_several_claims_it_is_told_which_are_ended(library: Shell) -> None:
    library("init --queue other")
    for queue in ("work", "work", "other"):
        library(f"send queue:{queue} a")
    lost, second = library("take --queue work --count 2 --field token").out.split()
    third = library("take --queue other --field token").out.strip()
    library(f"ack {lost}")
    called = library(f"nack {lost} {second} {third} --delay 0")
    assert (called.code, called.raw) == (3, b"")
    why, *others, again = called.err.splitlines()
    assert others == [f"agentpool: {each}: given back" for each in (second, third)]
    assert (why.startswith(f"agentpool: {lost}: "), "no longer" in again) == (True, True)
    second = library("take --queue work --field token").out.strip()
    third = library("take --queue other --field token").out.strip()
    foreign = second.replace("@queue.work", "@queue.other")
    called = library(f"ack {lost} {second} {third} {foreign} {lost}")
    assert (called.code, called.raw) == (3, b"")
    why, *others, wrong, again = called.err.splitlines()
    assert others == [f"agentpool: {each}: done" for each in (second, third)]
    assert (why.startswith(f"agentpool: {lost}: "), "no longer" in again) == (True, True)
    assert (wrong.startswith(f"agentpool: {foreign}: "), "is no token" in wrong) == (True, True)
    assert [library(f"inbox --queue {queue}").code for queue in ("work", "other")] == [1, 1]


def test_claims_of_an_inbox_are_ended_together_where_they_can_be(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        library("send queue:work a")
    tokens = library("take --queue work --count 3 --field token").out.split()
    ended: list[int] = []
    ack_many = Inbox.ack_many

    async def noted(inbox: Inbox, some: Sequence[Delivery | str]) -> None:
        ended.append(len(some))
        await ack_many(inbox, some)

    monkeypatch.setattr(Inbox, "ack_many", noted)
    assert library("ack", *tokens[:2]).code == 0
    assert ended == [2]
    assert library("ack", *tokens[1:]).code == 3
    assert ended == [2, 2, 1, 1]


def test_a_claim_ends_with_its_lease(library: Shell) -> None:
    library("send queue:work a")
    library("take --queue work --lease 1ms")
    assert library("take --queue work --timeout 1m").row["attempt"] == 2


class Closed(Printer):
    """Has a pipe that nobody reads any more, after some rows."""

    def row(self, row: Row, text: str | None = None) -> bool:
        if row["body"] == "b":
            raise BrokenPipeError
        return super().row(row, text)


def test_what_nobody_was_told_of_is_there_again(library: Shell) -> None:
    for body in "abc":
        library("send queue:work", body)
    options = parsed(["take", "--queue", "work", "--count", "3", "--json"])
    doing = options.verb.run(options, Closed(options, io.StringIO()))
    with pytest.raises(BrokenPipeError):
        asyncio.run(doing)
    again = library("take --queue work --count 3").rows
    assert [(each["body"], each["attempt"]) for each in again] == [("b", 1), ("c", 1)]


def damage(body: bytes) -> None:
    """Overwrite a body, as a bad disk does."""
    with closing(sqlite3.connect("pool.db")) as file, file:
        done = file.execute("UPDATE agentpool_content SET data = x'00' WHERE data = ?", (body,))
        assert done.rowcount == 1


def test_a_damaged_body_stops_none_of_the_others(library: Shell) -> None:
    library("send queue:work first --key key.1")
    library("send queue:work second")
    damage(b"first")
    for line in ("inbox --queue work --bodies", "take --queue work --count 2"):
        called = library(line)
        assert (called.code, [each["body"] for each in called.rows]) == (0, [None, "second"])
        assert [each["unreadable"] is None for each in called.rows] == [False, True]
    assert library("ack", *(each["token"] for each in called.rows)).code == 0
    why = called.rows[0]["unreadable"]
    tailed = [each for each in library("tail --bodies").rows if each["body"] or each["unreadable"]]
    assert [(each["body"], each["unreadable"]) for each in tailed] == [
        (None, why),
        ("second", None),
    ]
    assert library("tail --bodies --text").out.count(why) == 1
    assert library("thread key.1 --field unreadable").out == f"{why}\n"
    alone = library("show key.1 --field body")
    assert (alone.code, alone.out, alone.err) == (5, "\n", f"agentpool: {why}\n")


def test_a_run_or_queue_that_is_not_there_is_told_of(library: Shell) -> None:
    for line in ("take --queue typo", "inbox --queue typo", "wait --queue typo --timeout 0"):
        called = library(line)
        assert (called.code, "queue.typo is no member" in called.err) == (1, True)


def test_what_failed_too_often_is_listed_put_back_and_thrown_away(library: Shell) -> None:
    library("send queue:work a --key key.a")
    token = library("take --queue work --field token").out.strip()
    assert library(f"nack {token} --max-attempts 1").code == 0
    assert [each["attempts"] for each in library("dead --queue work").rows] == [1]
    for how in ("--retry", "--discard"):
        missing = library(f"dead --queue work {how} nosuch")
        assert (missing.code, "no message 'nosuch'" in missing.err) == (1, True)
    assert library("dead --queue work --retry key.a").code == 0
    assert library("dead --queue work").code == 1
    token = library("take --queue work --field token").out.strip()
    library(f"nack {token} --max-attempts 1")
    assert library("dead --queue work --discard all").code == 0
    assert library("dead --queue work").code == 1
    assert library("inbox --queue work").code == 1


def test_a_question_says_what_came_of_it(library: Shell) -> None:
    nobody = library("ask agent.nobody 'Where?'")
    assert (nobody.code, nobody.raw) == (1, b"")
    assert "agentpool: nobody was there to answer: agent.nobody\n" in nobody.err
    late = library("ask queue:work 'Where?' --timeout 3s --expect all --key key.q")
    assert (late.code, "timed out; no answer of queue.work" in late.err) == (1, True)


def test_what_is_answered_too_late_or_once_more_is_in_the_inbox(library: Shell) -> None:
    library("join --as run.you")
    asking = "ask run.you 'Deploy?' --timeout 1ms --key key.q"
    assert library(asking).code == 1
    for body in ("yes", "no, do not"):
        assert library(f"reply key.q '{body}' --as run.you").row["delivered_to"] == ["run.me"]
    assert library("inbox --bodies --field body").out == "yes\nno, do not\n"
    again = library(asking)
    assert (again.code, again.raw) == (1, b"")


@pytest.mark.parametrize("verb", ["send", "ask"])
def test_a_key_that_is_the_id_of_another_message_leads_nobody_astray(
    library: Shell, verb: str
) -> None:
    library("join --as run.you")
    library(f"{verb} run.you 'Where is Dune?' --key key.q", *["--timeout=1ms"][: verb == "ask"])
    [asked] = [each for each in library("tail").rows if each["run"] == "run.me"][-1:]
    id_ = asked["about"].partition(":")[2]
    evil = library(f"send run.you evil --key {id_} --as run.evil").row["message"]
    for line in (f"reply {id_} 'Shelf 42.' --as run.you", f"show {id_}", f"thread {id_}"):
        refused = library(line)
        assert (refused.code, refused.raw) == (2, b"")
        assert "whose key is 'key.q', and the key of another from 'run.evil'" in refused.err
    assert library(f"show {evil} --field body").out == "evil\n"
    answered = library("reply key.q 'Shelf 42.' --as run.you")
    assert answered.row["delivered_to"] == ["run.me"]
    assert library(f"explain {id_} --field sender").out == "run.me\n"
    thread = library(f"thread {answered.row['message']} --field body")
    assert thread.out == "Where is Dune?\nShelf 42.\n"


async def test_an_id_is_looked_for_in_the_inbox_and_back_through_the_log(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_pool("pool.db", POOL) as pool:
        me, you = (pool.acting_as(AgentPoolMember(f"run.{each}", "agent.x")) for each in _TWO)
        for each in (me, you):
            await pool.join_run(each.member)
        to_you, to_me = (RunAddress.run(each.run_id) for each in (you, me))
        sent = await me.send(to_you, "Where is Dune?", idempotency_key="key.q")
        for _ in range(2):
            await me.send_many([(to_me, "no matter")] * 100)
        id_ = sent.message_id
        assert await message_with_id(pool, id_, most=400) is None
        assert await message_with_id(pool, id_, "run.me", most=400) is None
        assert (await message_with_id(pool, id_, "run.you", most=400)) is not None
        assert (await message_with_id(pool, id_)) is not None
        explained = await pool.explain(id_)
        assert isinstance(explained, MessageExplanation)
        assert explained.idempotency_key == "key.q"
        number = explained.statuses[0].seq
    show = await asyncio.to_thread(library, f"show {id_} --field body")
    assert show.out == "Where is Dune?\n"
    answered = await asyncio.to_thread(library, f"reply {id_} 'Shelf 42.' --as run.you")
    assert answered.row["delivered_to"] == ["run.me"]
    for name in (id_, number):
        thread = await asyncio.to_thread(library, f"thread {name} --field body")
        assert thread.out == "Where is Dune?\nShelf 42.\n"
    monkeypatch.setattr(naming, "LOOK_BACK", 400)
    unknown = await asyncio.to_thread(library, "show nosuch")
    assert (unknown.code, "among the newest 400 records; give its key" in unknown.err) == (1, True)


async def test_what_a_program_has_kept_that_came_too_late_is_shown(library: Shell) -> None:
    async with open_pool("pool.db", POOL) as pool:
        me, you = (pool.acting_as(AgentPoolMember(f"run.{each}", "agent.x")) for each in _TWO)
        for each in (me, you):
            await pool.join_run(each.member)
        to = RunAddress.run("run.you")
        answers = await me.ask(to, "Deploy?", timeout=0.001, idempotency_key="key.q")
        assert (answers.outcome, answers) == (AskOutcome.TIMED_OUT, ())
        [question] = [each.message for each in (await pool.snapshot()).messages]
        await you.reply(question, "no, do not")
    asking = "ask run.you 'Deploy?' --timeout 1ms --key key.q"
    again = await asyncio.to_thread(library, asking)
    assert (again.code, "timed out" in again.err) == (1, True)
    assert (again.row["from"], again.row["body"], again.row["late"]) == (
        "run.you",
        "no, do not",
        True,
    )


_TWO = ("me", "you")


def test_an_answer_is_in_the_name_of_the_inbox_that_was_taken_from(library: Shell) -> None:
    sent = library("send queue:work 'Where is Dune?'")
    token = library("take --queue work --field token").out.strip()
    assert library(f"reply {token} 'Shelf 42.' --as run.other").code == 0
    [answer] = library("inbox --bodies").rows
    assert (answer["from"], answer["reply_to"]) == ("queue.work", sent.row["message"])
    assert library("members --agent agent.shell --field run").out == "run.me\n"
    assert library("reply nosuch a").code == 1


def test_nothing_is_answered_under_a_claim_that_is_none(library: Shell) -> None:
    library("send queue:work 'Where is Dune?'")
    token = library("take --queue work --field token").out.strip()
    made_up = re.sub(r"[0-9a-f]{16}@", "0123456789abcdef@", token)
    wrong = library(f"reply {made_up} no")
    assert (wrong.code, "no token" in wrong.err) == (2, True)
    library(f"ack {token}")
    lost = library(f"reply {token} no")
    assert (lost.code, "no longer current" in lost.err) == (3, True)
    assert library("inbox").code == 1


def test_a_wait_prints_one_line_and_takes_nothing(library: Shell) -> None:
    library("join")
    assert library("wait --timeout 0", terminal=True).row == {"for": "mail", "came": False}
    library("send run.me a")
    waited = library("wait --timeout 1m")
    assert (waited.code, waited.row) == (0, {"for": "mail", "came": True, "run": "run.me"})
    assert library("take").row["attempt"] == 1
    assert library("wait member agent:agent.nobody --timeout 1ms").code == 1
    assert library("wait member run.me --timeout 1m").row["runs"] == ["run.me"]
    assert library("wait event").code == 2
    assert library("wait mail run.me").code == 2


def test_an_event_is_published_seen_and_waited_for(library: Shell) -> None:
    assert library("wait event build.done --past --timeout 1ms").code == 1
    published = library("publish build.done '{}' --tag nightly --key key.e")
    assert library("publish build.done '{}' --tag nightly --key key.e").row == published.row
    [shown] = [each for each in library("tail").rows if "build.done" in (each.get("tags") or ())]
    for once in ("--timeout 1m", "--timeout 0"):
        waited = library(f"wait event build.done --past {once}").row
        assert (waited["run"], waited["tags"][:2]) == ("run.me", ["build.done", "nightly"])
        assert waited["seq"] == shown["seq"]
    assert library("wait event build.done --timeout 1ms").code == 1
    assert "build.done" in library("tail --text").out


def test_the_past_is_looked_at_from_its_end(
    library: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "_PAGE", 3)
    begun: list[int] = []

    def noted(
        pool: AgentPool, place: AgentPoolStoreCursor, *, follow: bool
    ) -> AsyncGenerator[tuple[int, EventEnvelope]]:
        begun.append(place.sequence)
        return events_of(pool, place, follow=follow)

    monkeypatch.setattr(waiting, "events_of", noted)
    for event in ("old", "build", "build"):
        library(f"publish {event}.done")
        for _ in range(4):
            library("send queue:work a")
    head = int(library("stats --field records").out)
    shown = [each for each in library("tail --from 1").rows if "build.done" in each["tags"]]
    assert library("wait event build.done --past --timeout 0").row["seq"] == shown[1]["seq"]
    assert begun == list(range(head - 3, begun[-1] - 1, -3))
    assert begun[-1] <= shown[1]["seq"] <= begun[-1] + 3
    assert shown[0]["seq"] < begun[-1]
    begun.clear()
    assert library("wait event old.done --past --timeout 1m").row["came"]
    begun.clear()
    assert library("wait event nosuch.done --past --timeout 0").code == 1
    assert 0 in begun


@pytest.mark.parametrize("terminal", [True, False])
def test_nothing_that_a_terminal_would_obey_reaches_it(library: Shell, terminal: bool) -> None:
    evil = "\x1b[2J\x9b31m\u202eevil"
    library("send queue:work", evil)
    library("publish build.done", "--tag", "\x1b[2Jx")
    for line in (
        "inbox --queue work --bodies",
        "take --queue work",
        "tail --bodies",
        "tail --json --bodies",
        "show 6",
    ):
        out = library(line, terminal=terminal).out
        assert [each for each in out if not (each.isprintable() or each == "\n")] == []
        assert "evil" in out
    [message] = library("inbox --queue work").rows
    out = library(f"show {message['message']} --field body", terminal=terminal).out
    assert out == (f"{evil}\n" if not terminal else "\\x1b[2J\\x9b31m\\u202eevil\n")


def test_a_terminal_gets_tables_and_a_pipe_json(library: Shell) -> None:
    library("join")
    table = library("members", terminal=True).out.splitlines()
    assert table[0].split()[:3] == ["run", "agent", "presence"]
    assert table[2].split()[:3] == ["run.me", "agent.shell", "unheld"]
    assert library("members --text").out.splitlines()[0] == table[0]
    assert (
        json.loads(library("members --json", terminal=True).out.splitlines()[1])["run"] == "run.me"
    )
    assert library("members --field nosuch").code == 2
