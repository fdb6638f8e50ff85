// Bun's server and its topics: bun bun.ts PORT [deflate]
// Each line of standard input goes to everybody.
const [port, mode] = process.argv.slice(2);
const deflate = mode === "deflate";

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: Number(port),
  fetch: (request, server) =>
    server.upgrade(request) ? undefined : new Response("only sockets here", { status: 426 }),
  websocket: {
    perMessageDeflate: deflate,
    open: (viewer) => viewer.subscribe("everybody"),
    message: () => {},
  },
});

for await (const line of console) server.publish("everybody", line, deflate);
process.exit(0);
