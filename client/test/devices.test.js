import assert from "node:assert/strict";
import test from "node:test";
import { dice, tick } from "./clock.js";
import { Daemon, Device, MOST } from "./devices.js";

/** A daemon and devices that watch it. */
function room(count, faults) {
  const daemon = new Daemon(faults);
  const devices = Array.from({ length: count }, (_, i) => new Device(i + 1, daemon));
  for (const device of devices) device.join();
  return { daemon, devices };
}

/** Whatever is on its way arrives. */
async function settle(daemon, devices) {
  for (const device of devices) if (!device.up) device.join();
  do {
    daemon.flush(devices);
    for (const device of devices) {
      while (device.wire.length) device.hear();
      device.advance();
    }
    await tick();
  } while (devices.some(({ wire, requests, at }) => wire.length || requests.length || at !== daemon.revision));
}

/** A random history of several devices and a host without a name; answers what is wrong at its end. */
async function history(seed, faults) {
  const roll = dice(seed);
  for (let i = 0; i < 5; i++) roll(2);
  const { daemon, devices } = room(2 + roll(2), faults);
  const one = () => devices[roll(devices.length)];
  const config = (more) => ({ ...daemon.session.config, ...more });
  const host = [
    () => ({ config: config({ speed: roll(MOST) }) }),
    () => ({ config: config({ other: roll(3) }) }),
    () => ({ data: roll(3), config: config() }),
    () => ({ data: roll(3), config: config({ speed: roll(MOST) }) }),
    () => ({ config: { other: roll(3) } }),
  ];
  const turns = [
    () => one().tap(roll(MOST + 2)),
    () => one().tap(roll(MOST + 1)),
    () => one().advance(),
    () => one().advance(),
    () => one().requests.forEach((request) => (request.lost = !roll(4))),
    () => daemon.write(host[roll(host.length)]()),
    () => daemon.flush(devices),
    () => one().hear(),
    () => one().hear(),
    () => roll(4) || one().toggle(),
    () => roll(8) || daemon.restart(devices),
  ];
  for (let turn = 0; turn < 40; turn++) {
    turns[roll(turns.length)]();
    if (roll(3)) await tick();
  }
  await settle(daemon, devices);
  const { speed } = daemon.session.config;
  const wrong = devices.flatMap((device) => [
    ...(device.shown === speed ? [] : [`device ${device.id} shows ${device.shown}, not ${speed}`]),
    ...(device.field.busy ? [`device ${device.id} is busy`] : []),
    ...(device.lost() ? [`the last tap of device ${device.id} is lost`] : []),
  ]);
  for (const device of devices) device.viewer.close();
  return wrong;
}

/** What is wrong in the first of these histories that ends wrong. */
async function firstFault(histories, faults) {
  for (let seed = 1; seed <= histories; seed++) {
    const wrong = await history(seed, faults);
    if (wrong.length) return `history ${seed}: ${wrong.join("; ")}`;
  }
  return null;
}

test("whatever is delayed, lost or overtaken, all devices end with the daemon's value, and no user's last tap is lost", async () => {
  assert.equal(await firstFault(2000), null);
});

test("a daemon that does not send what went there and back is found out", async () => {
  assert.match(String(await firstFault(2000, { takesBack: true })), /device \d shows/);
});

test("a daemon that does not say in a session who wrote its fields is found out", async () => {
  assert.match(String(await firstFault(2000, { nameless: true })), /the last tap of device \d is lost/);
});

for (const [order, steps] of [["before", ["hear", "advance"]], ["after", ["advance", "hear"]]])
  test(`another device's write within the same debounce wins, pushed ${order} the answer`, async () => {
    const { daemon, devices } = room(2);
    const [here, there] = devices;
    await settle(daemon, devices);
    here.tap(1);
    here.advance();
    there.tap(0);
    there.advance();
    assert.deepEqual([daemon.session.config.speed, here.shown], [0, 1]);
    daemon.flush(devices);
    for (const step of steps) {
      here[step]();
      await tick();
    }
    assert.deepEqual([here.shown, here.field.busy], [0, false]);
    await settle(daemon, devices);
    assert.deepEqual([here.shown, there.shown, daemon.session.config.speed], [0, 0, 0]);
  });

test("the host changes its data while a second tap waits: the tap is sent", async () => {
  const { daemon, devices } = room(1);
  const [device] = devices;
  await settle(daemon, devices);
  device.tap(1);
  device.tap(2);
  device.advance();
  daemon.write({ data: 7, config: daemon.session.config });
  daemon.flush(devices);
  device.hear();
  assert.equal(device.shown, 2);
  await settle(daemon, devices);
  assert.deepEqual([device.viewer.session.data, device.shown, daemon.session.config.speed], [7, 2, 2]);
});
