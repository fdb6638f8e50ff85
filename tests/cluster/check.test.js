// The check itself: what it has to find in bad histories, and nothing in good ones.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import { check } from "./check.js";
import { History } from "./history.js";

const FIRST = { chain: "start", own: "start" };

/** @typedef {Partial<import("./history.js").Write>} Some */

/** Writes that come one after the other unless they say otherwise. @param {Some[]} writes */
function historyOf(writes) {
  const history = new History();
  history.writes = writes.map((write, at) => ({ writer: "w", field: "chain", value: `v${at}`, start: at * 10, end: at * 10 + 5, result: "ok", ...write }));
  return history;
}

/** @param {string} chain @param {string} [own] */
const session = (chain, own = "start") => ({ name: "Race", data: null, config: { chain, own }, metadata: {} });

/** @param {History} history @param {number} revision @param {string} chain @param {string} [own] */
const found = (history, revision, chain, own) => check(history, FIRST, { revision, session: session(chain, own) }).join("\n");

/** @param {string} value @param {string} before @param {number} match @param {number} revision @param {Some} [more] */
const set = (value, before, match, revision, more) => ({ value, before, match, revision, ...more });

describe("a good history", () => {
  it("compare-and-set, fields, and what was refused", () => {
    const history = historyOf([
      set("a", "start", 1, 2),
      { value: "no", before: "start", match: 1, result: "refused" },
      { field: "own", value: "x", revision: 3 },
      set("b", "a", 3, 4),
    ]);
    history.answered("d1", 0, 2, 5);
    history.answered("d1", 12, 3, 30);
    history.shown("v", 3, session("a", "x"), 27);
    assert.equal(found(history, 4, "b", "x"), "");
  });

  it("an unknown write that is there, and one that is not", () => {
    const history = historyOf([set("a", "start", 1, 2), { value: "b", before: "a", match: 2, result: "unknown" }, { field: "own", value: "x", result: "unknown" }, { value: "c", before: "a", match: 2, result: "unknown" }]);
    assert.equal(found(history, 5, "c"), "");
    assert.equal(found(history, 5, "c", "start"), "");
  });

  it("an unknown value that replaced an acknowledged one later, and is replaced in turn", () => {
    const history = historyOf([
      { field: "own", value: "x", result: "unknown" },
      { field: "own", value: "y", revision: 3 },
      { field: "own", value: "z", revision: 7, start: 50, end: 60 },
    ]);
    history.shown("v", 3, session("start", "y"), 20);
    history.shown("v", 5, session("start", "x"), 30);
    assert.equal(found(history, 7, "start", "z"), "");
  });

  it("writes at the same time may have their revisions in any order", () => {
    assert.equal(found(historyOf([{ field: "own", value: "x", revision: 5, end: 100 }, set("a", "start", 2, 3)]), 5, "a", "x"), "");
  });
});

describe("a bad history", () => {
  /** @param {string} title @param {RegExp} expected @param {() => string} run */
  const finds = (title, expected, run) => it(title, () => assert.match(run(), expected));

  finds("a lost update: two on one revision", /a lost update, two writes on one revision: w: chain = b/, () => found(historyOf([set("a", "start", 1, 2), set("b", "start", 1, 3)]), 3, "b"));
  finds("an acknowledged value that the chain does not lead over", /lost: w: chain = a, ok/, () => found(historyOf([set("a", "start", 1, 2), set("b", "start", 2, 3)]), 3, "b"));
  finds("an acknowledged value that is not there in the end", /lost: w: chain = b, ok/, () => found(historyOf([set("a", "start", 1, 2), set("b", "a", 2, 3)]), 4, "a"));
  finds("a field's acknowledged value that is not there", /lost: w: own = x, ok/, () => found(historyOf([{ field: "own", value: "x", revision: 2 }]), 2, "start"));
  finds("an older value in place of a newer one", /lost: w: own = y, ok/, () => {
    return found(historyOf([{ field: "own", value: "x", revision: 2 }, { field: "own", value: "y", revision: 3 }]), 4, "start", "x");
  });
  finds("an unknown value that was there before an acknowledged one, and still is", /lost: w: own = y, ok/, () => {
    const history = historyOf([{ field: "own", value: "x", result: "unknown" }, { field: "own", value: "y", revision: 3, start: 60, end: 70 }]);
    history.shown("v", 2, session("start", "x"), 50);
    return found(history, 4, "start", "x");
  });
  finds("a value twice", /a value twice: own is x again at 4/, () => {
    const history = historyOf([{ field: "own", value: "x", result: "unknown" }, { field: "own", value: "y", result: "unknown" }]);
    history.shown("v", 2, session("start", "x"), 30);
    history.shown("v", 3, session("start", "y"), 31);
    return found(history, 4, "start", "x");
  });
  finds("the first value again", /a value twice: own is start again at 3/, () => {
    const history = historyOf([{ field: "own", value: "x", result: "unknown" }]);
    history.shown("v", 2, session("start", "x"), 30);
    return found(history, 3, "start");
  });
  finds("a refused value that was written", /refused, but written: w: chain = b/, () => found(historyOf([set("a", "start", 1, 2), { value: "b", before: "a", match: 2, result: "refused" }]), 3, "b"));
  finds("a refused field that was written", /refused, but written: w: own = x/, () => found(historyOf([{ field: "own", value: "x", result: "refused" }]), 3, "start", "x"));
  finds("a value that nobody wrote", /nobody wrote own = q/, () => found(historyOf([]), 3, "start", "q"));
  finds("a value that was seen before it was written", /seen before it was written/, () => {
    const history = historyOf([{ field: "own", value: "x", result: "unknown", start: 50, end: 60 }]);
    history.shown("v", 2, session("start", "x"), 40);
    return found(history, 2, "start", "x");
  });
  finds("two writes with one revision", /two writes have one revision/, () => found(historyOf([set("a", "start", 1, 2), { field: "own", value: "x", revision: 2 }]), 2, "a", "x"));
  finds("a write on what is not older", /a revision that goes back/, () => found(historyOf([set("a", "start", 3, 2)]), 3, "a"));
  finds("a write that began after one with a greater revision", /a revision that goes back: .*own = x.* began after/, () => found(historyOf([set("a", "start", 2, 5), { field: "own", value: "x", revision: 3 }]), 5, "a", "x"));
  finds("a write that began after a greater revision was shown", /a revision that goes back: .*own = x.* began after/, () => {
    const history = historyOf([set("a", "start", 2, 5, { end: 1000 }), { field: "own", value: "x", revision: 3 }]);
    history.shown("v", 5, session("a", "x"), 8);
    return found(history, 5, "a", "x");
  });
  finds("a write that is newer than the end", /newer than the end/, () => found(historyOf([set("a", "start", 1, 9)]), 8, "a"));
  finds("a daemon that goes back", /d1 goes back: 2 after 3/, () => {
    const history = historyOf([]);
    history.answered("d1", 0, 3, 5);
    history.answered("d1", 6, 2, 8);
    return found(history, 4, "start");
  });
  finds("one revision that is two states", /revision 2 is two states/, () => {
    const history = historyOf([{ field: "own", value: "x", result: "unknown" }]);
    history.shown("v", 2, session("start", "x"), 40);
    return found(history, 2, "start");
  });
  finds("a chain that breaks", /the chain breaks at z/, () => found(historyOf([set("a", "z", 1, 2)]), 2, "a"));
});
