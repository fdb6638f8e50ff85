// Credentials as NATS gives them to its users: a signed statement and the key of whom it is about.

import { generateKeyPairSync, sign } from "node:crypto";

/** What a key is for, as its first bits. */
const PREFIX = { operator: 14 << 3, account: 0, user: 20 << 3 };
const SEED = 18 << 3;

/** @typedef {keyof typeof PREFIX} Role */

/** @param {Buffer} bytes */
function base32(bytes) {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, "0")).join("");
  return (bits.match(/.{1,5}/g) ?? []).map((five) => alphabet[parseInt(five.padEnd(5, "0"), 2)]).join("");
}

/** With CRC-16/XMODEM behind them. @param {Buffer} bytes */
function checked(bytes) {
  let crc = 0;
  for (const byte of bytes) {
    crc ^= byte << 8;
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff;
  }
  return base32(Buffer.concat([bytes, Buffer.from([crc & 255, crc >> 8])]));
}

/** @param {Role} role */
function key(role) {
  const { publicKey, privateKey } = generateKeyPairSync("ed25519");
  const prefix = PREFIX[role];
  const raw = (/** @type {string | undefined} */ text) => Buffer.from(text ?? "", "base64url");
  const own = checked(Buffer.concat([Buffer.from([prefix]), raw(publicKey.export({ format: "jwk" }).x)]));
  const seed = checked(Buffer.concat([Buffer.from([SEED | (prefix >> 5), (prefix & 31) << 3]), raw(privateKey.export({ format: "jwk" }).d)]));
  return { own, seed, privateKey };
}

/** @typedef {ReturnType<typeof key>} Key */

/** @param {Key} by @param {Key} about @param {Role} type @param {object} [more] */
function statement(by, about, type, more = {}) {
  const part = (/** @type {unknown} */ value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const iat = Math.floor(Date.now() / 1000);
  const body = { jti: about.own, iat, iss: by.own, name: type, sub: about.own, nats: { ...more, type, version: 2 } };
  const said = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(body)}`;
  return `${said}.${sign(null, Buffer.from(said), by.privateKey).toString("base64url")}`;
}

/** Lines for a server that trusts an operator of its own, and the file of a user of it. */
export function credentials() {
  const [operator, system, account, user] = [key("operator"), key("account"), key("account"), key("user")];
  const limits = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const stored = { ...limits, mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const accounts = [
    `${system.own}: ${statement(operator, system, "account", { limits, default_permissions: {} })}`,
    `${account.own}: ${statement(operator, account, "account", { limits: stored, default_permissions: {} })}`,
  ];
  const lines = [`operator: ${statement(operator, operator, "operator")}`, `system_account: ${system.own}`, "resolver: MEMORY", `resolver_preload: {\n${accounts.join("\n")}\n}`];
  const token = statement(account, user, "user", { pub: {}, sub: {}, subs: -1, data: -1, payload: -1 });
  const file = `-----BEGIN NATS USER JWT-----\n${token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${user.seed}\n------END USER NKEY SEED------\n`;
  return { lines: lines.join("\n"), file, secrets: [user.seed, token] };
}
