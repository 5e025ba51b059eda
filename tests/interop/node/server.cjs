// The servers' part of these tests, with the package `ws`. Usage: node server.cjs OPTIONS, which are:
//   deflate   options of perMessageDeflate, or false
//   protocols the subprotocols, the favorite first
//   path      a Unix socket; a free port of loopback by default
//   key, cert files; for TLS
// Prints "ready PORT", then "closed CODE REASON" for each connection. Ends with its standard input.
"use strict";

const { readFileSync } = require("node:fs");
const http = require("node:http");
const https = require("node:https");
const { WebSocketServer } = require("ws");

const options = JSON.parse(process.argv[2]);
const encode = (data) => Buffer.from(data).toString("base64");
const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

const server = options.cert
  ? https.createServer({ cert: readFileSync(options.cert), key: readFileSync(options.key) })
  : http.createServer();
const sockets = new WebSocketServer({
  server,
  perMessageDeflate: options.deflate,
  handleProtocols: (offered) => options.protocols.find((name) => offered.has(name)) ?? false,
});

const behaviors = {
  "/echo": (socket, data, binary) => socket.send(data, { binary }),
  "/ping": (socket, data) => socket.ping(data),
  "/close": (socket, data) => {
    const [code, ...reason] = data.toString().split(" ");
    socket.close(Number(code), reason.join(" "));
  },
  "/fragments": (socket, data, binary) => {
    for (let start = 0; start < data.length; start += 3) {
      socket.send(data.subarray(start, start + 3), { binary, fin: start + 3 >= data.length });
    }
  },
};

sockets.on("connection", (socket, request) => {
  const behave = behaviors[request.url];
  socket.on("message", (data, binary) => behave(socket, data, binary));
  socket.on("pong", (data) => socket.send(`pong ${data}`));
  socket.on("close", (code, reason) => say("closed", code, encode(reason)));
  socket.on("error", (error) => say("failed", encode(error.message)));
});

const where = options.path ? [options.path] : [0, "127.0.0.1"];
server.listen(...where, () => say("ready", server.address().port ?? 0));
process.stdin.on("end", () => process.exit(0)).resume();
