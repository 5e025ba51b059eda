"""The asyncio API of `websockets`."""
