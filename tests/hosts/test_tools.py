"""Each tool, with the client of the SDK in this process."""

import asyncio
import json
from base64 import b64decode
from typing import Any, cast

import pytest
from mcp.shared.exceptions import MCPError

from agentpool import AgentPool, AgentPoolMember, MemberHandle, RunAddress
from agentpool.errors import ClaimLostError, CorruptRecordError, NotAMemberError, StoreBusyError
from agentpool.mcp import Seat
from agentpool.mcp.arguments import TOOLS
from agentpool.mcp.who import who_is_there
from agentpool.rules.explaining import inboxes
from agentpool.stores.memory import InMemoryAgentPoolStore
from agentpool.testing.conformance.pool_kit import ManualClock

from .conftest import ADA, POOL, Host, hosted

TO_ADA = RunAddress.run("run.ada")


async def test_the_schema_of_all_tools_costs_at_most_2000_tokens(ada: Host) -> None:
    """Counted as one token for 3.5 characters of its JSON, where a tokenizer needs about 4."""
    listed = await ada.client.list_tools()
    tools = [each.model_dump(by_alias=True, exclude_none=True) for each in listed.tools]
    assert [each["name"] for each in tools] == list(TOOLS)
    assert len(json.dumps(tools)) / 3.5 < 2000


async def test_who_tells_who_you_are_and_who_is_there(ada: Host, bob: MemberHandle) -> None:
    await bob.send(RunAddress.run("run.bob"), "for later")
    assert await ada("who") == {
        "you": {"run": "run.ada", "agent": "agent.coder"},
        "pool": POOL,
        "members": [{"run": "run.bob", "agent": "agent.reviewer", "unread": 1}],
    }
    assert "members" not in await ada("who", agent="agent.nobody")


async def test_who_says_where_it_counted_the_first_only(
    ada: Host, bob: MemberHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inboxes, "_MOST_COUNTED", 2)
    for more in ({}, {"at_least": ["unread"]}, {"at_least": ["unread"]}):
        await bob.send(RunAddress.run("run.bob"), "for later")
        [member] = (await ada("who"))["members"]
        assert {name: member[name] for name in member if name == "at_least"} == more
    assert member["unread"] == 2


async def test_who_has_outlived_its_lease_is_not_here() -> None:
    clock = ManualClock()
    async with InMemoryAgentPoolStore(clock=clock) as store:
        pool = await AgentPool.open(store, "pool.library")
        await pool.member(AgentPoolMember("run.gone", "agent.any"), lease=3600)
        for hours, here in ((0, True), (3, None)):
            clock.advance(hours * 3_600_000)
            told = await store.query(pool.pool_id, lambda view: who_is_there(view, None))
            [member] = cast("list[dict[str, object]]", told["members"])
            assert member["here"] is here
        await pool.aclose()


async def test_looking_does_not_join(ada: Host, pool: AgentPool) -> None:
    for tool in ("who", "inbox"):
        await ada(tool)
    assert await pool.members() == ()
    await ada("take")
    assert await pool.members() == (ADA,)


async def test_a_run_that_is_there_already_is_acted_for_as_it_is(
    ada: Host, pool: AgentPool, bob: MemberHandle
) -> None:
    there = AgentPoolMember("run.ada", "agent.else", topics=("topic.news",))
    async with pool.member(there):
        for _ in range(2):
            assert (await ada("who"))["you"] == {"run": "run.ada", "agent": "agent.else"}
            await ada("send", to="run.bob", text="hi", key="key.1")
        assert there in await pool.members()
    assert [each.sender for each in await bob.inbox.peek()] == ["run.ada"]
    assert (await ada("who"))["you"]["agent"] == "agent.coder"


async def test_a_message_is_sent_once_under_a_key(ada: Host, bob: MemberHandle) -> None:
    sent = [await ada("send", to="agent.reviewer", text="hi", key="key.1") for _ in range(2)]
    assert sent[0] == sent[1]
    assert sent[0]["delivered_to"] == ["run.bob"]
    [message] = await bob.inbox.peek()
    assert await bob.read(message) == "hi"


async def test_under_a_key_it_is_sent_once_though_whom_it_reached_has_left(
    ada: Host, pool: AgentPool, bob: MemberHandle
) -> None:
    given = {"to": "agent.reviewer", "text": "hi", "key": "key.1"}
    sent = await ada("send", **given)
    await pool.leave_run(bob.run_id)
    assert await ada("send", **given) == sent


async def test_what_is_taken_is_done_and_answered_once(ada: Host, bob: MemberHandle) -> None:
    await ada("take")
    asking = asyncio.create_task(bob.ask_one(TO_ADA, "Where is Dune?"))
    assert await ada.wait("mail") == {"came": True, "for": "mail"}
    [taken] = (await ada("take"))["messages"]
    assert (taken["from"], taken["text"], taken["wants_reply"]) == (
        "run.bob",
        "Where is Dune?",
        True,
    )
    done = await ada("done", claim=taken["claim"], reply="Shelf 42.")
    assert done["reply"]["delivered_to"] == ["run.bob"]
    assert await bob.read(await asking) == "Shelf 42."
    assert (await ada("inbox"))["count"] == 0
    for reply in ("Shelf 42.", "Shelf 43."):
        assert "no longer current" in await ada.refusal("done", claim=taken["claim"], reply=reply)
    assert await bob.inbox.peek() == ()


async def test_nothing_is_answered_under_a_claim_that_is_none(
    ada: Host, pool: AgentPool, bob: MemberHandle
) -> None:
    await ada("take")
    await bob.send(RunAddress.run("run.bob"), "of another inbox")
    await bob.send(TO_ADA, "lost")
    [taken] = (await ada("take"))["messages"]
    token = taken["claim"].partition("@")[0]
    seq = int(token.partition(".")[0])
    for made_up in (seq - 1, seq):
        claim = f"{made_up}.1.0.0123456789abcdef@run.ada"
        assert "no token" in await ada.refusal("done", claim=claim, reply="no")
    await pool.inbox("run.ada").nack(token, 0)
    assert "no longer current" in await ada.refusal("done", claim=taken["claim"], reply="no")
    assert await ada("take")
    assert "no longer current" in await ada.refusal("done", claim=taken["claim"], reply="no")
    assert [await bob.read(each) for each in await bob.inbox.peek()] == ["of another inbox"]


async def test_a_message_that_names_what_it_answers_is_an_answer(
    ada: Host, bob: MemberHandle
) -> None:
    await ada("take")
    asking = asyncio.create_task(bob.ask_one(TO_ADA, "Where is Dune?"))
    await ada.wait("mail")
    [listed] = (await ada("inbox"))["messages"]
    await ada("send", to=f"run:{listed['from']}", text="Shelf 42.", reply_to=listed["message"])
    assert await bob.read(await asking) == "Shelf 42."


async def test_what_is_given_back_comes_again(ada: Host, bob: MemberHandle) -> None:
    await ada("take")
    await bob.send(TO_ADA, "hard")
    [first] = (await ada("take"))["messages"]
    assert await ada("done", claim=first["claim"], ok=False) == {"done": False}
    [waiting] = (await ada("inbox"))["messages"]
    assert waiting.get("state") != "claimed"
    assert (await ada.wait("mail"))["came"]
    [second] = (await ada("take"))["messages"]
    assert (second["message"], second["attempt"]) == (first["message"], 2)


async def test_an_inbox_lists_claims_by_which_they_can_be_ended(
    ada: Host, bob: MemberHandle
) -> None:
    await ada("take")
    await bob.send(TO_ADA, "one")
    await bob.send(TO_ADA, "two")
    [taken] = (await ada("take", limit=1))["messages"]
    first, second = (await ada("inbox"))["messages"]
    assert (first["state"], first["claim"]) == ("claimed", taken["claim"])
    assert second.keys() == {"message", "from"}
    await ada("done", claim=first["claim"])
    assert (await ada("inbox"))["count"] == 1


async def test_urgency_is_told(ada: Host, bob: MemberHandle, pool: AgentPool) -> None:
    async with hosted(Seat(pool, bob.member)) as other:
        await ada("send", to="run.bob", text="fire", urgent=True)
        await ada("send", to="run.bob", text="tea")
        listed = (await other("inbox"))["messages"]
        taken = (await other("take"))["messages"]
    assert [[each.get("urgent") for each in some] for some in (listed, taken)] == [[True, None]] * 2


def size(answer: object) -> int:
    """Count the characters of an answer as a model gets it."""
    return len(json.dumps(answer, ensure_ascii=False, separators=(",", ":")))


@pytest.mark.parametrize("max_chars", [200, 2000])
@pytest.mark.parametrize("text", ["äöü" * 1000, "\x00" * 1000, '"\\\n😀' * 500, "short", ""])
async def test_a_body_is_kept_and_read_in_parts(ada: Host, text: str, max_chars: int) -> None:
    ref = (await ada("content", text=text))["ref"]
    read, cut = "", "offset=0"
    while cut:
        part = await ada("content", ref=ref, offset=len(read), max_chars=max_chars)
        assert size(part) <= max_chars
        assert f"offset={len(read)}" in cut
        read, cut = read + part["text"], part.get("cut", "")
        assert part["text"] or read == text
    assert read == text


@pytest.mark.parametrize("max_chars", [200, 400, 20_000])
async def test_a_body_that_is_no_text_is_read_as_base64(
    ada: Host, pool: AgentPool, max_chars: int
) -> None:
    data = bytes(range(256)) * 4
    ref = await pool.store.put_content(data)
    read = b""
    while len(read) < len(data):
        part = await ada("content", ref=ref, offset=len(read), max_chars=max_chars)
        assert size(part) <= max_chars
        piece = b64decode(part["base64"])
        assert piece
        read += piece
        assert ("cut" in part) == (len(read) < len(data))
    assert read == data


@pytest.mark.parametrize(
    ("tool", "given", "words"),
    [
        ("send", {"to": "run.nobody", "text": "hi"}, "reached nobody"),
        ("send", {"to": "run.bob", "text": "\ud800"}, "UTF-8"),
        ("send", {"to": "run.bob"}, "missing required field `text`"),
        ("send", {"to": "run.bob", "text": "hi", "cc": "x"}, "unknown field `cc`"),
        ("send", {"to": "run.a\nb", "text": "hi"}, "control character"),
        ("send", {"to": "run:" + "a" * 600, "text": "hi"}, "exceeds 512 bytes"),
        ("ask", {"to": "run.bob", "text": "?", "expect": -1}, "expected"),
        ("ask", {"to": "run.bob", "text": "?", "timeout": "nan"}, "timeout"),
        ("take", {"limit": 0}, "limit"),
        ("take", {"max_chars": 10}, "max_chars"),
        ("done", {"claim": "nonsense"}, "claim: 'nonsense' is none"),
        ("done", {"claim": "1.1.0.0123456789abcdef@run.bob"}, "is none of the inbox of 'run.ada'"),
        ("done", {"claim": "1.1.0.0123456789abcdef@run.ada"}, "no token"),
        ("wait", {"for": "godot"}, "nothing to wait for"),
        ("wait", {"for": "member:godot"}, "nothing to wait for"),
        ("wait", {"for": f"mail.{0:028x}"}, "waits for nothing"),
        ("wait", {"for": f"ask.{0:028x}"}, "has asked nothing"),
        ("content", {}, "either ref"),
        ("content", {"ref": "a", "text": "b"}, "either ref"),
        ("content", {"ref": "content.nosuch"}, "keeps nothing under"),
    ],
)
async def test_what_is_wrong_is_told_to_the_model(
    ada: Host, bob: MemberHandle, tool: str, given: dict[str, Any], words: str
) -> None:
    before = await bob.inbox.peek()
    assert words in await ada.refusal(tool, **given)
    assert await bob.inbox.peek() == before


async def test_numbers_and_flags_may_be_written_as_text(ada: Host, bob: MemberHandle) -> None:
    await ada("send", to="run.bob", text="hi", urgent="true")
    assert len(await bob.inbox.peek()) == 1
    assert (await ada("inbox", limit="5"))["count"] == 0


async def test_an_unknown_tool_is_an_error_of_the_protocol(ada: Host) -> None:
    with pytest.raises(MCPError, match="no tool 'nosuch'; there are who, send"):
        await ada.client.call_tool("nosuch", {})


@pytest.mark.usefixtures("bob")
async def test_a_run_that_left_joins_again(ada: Host, pool: AgentPool) -> None:
    await ada("take")
    await pool.leave_run("run.ada")
    with pytest.raises(NotAMemberError):
        await pool.leave_run("run.ada")
    await ada("send", to="run.bob", text="hi")
    assert ADA in await pool.members()


async def test_a_claim_outlives_its_server(pool: AgentPool, bob: MemberHandle) -> None:
    async with hosted(Seat(pool, ADA)) as host:
        await host("take")
        await bob.send(TO_ADA, "long work")
        [taken] = (await host("take"))["messages"]
    async with hosted(Seat(pool, ADA)) as host:
        assert "messages" not in await host("take")
        await host("done", claim=taken["claim"])
        assert (await host("inbox"))["count"] == 0
    with pytest.raises(ClaimLostError):
        await pool.inbox("run.ada").ack(taken["claim"].partition("@")[0])


LONG = "ä€😀" * 40_000
"""More than any answer may have."""


@pytest.mark.parametrize("max_chars", [200, 4000, 20_000])
async def test_what_is_taken_is_bounded_and_says_how_to_get_the_rest(
    ada: Host, bob: MemberHandle, max_chars: int
) -> None:
    await ada("take")
    for _ in range(3):
        await bob.send(TO_ADA, LONG)
    messages: list[dict[str, Any]] = []
    while len(messages) < 3:
        taken = await ada("take", limit=3, max_chars=max_chars)
        assert size(taken) <= max(max_chars, 400)
        messages += taken["messages"]
    for each in messages:
        text, ref, offset = each["text"], each["cut"].split("'")[1], len(each["text"])
        while len(text) < len(LONG):
            read = await ada("content", ref=ref, offset=offset, max_chars=200_000)
            text, offset = text + read["text"], offset + len(read["text"])
        assert text == LONG


@pytest.mark.parametrize("body", ["short", "\x00" * 1000])
@pytest.mark.parametrize("max_chars", [200, 1000, 4000])
async def test_no_more_is_taken_than_there_is_room_for(
    ada: Host, bob: MemberHandle, max_chars: int, body: str
) -> None:
    await ada("take")
    for _ in range(30):
        await bob.send(TO_ADA, body)
    taken: list[dict[str, Any]] = []
    while len(taken) < 30:
        answer = await ada("take", limit=100, max_chars=max_chars)
        taken += answer["messages"]
        assert size(answer) <= max(max_chars, 400)
        left = 30 - len(taken)
        assert answer.get("more") == (f"{left} had no room; take again" if left else None)
        listed = (await ada("inbox", limit=100, max_chars=200_000))["messages"]
        assert sum("claim" in each for each in listed) == len(taken)
    assert not any("attempt" in each for each in taken)
    assert [each["message"] for each in taken] == [each["message"] for each in listed]


async def test_a_reason_why_a_body_cannot_be_read_is_bounded(
    ada: Host, pool: AgentPool, bob: MemberHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada("take")
    for _ in range(3):
        await bob.send(TO_ADA, "damaged")

    async def get(_: str) -> bytes:
        raise CorruptRecordError("it is not what was put " * 100)

    monkeypatch.setattr(pool.store, "get_content", get)
    taken = await ada("take", max_chars=1200)
    assert len(taken["messages"]) == 3
    assert size(taken) <= 1200
    assert all(each["unreadable"].startswith("it is not") for each in taken["messages"])


async def test_an_inbox_is_bounded_and_says_how_much_there_is(ada: Host, bob: MemberHandle) -> None:
    await ada("take")
    for number in range(30):
        await bob.send(TO_ADA, "x", message_id=f"message.{number}." + "m" * 480)
    few = await ada("inbox", limit=5)
    assert (len(few["messages"]), few["count"]) == (5, 30)
    assert few["more"] == "25 more; give a larger limit"
    short = await ada("inbox", limit=30, max_chars=2000)
    assert 1 < len(short["messages"]) < 5
    assert size(short) <= 2000
    assert short["more"] == f"{30 - len(short['messages'])} more; give a larger max_chars"
    assert "more" not in await ada("inbox", limit=30, max_chars=200_000)


async def test_an_inbox_that_is_not_counted_to_its_end_says_so(
    ada: Host, bob: MemberHandle
) -> None:
    await ada("take")
    async with asyncio.TaskGroup() as tasks:
        for _ in range(1001):
            tasks.create_task(bob.send(TO_ADA, "x"))
    listed = await ada("inbox", limit=100, max_chars=200_000)
    assert (len(listed["messages"]), listed["count"]) == (100, "1000+")
    assert listed["more"].startswith("900+ more; take these and end them by done")
    assert (await ada("inbox", limit=99, max_chars=200_000))["more"].endswith("give a larger limit")
    least = await ada("inbox", limit=100, max_chars=1000)
    assert least["more"].endswith("give a larger max_chars")
    assert size(least) <= 1000
    [taken] = (await ada("take", limit=1))["messages"]
    await ada("done", claim=taken["claim"])
    assert (await ada("inbox"))["count"] == 1000


async def test_who_is_bounded(ada: Host, pool: AgentPool) -> None:
    for number in range(60):
        topics = tuple(f"topic.{each}" for each in range(30))
        await pool.join_run(
            AgentPoolMember(f"run.{number:03}" + "r" * 400, "agent.x", topics=topics)
        )
    told = await ada("who")
    assert len(json.dumps(told)) < 9000
    assert told["more"] == f"{60 - len(told['members'])} more; give an agent to see its runs"


async def test_answers_are_bounded(ada: Host, pool: AgentPool) -> None:
    members = [AgentPoolMember(f"run.{number}", "agent.many") for number in range(4)]
    for each in members:
        await pool.join_run(each)
    asking = asyncio.create_task(ada("ask", to="agent.many", text="?", expect="all"))
    for each in members:
        async with await pool.acting_as(each).inbox.take() as delivery:
            await delivery.reply(LONG)
    answers = (await asking)["answers"]
    assert len(answers) == 4
    assert all("cut" in each for each in answers)
    assert 19_000 < size(answers) <= 20_000


async def test_many_answers_are_read_a_part_at_a_time(ada: Host, pool: AgentPool) -> None:
    await ada("take")
    members = [AgentPoolMember(f"run.{number:03}", "agent.many") for number in range(150)]
    for each in members:
        await pool.join_run(each)
    asking = asyncio.create_task(ada("ask", to="agent.many", text="?", expect=140))
    for each in members[:140]:
        async with await pool.acting_as(each).inbox.take() as delivery:
            await delivery.reply(f"I am {each.run_id}.")
    answer = await asking
    texts = [each["text"] for each in answer["answers"]]
    assert len(texts) < 140
    while "more" in answer:
        assert size(answer) <= 20_000
        left, wait_id = answer["more"].split(" ")[0], answer["more"].split("'")[1]
        assert (int(left), f"offset={len(texts)})" in answer["more"]) == (140 - len(texts), True)
        answer = await ada("wait", **{"for": wait_id, "offset": len(texts)})
        texts += [each["text"] for each in answer["answers"]]
    assert size(answer) <= 20_000
    assert texts == [f"I am {each.run_id}." for each in members[:140]]


async def test_who_has_not_answered_takes_room_from_the_answers(ada: Host, pool: AgentPool) -> None:
    await ada("take")
    members = [AgentPoolMember(f"run.{number:02}" + "r" * 500, "agent.x") for number in range(25)]
    for each in members:
        await pool.join_run(each)
    asking = asyncio.create_task(ada("ask", to="agent.x", text="?", expect="all"))
    for each in members[:5]:
        async with await pool.acting_as(each).inbox.take() as delivery:
            await delivery.reply(LONG)
    for each in members[5:]:
        await pool.leave_run(each.run_id)
    answer = await asking
    assert (len(answer["answers"]), len(answer["no_answer_of"])) == (5, 20)
    assert size(answer) <= 20_000


async def test_a_long_error_is_shortened(ada: Host) -> None:
    assert len(await ada.refusal("send", to="run." + "x" * 500, text="hi")) < 2100


async def test_many_recipients_are_counted(ada: Host, pool: AgentPool) -> None:
    for number in range(50):
        await pool.join_run(AgentPoolMember(f"run.{number:02}", "agent.many"))
    sent = await ada("send", to="agent.many", text="hi")
    assert len(sent["delivered_to"]) == 21
    assert sent["delivered_to"][-1] == "... 30 more"


async def test_a_body_that_is_kept_elsewhere_is_named(ada: Host, bob: MemberHandle) -> None:
    await ada("take")
    await bob.send(TO_ADA, content_ref="s3://bucket/plan")
    [taken] = (await ada("take"))["messages"]
    assert taken.keys() == {"claim", "message", "from", "content_ref"}
    assert taken["content_ref"] == "s3://bucket/plan"


async def test_a_damaged_body_stops_none_of_the_others(
    ada: Host, pool: AgentPool, bob: MemberHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada("take")
    for text in ("damaged", "whole"):
        await bob.send(TO_ADA, text)
    real, [damaged, _] = pool.store.get_content, await pool.inbox("run.ada").peek()

    async def get(ref: str) -> bytes:
        if ref == damaged.content_ref:
            msg = "it is not what was put"
            raise CorruptRecordError(msg)
        return await real(ref)

    monkeypatch.setattr(pool.store, "get_content", get)
    first, second = (await ada("take"))["messages"]
    assert first["unreadable"] == "it is not what was put"
    assert second["text"] == "whole"


async def test_what_nobody_was_told_of_is_there_again_at_once(
    ada: Host, pool: AgentPool, bob: MemberHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ada("take")
    await bob.send(TO_ADA, "hi")

    async def busy(_: str) -> bytes:
        msg = "somebody has the lock"
        raise StoreBusyError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(pool.store, "get_content", busy)
        assert await ada.refusal("take") == "somebody has the lock (try again)"
    [taken] = (await ada("take"))["messages"]
    assert "attempt" not in taken


async def test_what_is_given_back_is_not_answered(ada: Host, bob: MemberHandle) -> None:
    await ada("take")
    await bob.send(TO_ADA, "hi")
    [taken] = (await ada("take"))["messages"]
    words = await ada.refusal("done", claim=taken["claim"], ok=False, reply="no")
    assert words.startswith("reply: ")
    assert await ada("done", claim=taken["claim"], reply="yes")
    assert len(await bob.inbox.peek()) == 1


async def test_queues_are_told_apart_and_sent_to(ada: Host, pool: AgentPool) -> None:
    await pool.queue("work")
    assert (await ada("send", to="queue:work", text="x"))["delivered_to"] == ["queue.work"]
    queue, me = (await ada("who"))["members"]
    assert queue == {"queue": "work", "unread": 1}
    assert me == {"run": "run.ada", "agent": "agent.coder"}


async def test_who_holds_a_run_is_told_to_be_here(ada: Host, pool: AgentPool) -> None:
    async with pool.member(AgentPoolMember("run.bob", "agent.reviewer", topics=("topic.news",))):
        [bob] = (await ada("who", agent="agent.reviewer"))["members"]
    assert (bob["here"], bob["topics"]) == (True, ["topic.news"])


async def test_a_claim_that_was_lost_is_held_no_longer(pool: AgentPool, bob: MemberHandle) -> None:
    seat = Seat(pool, ADA)
    await seat.joined()
    for text in ("lost", "ended elsewhere", "held"):
        await bob.send(TO_ADA, text)
    (lost, _), (elsewhere, _), (held, _) = [(await seat.take(1))[0] for _ in range(3)]
    own = pool.inbox("run.ada")
    await own.nack(lost.partition("@")[0], 60)
    await own.ack(elsewhere.partition("@")[0])
    assert seat.held == {lost, elsewhere, held}
    with pytest.raises(ClaimLostError):
        await seat.end(lost, ok=True)
    assert seat.held == {elsewhere, held}
    assert await seat.take(1) == []
    assert seat.held == {held}


async def test_a_claim_is_held_on_where_it_could_not_be_ended(
    pool: AgentPool, bob: MemberHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    seat = Seat(pool, ADA)
    await seat.joined()
    await bob.send(TO_ADA, "hi")
    [(claim, _)] = await seat.take(1)

    async def busy(*_: object) -> None:
        msg = "somebody has the lock"
        raise StoreBusyError(msg)

    with monkeypatch.context() as patch:
        patch.setattr(pool.store, "execute", busy)
        with pytest.raises(StoreBusyError):
            await seat.end(claim, ok=True)
    assert seat.held == {claim}
    await seat.end(claim, ok=True)
    assert seat.held == set()
