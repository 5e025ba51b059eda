"""The browser's WebSocket, with listeners: sends its arguments, prints an answer to each, and says how it ended.

Usage: listeners.py URL MESSAGE...
"""

import asyncio
import sys

from everwire.browser import CloseEvent, ErrorEvent, Event, MessageEvent, WebSocket


async def main(url: str, *messages: str) -> bool:
    ws = WebSocket(url)
    answers = 0

    def on_open(event: Event) -> None:
        for message in messages:
            ws.send(message)

    async def on_message(event: MessageEvent) -> None:
        nonlocal answers
        print(event.data)
        answers += 1
        if answers == len(messages):
            ws.close(1000, "that was all")

    def on_error(event: ErrorEvent) -> None:
        print(f"{url}: {event.message}", file=sys.stderr)

    def on_close(event: CloseEvent) -> None:
        print(f"closed: {event.code} {event.reason}".rstrip())

    ws.on_open = on_open
    ws.on_message = on_message
    ws.on_error = on_error
    ws.on_close = on_close
    return (await ws.wait_closed()).was_clean


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    try:
        was_clean = asyncio.run(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        was_clean = True
    sys.exit(not was_clean)
