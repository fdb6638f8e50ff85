// The check of a phone's connection: tries everything that watching needs, one thing after the other. If
// the host asked for it (`onlooker doctor`), both ends show the same report.

import { connect } from "../onlooker.js";
import { byId, h, setText } from "./dom.js";
import { probes } from "./probes.js";

/** @typedef {import("./probes.js").Line} Line */

const query = new URLSearchParams(location.search);
const topic = query.get("topic") ?? "";
const token = new URLSearchParams(location.hash.slice(1)).get("t") ?? "";
const isReported = "reported" in document.body.dataset;

/** A new one for each time that it is tried: then the host keeps what was found before. */
const id = Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => byte.toString(36)).join("-");

const again = byId("again", HTMLButtonElement);
again.addEventListener("click", check);

setText(byId("place"), `from this device to ${location.host}`);
check();
if (isReported) showReport();
else offerPage();

/** Tries everything, and shows and reports each finding at once. */
async function check() {
  again.hidden = true;
  setVerdict("running", "Checking…");
  const all = probes({ topic, token });
  const rows = all.map(({ check: name }) => h("li", { class: "line", "data-verdict": "waiting" }, h("p", { class: "line-name" }, name)));
  byId("phone").replaceChildren(...rows);
  /** @type {Line[]} */
  const lines = [];
  for (const [at, { check: name, probe }] of all.entries()) {
    rows[at].dataset.verdict = "running";
    const line = { check: name, ...(await probe().catch(untried)) };
    lines.push(line);
    rows[at].replaceWith(row(line));
    await report(lines, lines.length === all.length);
  }
  conclude(lines);
  again.hidden = false;
}

/** What an older browser does not know says nothing about the connection. @param {unknown} error @returns {import("./probes.js").Finding} */
function untried(error) {
  return { verdict: "note", found: `could not be tried: ${error}`, wayOut: "Try another browser, or update this one." };
}

/** @param {Line[]} lines */
function conclude(lines) {
  const count = lines.filter(({ verdict }) => verdict === "wrong").length;
  const notes = lines.filter(({ verdict }) => verdict === "note").length;
  if (count > 0) setVerdict("wrong", count === 1 ? "One thing is wrong" : `${count} things are wrong`);
  else setVerdict("good", notes > 0 ? "It works; see the notes" : "Everything works");
}

/** @param {string} verdict @param {string} text */
function setVerdict(verdict, text) {
  const title = byId("verdict");
  title.dataset.verdict = verdict;
  setText(title, text);
}

/** @param {Line} line */
function row({ check: name, verdict, found, wayOut, command }) {
  return h("li", { class: "line", "data-verdict": verdict, "data-check": name },
    h("p", { class: "line-name" }, name, h("span", { class: "visually-hidden" }, `: ${verdict}`)),
    h("p", { class: "line-found" }, ...unbroken(found)),
    ...(wayOut ? [h("p", { class: "line-way" }, ...unbroken(wayOut))] : []),
    ...(command ? [h("code", {}, command)] : []));
}

/** Flags are not broken at their hyphens. @param {string} sentence */
function unbroken(sentence) {
  return sentence.split(/(--[a-z-]+)/).map((part, at) => (at % 2 ? h("span", { class: "flag" }, part) : part));
}

/**
 * Tells the host what was found so far. If that fails, the lines here still say why.
 * @param {Line[]} lines
 * @param {boolean} done
 */
async function report(lines, done) {
  if (!isReported) return;
  /** @type {Record<string, string>} */
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  // The host has ways out of its own.
  const told = lines.map(({ check, verdict, found }) => ({ check, verdict, found }));
  const body = JSON.stringify({ id, lines: told, done });
  await fetch("/check", { method: "POST", headers, body, signal: AbortSignal.timeout?.(4_000) }).catch(() => null);
}

/** Shows the host's half and the other phones', as the host has them. */
function showReport() {
  const viewer = connect(location.origin, { topic, token });
  viewer.subscribe(() => {
    const { host, phones } = viewer.session?.data ?? {};
    if (!Array.isArray(host) || !Array.isArray(phones)) return;
    byId("host-section").hidden = false;
    byId("host").replaceChildren(...host.map(row));
    const others = phones.filter((phone) => phone.id !== id);
    byId("others").replaceChildren(...others.map(({ device, lines }) => h("section", {}, h("h2", {}, device), h("ol", { class: "card lines" }, ...lines.map(row)))));
  });
}

/** On an ordinary daemon, there is something to see besides. */
function offerPage() {
  const link = byId("open", HTMLAnchorElement);
  link.href = `/${location.search}${location.hash}`;
  link.hidden = false;
}
