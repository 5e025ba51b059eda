"""The chat of examples/, as people see it."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from peer.timing import MS
from playwright.async_api import Browser, Page, expect

# One loop for all: a browser belongs to the loop in which it was started.
pytestmark = pytest.mark.asyncio(loop_scope="session")

CHAT = Path(__file__).parents[2] / "examples" / "chat.py"

CONTRAST = """(selector) => {
  // WCAG 2.2, 1.4.3: luminance of text against what is behind it.
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const over = ([r, g, b, a = 1], below) => [r, g, b].map((part, i) => part * a + below[i] * (1 - a));
  const luminance = (rgb) => {
    const [r, g, b] = rgb.map((part) => (part /= 255) <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  return [...document.querySelectorAll(selector)].map((element) => {
    const chain = [];
    for (let at = element; at; at = at.parentElement) chain.unshift(parse(getComputedStyle(at).backgroundColor));
    const behind = chain.reduce((below, color) => over(color, below), [255, 255, 255]);
    const { color, opacity } = getComputedStyle(element);
    const text = over([...parse(color).slice(0, 3), Number(opacity)], behind);
    const [dark, light] = [luminance(text), luminance(behind)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  });
}"""


PAINT = "(hue) => document.querySelectorAll('.line').forEach((line) => line.style.setProperty('--hue', hue))"


class Chat:
    """The example in a process of its own."""

    async def start(self, port: int = 0) -> None:
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, CHAT, "--port", str(port), stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout is not None
        line = await asyncio.wait_for(self._process.stdout.readline(), 20_000 * MS)
        self.url = line.decode().strip()

    async def stop(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
        await self._process.communicate()


@pytest_asyncio.fixture(loop_scope="session")
async def chat() -> AsyncIterator[Chat]:
    chat = Chat()
    await chat.start()
    yield chat
    await chat.stop()


@contextlib.asynccontextmanager
async def tab(browser: Browser, url: str, name: str, **options: object) -> AsyncIterator[Page]:
    """Somebody's tab with the chat in it."""
    async with await browser.new_context(**options) as context:  # type: ignore[arg-type]
        page = await context.new_page()
        await page.add_init_script(f"sessionStorage.name ??= {name!r}")
        await page.goto(url)
        await expect(page.get_by_role("status")).to_contain_text("Connected")
        yield page


async def say(page: Page, text: str) -> None:
    message = page.get_by_role("textbox", name="Message")
    await message.fill(text)
    await message.press("Enter")
    await expect(message).to_have_value("")


async def test_two_tabs_see_each_others_lines(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna, tab(chromium, chat.url, "Bob") as bob:
        for page in (anna, bob):
            await expect(page.get_by_role("status")).to_have_text("Connected · 2 people")
        await say(anna, "Hello, Bob")
        await say(bob, "Hello, Anna ∿ 日本語")
        for page in (anna, bob):
            assert await lines(page, 2) == [("Anna", "Hello, Bob"), ("Bob", "Hello, Anna ∿ 日本語")]
        assert await anna.locator(".mine .said").all_text_contents() == ["Hello, Bob"]
        assert await bob.locator(".mine .said").all_text_contents() == ["Hello, Anna ∿ 日本語"]


async def lines(page: Page, count: int) -> list[tuple[str | None, str | None]]:
    """Who said what, once there are so many lines."""
    shown = page.locator(".line")
    await expect(shown).to_have_count(count)
    return [
        (await line.locator(".by").text_content(), await line.locator(".said").text_content())
        for line in await shown.all()
    ]


async def test_what_looks_like_html_is_shown_and_not_run(chromium: Browser, chat: Chat) -> None:
    trap = "<script>window.trapped = true</script><img src=x onerror='window.trapped = true'>"
    async with tab(chromium, chat.url, "<b>Mallory</b>") as mallory, tab(chromium, chat.url, "Anna") as anna:
        await say(mallory, trap)
        assert await lines(anna, 1) == [("<b>Mallory</b>"[:24], trap)]
        for page in (mallory, anna):
            assert await page.evaluate("window.trapped") is None
            assert await page.locator("#log :is(script, img, b)").count() == 0


async def test_whoever_comes_and_goes_is_announced(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna:
        async with tab(chromium, chat.url, "Bob"):
            await expect(anna.locator(".note").last).to_have_text("Bob joined")
        await expect(anna.locator(".note").last).to_have_text("Bob left")
        await expect(anna.get_by_role("status")).to_have_text("Connected · only you are here")


async def test_who_is_alone_is_told_how_not_to_be(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna:
        async with anna.context.expect_page() as opened:
            await anna.get_by_role("link", name="open a second tab").click()
        second = await opened.value
        await expect(second.get_by_role("status")).to_have_text("Connected · 2 people")
        for page in (anna, second):
            await expect(page.get_by_role("link")).to_be_hidden()
        await second.close()
        await expect(anna.get_by_role("link")).to_be_visible()


async def test_a_hidden_tab_counts_what_it_missed(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna, tab(chromium, chat.url, "Bob") as bob:
        seen = "value => { Object.defineProperty(document, 'hidden', { value, configurable: true });"
        seen += " document.dispatchEvent(new Event('visibilitychange')); }"
        await anna.evaluate(seen, True)
        await say(bob, "one")
        await say(bob, "two")
        await expect(anna).to_have_title("(2) Chat · Everwire")
        await anna.evaluate(seen, False)
        await expect(anna).to_have_title("Chat · Everwire")


async def test_a_new_name_is_used_from_then_on(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna, tab(chromium, chat.url, "Bob") as bob:
        name = anna.get_by_role("textbox", name="Your name")
        await name.fill("Berta")
        await name.press("Enter")
        await expect(anna.locator(".note").last).to_have_text("You are in, as Berta")
        await say(anna, "It is me")
        assert await lines(bob, 1) == [("Berta", "It is me")]


async def test_it_says_that_it_is_disconnected_and_reconnects(chromium: Browser) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    chat = Chat()
    await chat.start(port)
    try:
        async with tab(chromium, chat.url, "Anna") as anna:
            again = anna.get_by_role("button", name="Reconnect")
            await expect(again).to_be_hidden()
            await chat.stop()
            await expect(anna.get_by_role("status")).to_have_text("Disconnected (1001)")
            await expect(anna.get_by_role("button", name="Send")).to_be_hidden()
            await chat.start(port)
            await again.click()
            await expect(anna.get_by_role("status")).to_contain_text("Connected")
            await say(anna, "back")
            assert await lines(anna, 1) == [("Anna", "back")]
    finally:
        await chat.stop()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_it_can_be_read_in_both_color_schemes(chromium: Browser, chat: Chat, scheme: str) -> None:
    async with (
        tab(chromium, chat.url, "Anna", color_scheme=scheme) as anna,
        tab(chromium, chat.url, "Bob") as bob,
    ):
        await say(bob, "Can you read this?")
        await say(anna, "Yes")
        await lines(anna, 2)
        everything = "h1, #state, label, .note, .said, time, .line:not(.mine) :is(.by, .face), #send"
        # Everybody has a color of his own, by chance.
        for hue in range(0, 360, 15):
            await anna.evaluate(PAINT, hue)
            ratios = await anna.evaluate(CONTRAST, everything)
            assert len(ratios) >= 10
            assert min(ratios) >= 4.5, hue


async def test_it_fits_a_narrow_screen(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna", viewport={"width": 320, "height": 480}) as anna:
        for number in range(20):
            await say(anna, f"{number} {'x' * 60}")
        await lines(anna, 20)
        assert await anna.evaluate("document.documentElement.scrollWidth") == 320
        await expect(anna.get_by_text("19 xxx")).to_be_in_viewport()
        await expect(anna.get_by_role("button", name="Send")).to_be_in_viewport()


async def test_it_works_without_a_mouse(chromium: Browser, chat: Chat) -> None:
    async with tab(chromium, chat.url, "Anna") as anna:
        await anna.keyboard.type("typed at once")
        await anna.keyboard.press("Tab")
        assert await anna.evaluate("document.activeElement.id") == "send"
        await anna.keyboard.press("Enter")
        assert await lines(anna, 1) == [("Anna", "typed at once")]
        assert await anna.get_by_role("log").get_attribute("aria-label") == "Conversation"
