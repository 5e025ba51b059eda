"""picows: its own interface, a listener whose methods are called for each frame."""

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect
from traffic import MESSAGE_LIMIT, Converse, Flight, Traffic, fly


def prepare(traffic: Traffic) -> Converse:
    kind = WSMsgType.BINARY if traffic.options.binary else WSMsgType.TEXT
    message, depth = traffic.payload, traffic.options.depth

    class Echo(WSListener):
        def __init__(self, flight: Flight) -> None:
            self.landed = flight.landed

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if self.landed(frame.get_payload_as_memoryview()):
                transport.send(kind, message)

    async def converse(flight: Flight) -> None:
        transport, _ = await ws_connect(lambda: Echo(flight), traffic.url, max_frame_size=MESSAGE_LIMIT)
        await flight.departure()
        for _ in range(depth):
            transport.send(kind, message)
        await transport.wait_disconnected()

    return converse


if __name__ == "__main__":
    fly(prepare)
