"""The line at the foot of the terminal that is typed into, and what appears above it."""

from __future__ import annotations

import asyncio
import functools
import sys
from contextlib import AbstractContextManager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.input.vt100 import Vt100Input

from .exit import Exit
from .history import History
from .terminal import STYLE, Fragments, color_depth, show

__all__ = ["Prompt"]

WAITING = 256
"""How many pieces of output wait for the terminal before who says more has to wait."""


class Prompt:
    """Takes lines and shows what is said, at the same time.

    Attributes:
        lines: what was typed; mark each as done when it is dealt with.
    """

    def __init__(self, history: History) -> None:
        """Prepare; nothing is drawn before :meth:`ask`.

        Args:
            history: of lines.
        """
        self.lines: asyncio.Queue[str] = asyncio.Queue()
        self._output: asyncio.Queue[Fragments] = asyncio.Queue(WAITING)
        self._aside = ""
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", "> ")],
            input=_Keyboard(sys.stdin),
            history=history,
            enable_history_search=True,
            enable_suspend=True,
            erase_when_done=True,
            interrupt_exception=_Interrupted,
            rprompt=lambda: [("class:faint", self._aside)],
            style=STYLE,
            color_depth=color_depth(),
        )
        # One line after the other is taken without leaving the prompt, which would lose keys in between.
        self._session.default_buffer.accept_handler = self._accept

    async def ask(self) -> Exit:
        """Take lines until Ctrl-D (:attr:`Exit.ENDED`) or Ctrl-C (:attr:`Exit.INTERRUPTED`)."""
        try:
            await self._session.prompt_async()
        except EOFError:
            return Exit.ENDED
        except _Interrupted:
            return Exit.INTERRUPTED
        raise AssertionError("the prompt takes lines without ending")

    async def say(self, fragments: Fragments) -> None:
        """Show something above the line soon; waits while much waits to be shown."""
        await self._output.put(fragments)

    def put_aside(self, text: str) -> None:
        """Show something short at the right edge, in place of what was there."""
        self._aside = text
        self._session.app.invalidate()

    async def show(self) -> None:
        """Show what is said, for ever; all that waits at once, as drawing the line again takes time."""
        while True:
            waiting = [await self._output.get()]
            while not self._output.empty():
                waiting.append(self._output.get_nowait())
            await run_in_terminal(functools.partial(_show_all, waiting))
            for _ in waiting:
                self._output.task_done()

    async def flush(self) -> None:
        """Wait until all that was said is shown."""
        await self._output.join()

    def _accept(self, buffer: Buffer) -> bool:
        if buffer.text:
            self.lines.put_nowait(buffer.text)
        return False


class _Keyboard(Vt100Input):
    """Keys, of which none is lost or shown twice while output is written: that is no reason to leave raw mode."""

    def cooked_mode(self) -> AbstractContextManager[None]:
        return self.raw_mode()


class _Interrupted(Exception):
    """Ctrl-C."""


def _show_all(waiting: list[Fragments]) -> None:
    for fragments in waiting:
        show(fragments)
