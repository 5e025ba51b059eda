"""picows: its own interface, a listener whose methods are called for each frame."""

import probe
import settings
import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest, ws_create_server

subscribers: set[WSTransport] = set()


class Echo(WSListener):
    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            close(transport, frame)
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class Broadcast(WSListener):
    def on_ws_connected(self, transport: WSTransport) -> None:
        subscribers.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        subscribers.discard(transport)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            close(transport, frame)
            return
        kind, payload = frame.msg_type, frame.get_payload_as_bytes()
        for subscriber in subscribers:
            subscriber.send(kind, payload)


def close(transport: WSTransport, frame: WSFrame) -> None:
    transport.send_close(frame.get_close_code(), frame.get_close_message())
    transport.disconnect()


def listener(request: WSUpgradeRequest) -> WSListener:
    return Echo() if request.path == b"/echo" else Broadcast()


async def main() -> None:
    server = await ws_create_server(
        listener,
        settings.HOST,
        settings.port(),
        ssl=settings.tls_context(),
        max_frame_size=settings.MESSAGE_LIMIT,
        backlog=settings.BACKLOG,
    )
    probe.start()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
