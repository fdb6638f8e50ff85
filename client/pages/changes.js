// What became of the latest changes of a topic, one sentence each.

import { createOrder } from "./api.js";
import { counted, durationText, h, setText } from "./dom.js";

/** So many are shown. */
const SHOWN = 8;
/** However often it is asked for, the list is fetched once in this time. */
const SOON = 200;

/** @typedef {{ agoMs: number, source: string, sourceId?: string, fields: string[], more?: number, changes: number, verdict: string, detail?: string, revision?: string, viewers?: number, behind?: number }} Change */

/**
 * @param {HTMLElement} list
 * @param {HTMLElement} nothing what is shown instead of an empty list
 * @param {string} ownId how this panel identifies itself as a writer
 * @param {() => Promise<import("./api.js").Answer | null>} fetchChanges null: not what is to be shown any more
 * @returns {() => void} shows what became of the changes by now
 */
export function createChanges(list, nothing, ownId, fetchChanges) {
  /** @type {ReturnType<typeof createLine>[]} */
  const lines = [];
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  let soon;
  const order = createOrder();

  async function refresh() {
    soon = undefined;
    const turn = order.ask();
    const answer = await fetchChanges();
    if (!answer || !order.take(turn)) return;
    if (answer.ok) show(answer.body);
    else if (answer.status === 404) show([]);
  }

  /** @param {Change[]} changes newest first */
  function show(changes) {
    const shown = changes.slice(0, SHOWN);
    nothing.hidden = shown.length > 0;
    while (lines.length < shown.length) {
      const line = createLine();
      lines.push(line);
      list.append(line.element);
    }
    for (const line of lines.splice(shown.length)) line.element.remove();
    shown.forEach((change, at) => lines[at].update(change, ownId));
  }

  return () => void (soon ??= setTimeout(refresh, SOON));
}

function createLine() {
  const [what, from, outcome, ago] = ["what", "from", "outcome", "ago"].map((name) => h("span", { class: name }));
  const element = h("li", { class: "change" }, what, " from ", from, " · ", outcome, " · ", ago);
  return {
    element,
    /** @param {Change} change @param {string} ownId */
    update(change, ownId) {
      element.dataset.verdict = change.verdict;
      element.dataset.behind = String((change.behind ?? 0) > 0);
      element.title = change.revision ? `revision ${change.revision}` : "";
      setText(what, whatText(change));
      setText(from, change.sourceId === ownId ? "this panel" : change.source);
      setText(outcome, outcomeText(change));
      setText(ago, agoText(change.agoMs));
    },
  };
}

/** Such as "speed, gain 5 times". @param {Change} change */
function whatText({ fields, more, changes }) {
  const whole = fields.length === 1 && fields[0] === "session";
  const names = whole ? "whole session" : fields.join(", ") || "a change";
  return `${names}${more ? ` and ${more} more` : ""}${changes > 1 ? ` ${counted(changes, "time")}` : ""}`;
}

/** @param {Change} change */
function outcomeText({ verdict, detail, viewers, behind }) {
  switch (verdict) {
    case "sent": {
      const sent = viewers ? `sent to ${counted(viewers, "viewer")}${behind ? `, ${behind} behind` : ""}` : "sent, but nobody watches";
      return detail ? `${sent}; ${detail}` : sent;
    }
    case "waiting":
      return `waiting ${detail}`;
    case "unchanged":
      return "nothing differs";
    default:
      return detail ? `${verdict}: ${detail}` : verdict;
  }
}

/** @param {number} ms */
function agoText(ms) {
  return ms < 2_000 ? "just now" : `${durationText(ms)} ago`;
}
