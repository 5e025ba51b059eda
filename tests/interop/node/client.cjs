// One connection of the package `ws`, told what to do. Usage: node client.cjs URL OPTIONS, which are:
//   deflate   options of perMessageDeflate, or false
//   protocols the subprotocols to offer
//   ca        a file with the authority to trust
// Commands and events are those of remote.py's users. Ends with its standard input.
"use strict";

const { readFileSync } = require("node:fs");
const { createInterface } = require("node:readline");
const { WebSocket } = require("ws");

const [url, json] = process.argv.slice(2);
const options = JSON.parse(json);
const encode = (data) => Buffer.from(data).toString("base64");
const decode = (word) => Buffer.from(word, "base64");
const say = (...words) => process.stdout.write(`${words.join(" ")}\n`);

const socket = new WebSocket(url, options.protocols, {
  perMessageDeflate: options.deflate,
  ca: options.ca ? readFileSync(options.ca) : undefined,
});

const commands = {
  text: (data) => socket.send(decode(data), { binary: false }),
  binary: (data) => socket.send(decode(data), { binary: true }),
  part: (kind, data, fin) => socket.send(decode(data), { binary: kind === "binary", fin: fin === "1" }),
  ping: (data) => socket.ping(decode(data)),
  close: (code, reason) => socket.close(Number(code), decode(reason)),
};

socket.on("open", () => {
  say("open", encode(socket.protocol), encode(socket.extensions));
  createInterface({ input: process.stdin }).on("line", (line) => {
    const [command, ...words] = line.split(" ");
    commands[command](...words);
  });
});
socket.on("message", (data, binary) => say(binary ? "binary" : "text", encode(data)));
socket.on("pong", (data) => say("pong", encode(data)));
socket.on("close", (code, reason) => say("closed", code, encode(reason)));
socket.on("error", (error) => say("failed", encode(error.message)));
process.stdin.on("end", () => process.exit(0));
