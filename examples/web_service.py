"""A web service with an agent behind it: each request asks the agent.

You learn what becomes of a question that nobody answers, and how to tell it a client: 503 where
nobody is there, 504 where nobody answers in time.

Run it with ``python examples/web_service.py``.
"""

import asyncio
from asyncio import StreamReader, StreamWriter
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection

import agentpool as ap

LIBRARIAN = ap.RunAddress.agent("agent.librarian")


async def find(delivery: ap.Delivery) -> str:
    """Know the place of one book, and look for any other for ever."""
    book = await delivery.text()
    return "Shelf 42" if book == "Dune" else await asyncio.Future[str]()


async def respond(me: ap.MemberHandle, reader: StreamReader, writer: StreamWriter) -> None:
    """Answer one request, ``GET /BOOK``, by what the agent says."""
    head = await reader.readuntil(b"\r\n\r\n")
    try:
        answer = await me.ask_one(LIBRARIAN, head.split()[1].decode().strip("/"), timeout=2)
        status, body = HTTPStatus.OK, await me.read(answer)
    except ap.NoAnswerError as error:
        late = error.outcome is ap.AskOutcome.TIMED_OUT
        status = HTTPStatus.GATEWAY_TIMEOUT if late else HTTPStatus.SERVICE_UNAVAILABLE
        body = status.phrase
    writer.write(f"HTTP/1.0 {status.value} {status.phrase}\r\n\r\n{body}".encode())
    writer.close()
    await writer.wait_closed()


def get(port: int, book: str) -> None:
    """Be a client, and print what the service says."""
    connection = HTTPConnection("127.0.0.1", port)
    connection.request("GET", f"/{book}")
    response = connection.getresponse()
    print(book, response.status, response.read().decode())


async def main() -> None:
    """Serve a request before the agent is there, one that it answers, and one that it does not.

    The agent could as well be in another process, which opens the same file.
    """
    async with (
        asyncio.timeout(45),
        ap.open_pool("memory:", "pool.library") as pool,
        pool.member(ap.AgentPoolMember("run.web", "agent.web")) as me,
        await asyncio.start_server(partial(respond, me), "127.0.0.1", 0) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        await asyncio.to_thread(get, port, "Dune")
        async with pool.member(ap.AgentPoolMember("run.ada", "agent.librarian")) as ada:
            working = asyncio.create_task(ada.serve(find, grace=0))
            for book in ("Dune", "Emma"):
                await asyncio.to_thread(get, port, book)
            working.cancel()
            await asyncio.wait([working])


if __name__ == "__main__":
    asyncio.run(main())
