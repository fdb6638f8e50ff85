// The npm package ws, broadcasting as its own documentation shows: node ws.mjs PORT [deflate]
// Each line of standard input goes to everybody.
import { createInterface } from "node:readline";
import { WebSocket, WebSocketServer } from "ws";

const [port, mode] = process.argv.slice(2);
const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  perMessageDeflate: mode === "deflate",
});
server.on("connection", (viewer) => viewer.on("error", () => viewer.terminate()));

for await (const line of createInterface({ input: process.stdin })) {
  server.clients.forEach((viewer) => {
    if (viewer.readyState === WebSocket.OPEN) viewer.send(line);
  });
}
process.exit(0);
