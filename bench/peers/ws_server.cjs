// ws on Node: its server without a port of its own, so that one HTTP server has both paths.
"use strict";

const fs = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocket, WebSocketServer } = require("ws");

const HOST = "127.0.0.1";
const BACKLOG = 4096;
const MESSAGE_LIMIT = 16 << 20; // bytes, above every scenario's
const { BENCH_CERTIFICATE: certificate, BENCH_KEY: key } = process.env;

const server = certificate
  ? https.createServer({ cert: fs.readFileSync(certificate), key: fs.readFileSync(key) })
  : http.createServer();

const options = { noServer: true, perMessageDeflate: false, maxPayload: MESSAGE_LIMIT };
const echo = new WebSocketServer(options);
const broadcast = new WebSocketServer(options);

echo.on("connection", (ws) => {
  ws.on("error", () => ws.terminate());
  ws.on("message", (message, binary) => ws.send(message, { binary }));
});

broadcast.on("connection", (ws) => {
  ws.on("error", () => ws.terminate());
  ws.on("message", (message, binary) => {
    for (const subscriber of broadcast.clients) {
      if (subscriber.readyState === WebSocket.OPEN) subscriber.send(message, { binary });
    }
  });
});

server.on("upgrade", (request, socket, head) => {
  const target = request.url === "/echo" ? echo : broadcast;
  target.handleUpgrade(request, socket, head, (ws) => target.emit("connection", ws, request));
});

server.listen(Number(process.argv[2]), HOST, BACKLOG);
