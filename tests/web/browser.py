"""A real browser, driven over the DevTools protocol of Chromium: as little of it as tests need."""

import asyncio
import json
import os
import shutil
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

__all__ = ("PATIENCE", "Browser", "Page", "chromium", "find_chromium")

PATIENCE: Final = 120.0
_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_FLAGS: Final = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--disable-sync",
    "--mute-audio",
    "--no-first-run",
    "--no-proxy-server",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def find_chromium() -> str | None:
    named = os.environ.get("AGENTPOOL_TEST_BROWSER")
    return named or next((found for each in _NAMES if (found := shutil.which(each))), None)


class Browser:
    """The connection to a browser; its pages are sessions on it."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._told: dict[str, Callable[[str, dict[str, Any]], None]] = {}

    async def listen(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if "id" in message:
                self._answers.pop(message["id"]).set_result(message)
            elif (told := self._told.get(message.get("sessionId", ""))) is not None:
                told(message["method"], message["params"])

    async def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        call: dict[str, Any] = {"id": number, "method": method, "params": params}
        if session:
            call["sessionId"] = session
        await self._socket.send(json.dumps(call))
        async with asyncio.timeout(PATIENCE):
            found = await answer
        assert "error" not in found, (method, found["error"])
        result: dict[str, Any] = found["result"]
        return result

    @asynccontextmanager
    async def page(
        self, *, wide: int = 1200, high: int = 900, dark: bool = False, scripts: bool = True
    ) -> AsyncGenerator["Page"]:
        """Open a page that knows no cookies yet."""
        context = (await self.call("Target.createBrowserContext"))["browserContextId"]
        target = await self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = await self.call(
            "Target.attachToTarget", targetId=target["targetId"], flatten=True
        )
        page = Page(self, attached["sessionId"])
        self._told[page.session] = page.told
        try:
            await page.prepare(wide, high, dark=dark, scripts=scripts)
            yield page
        finally:
            await self.call("Target.disposeBrowserContext", browserContextId=context)
            del self._told[page.session]


class Page:
    """One page.

    :ivar complaints: what the console, the security policy or a script complained about
    """

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self.session = session
        self.complaints: list[str] = []
        self._loaded = asyncio.Event()

    def told(self, method: str, params: dict[str, Any]) -> None:
        if method == "Page.loadEventFired":
            self._loaded.set()
        elif method == "Log.entryAdded":
            self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url')}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(str(params["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(str(params["args"]))
        elif method == "Audits.issueAdded":
            self.complaints.append(str(params["issue"]))

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        return await self._browser.call(method, self.session, **params)

    async def prepare(self, wide: int, high: int, *, dark: bool, scripts: bool) -> None:
        for domain in ("Page", "Log", "Runtime", "Network", "Audits"):
            await self.call(f"{domain}.enable")
        phone = {"deviceScaleFactor": 1, "mobile": wide < 500}
        await self.call("Emulation.setDeviceMetricsOverride", width=wide, height=high, **phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])
        await self.call("Emulation.setScriptExecutionDisabled", value=not scripts)

    async def go(self, url: str) -> None:
        self._loaded.clear()
        found = await self.call("Page.navigate", url=url)
        assert "errorText" not in found, found
        async with asyncio.timeout(PATIENCE):
            await self._loaded.wait()

    async def ask(self, expression: str) -> Any:
        """Evaluate JavaScript in the page."""
        found = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, expression: str) -> Any:
        """Wait until something is true in the page."""
        async with asyncio.timeout(PATIENCE):
            while not (found := await self.ask(expression)):  # noqa: ASYNC110  # it is elsewhere
                await asyncio.sleep(0.05)
        return found

    async def follow(self, selector: str) -> None:
        """Click what leads to another page, and wait for that."""
        self._loaded.clear()
        click = f"document.querySelector({json.dumps(selector)}).click()"
        await self.call("Runtime.evaluate", expression=click, userGesture=True)
        async with asyncio.timeout(PATIENCE):
            await self._loaded.wait()

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            code = {"Tab": 9, "Enter": 13}[key]
            text = {"text": "\r"} if key == "Enter" and kind == "keyDown" else {}
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text
            )

    async def picture(self) -> bytes:
        """Give a screenshot, as WebP."""
        shot = await self.call("Page.captureScreenshot", format="webp", quality=80)
        return b64decode(shot["data"])


@asynccontextmanager
async def chromium(program: str, folder: Path) -> AsyncGenerator[Browser]:
    """Run a browser, and end it."""
    running = await asyncio.create_subprocess_exec(
        program,
        *_FLAGS,
        f"--user-data-dir={folder}",
        "about:blank",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env={**os.environ, "HOME": str(folder)},
    )
    try:
        async with connect(await _url(folder), max_size=None, proxy=None) as socket:
            browser = Browser(socket)
            listening: asyncio.Task[None] = _start(browser.listen())
            try:
                yield browser
            finally:
                with suppress(AssertionError, ConnectionError):
                    await browser.call("Browser.close")
                listening.cancel()
                await asyncio.wait([listening])
    finally:
        with suppress(ProcessLookupError):
            running.kill()
        await running.wait()


def _start(doing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    return asyncio.get_running_loop().create_task(doing)


async def _url(folder: Path) -> str:
    """Wait until the browser has written down where it listens."""
    place = folder / "DevToolsActivePort"
    async with asyncio.timeout(PATIENCE):
        while True:
            with suppress(FileNotFoundError, ValueError):
                port, path = place.read_text("utf-8").split()
                return f"ws://127.0.0.1:{port}{path}"
            await asyncio.sleep(0.05)
