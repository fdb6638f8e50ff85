// Any JSON value as a collapsible tree. Nothing collapsed is built, long lists are grouped into ranges of a hundred,
// and an update touches only what is open: so the cost depends on what is on the screen, not on the size of the session.

import { createChart, pointsOf } from "./chart.js";
import { counted, flash, h, setText } from "./dom.js";
import { isContainer, kindOf, same } from "./kind.js";
import { createTable } from "./table.js";

/** @typedef {import("./kind.js").Kind} Kind */
/** @typedef {{ element: HTMLElement, update(value: any): void }} View */
/** @typedef {{ size: number, key(i: number): string, value(i: number): any }} Entries */

const RANGE = 100;
const OPEN_ENTRIES = 24;
const OPEN_DEPTH = 3;
const LONG_TEXT = 72;
const FULL_TEXT = 20_000;

/**
 * The view of a whole value, without a key of its own: a session's data.
 * @returns {View}
 */
export function createTree() {
  const element = h("div", { class: "tree" });
  /** @type {Kind | undefined} */
  let kind;
  /** @type {View | undefined} */
  let body;
  return {
    element,
    update(value) {
      const next = kindOf(value);
      if (next !== kind) {
        kind = next;
        body = createBody(next, 0);
        element.replaceChildren(body.element);
      }
      body?.update(value);
    },
  };
}

/**
 * What is under a key: a list of entries, or a picture of them with the list behind it.
 * @param {Kind} kind
 * @param {number} depth
 * @returns {View}
 */
function createBody(kind, depth) {
  if (kind === "numbers") return withValues(createChart(), pointsOf, depth);
  if (kind === "points") return withValues(createChart(), (points) => points, depth);
  if (kind === "table") return withValues(createTable(), (rows) => rows, depth);
  if (kind === "array" || kind === "object") return createEntries(depth);
  return createScalar(kind);
}

/**
 * A chart or table, with its individual values for those who want to read them.
 * @param {{ element: HTMLElement, update(value: any): void }} picture
 * @param {(value: any) => any} shape
 * @param {number} depth
 * @returns {View}
 */
function withValues(picture, shape, depth) {
  const values = createFold(h("span", { class: "fold-values" }, "values"), () => createEntries(depth + 1), false);
  return {
    element: h("div", { class: "picture" }, picture.element, values.element),
    update(value) {
      picture.update(shape(value));
      values.update(value);
    },
  };
}

/**
 * A fold whose body is built when it is first opened.
 * @param {Node} label
 * @param {() => View} makeBody
 * @param {boolean} open
 * @returns {View & { isOpen(): boolean }}
 */
function createFold(label, makeBody, open) {
  const element = h("details", { class: "fold", open }, h("summary", {}, label));
  /** @type {View | undefined} */
  let body;
  /** @type {any} */
  let latest;
  const show = () => {
    if (!element.open) return;
    if (!body) {
      body = makeBody();
      element.append(body.element);
    }
    body.update(latest);
  };
  element.addEventListener("toggle", show);
  return {
    element,
    isOpen: () => element.open,
    update(value) {
      latest = value;
      show();
    },
  };
}

/**
 * The entries of an object or array.
 * @param {number} depth
 * @returns {View}
 */
function createEntries(depth) {
  const list = createRange(depth);
  const empty = h("p", { class: "soft empty" }, "empty");
  return {
    element: h("div", {}, empty, list.element),
    update(value) {
      const entries = entriesOf(value);
      empty.hidden = entries.size > 0;
      list.update(entries, 0, entries.size);
    },
  };
}

/** @param {any} value @returns {Entries} */
function entriesOf(value) {
  if (Array.isArray(value)) return { size: value.length, key: String, value: (i) => value[i] };
  const keys = Object.keys(value);
  return { size: keys.length, key: (i) => keys[i], value: (i) => value[keys[i]] };
}

/**
 * How many entries each part of a range covers: 1 if they fit on a page, otherwise the smallest power of a hundred that makes them fit.
 * @param {number} count
 */
export function rangeStep(count) {
  let step = 1;
  while (count / step > RANGE) step *= RANGE;
  return step;
}

/**
 * Entries `from` up to `to`: one row each, or folded ranges when there are too many.
 * @param {number} depth
 */
function createRange(depth) {
  const element = h("ul", { class: "entries" });
  /** @type {Map<string, { element: HTMLElement, update(entries: Entries, from: number, to: number): void }>} */
  let rows = new Map();
  let first = true;
  return {
    element,
    /** @param {Entries} entries @param {number} from @param {number} to */
    update(entries, from, to) {
      const step = rangeStep(to - from);
      const kept = new Map();
      let place = element.firstElementChild;
      for (let start = from; start < to; start += step) {
        const end = Math.min(start + step, to);
        const name = step === 1 ? `=${entries.key(start)}` : `${start}+${step}`;
        let row = rows.get(name);
        const isNew = !row;
        row ??= step === 1 ? createRow(entries.key(start), depth) : createRangeRow(depth);
        kept.set(name, row);
        rows.delete(name);
        row.update(entries, start, end);
        if (row.element === place) place = place.nextElementSibling;
        else element.insertBefore(row.element, place);
        if (isNew && !first) flash(row.element);
      }
      for (const row of rows.values()) row.element.remove();
      rows = kept;
      first = false;
    },
  };
}

/** A fold over part of a long list. @param {number} depth */
function createRangeRow(depth) {
  const label = h("span", { class: "key mono" });
  /** @type {{ entries: Entries, from: number, to: number }} */
  let latest;
  const fold = createFold(label, () => rangeView(createRange(depth)), false);
  return {
    element: h("li", {}, fold.element),
    /** @param {Entries} entries @param {number} from @param {number} to */
    update(entries, from, to) {
      latest = { entries, from, to };
      setText(label, `${from} … ${to - 1}`);
      fold.update(latest);
    },
  };
}

/** @param {ReturnType<typeof createRange>} range @returns {View} */
function rangeView(range) {
  return { element: range.element, update: (at) => range.update(at.entries, at.from, at.to) };
}

/**
 * One key and its value.
 * @param {string} key
 * @param {number} depth
 */
function createRow(key, depth) {
  const element = h("li", {});
  /** @type {Kind | undefined} */
  let kind;
  /** @type {View | undefined} */
  let view;
  return {
    element,
    /** @param {Entries} entries @param {number} at */
    update(entries, at) {
      const value = entries.value(at);
      const next = kindOf(value);
      if (!view || (next !== kind && (isContainer(value) || isFolded(kind)))) {
        const changed = view !== undefined;
        view = isContainer(value) ? createContainerRow(key, next, value, depth) : createScalarRow(key);
        element.replaceChildren(view.element);
        if (changed) flash(element);
      }
      kind = next;
      view.update(value);
    },
  };
}

/** @param {Kind | undefined} kind */
function isFolded(kind) {
  return kind === "array" || kind === "object" || kind === "table" || kind === "numbers" || kind === "points";
}

/**
 * A key whose value can be expanded. Small values near the top start open, so that most sessions are readable at a glance.
 * @param {string} key
 * @param {Kind} kind
 * @param {any} value
 * @param {number} depth
 * @returns {View}
 */
function createContainerRow(key, kind, value, depth) {
  const size = sizeOf(value);
  const pictured = kind !== "array" && kind !== "object";
  const open = size > 0 && depth < OPEN_DEPTH - 1 && (pictured || size <= OPEN_ENTRIES);
  const gist = h("span", { class: "gist soft" });
  const fold = createFold(h("span", { class: "row" }, h("span", { class: "key" }, key), gist), () => createBody(kind, depth + 1), open);
  /** @type {any} */
  let latest;
  return {
    element: fold.element,
    update(next) {
      setText(gist, gistOf(next));
      if (latest !== undefined && !fold.isOpen() && !same(latest, next)) flash(gist);
      latest = next;
      fold.update(next);
    },
  };
}

/** The summary of a collapsed value. @param {any} value */
function gistOf(value) {
  return counted(sizeOf(value), Array.isArray(value) ? "item" : "key");
}

/** How many entries a value has. @param {any} value */
function sizeOf(value) {
  return Array.isArray(value) ? value.length : Object.keys(value).length;
}

/** @param {string} key @returns {View} */
function createScalarRow(key) {
  const scalar = createScalar();
  return {
    element: h("div", { class: "row" }, h("span", { class: "key" }, key), scalar.element),
    update: scalar.update,
  };
}

/**
 * A single value; it flashes when its value changes, and is redrawn when its kind does.
 * @param {Kind} [kind]
 * @returns {View}
 */
function createScalar(kind) {
  const element = h("span", { class: "value" });
  /** @type {any} */
  let latest;
  let first = true;
  return {
    element,
    update(value) {
      if (!first && value === latest) return;
      if (!first) flash(element);
      fillScalar(element, value, kindOf(value));
      first = false;
      latest = value;
    },
  };
}

/**
 * @param {HTMLElement} element
 * @param {any} value
 * @param {Kind} kind
 */
export function fillScalar(element, value, kind) {
  element.dataset.kind = kind;
  if (kind === "image") return element.replaceChildren(imageOf(value));
  if (kind === "color") return element.replaceChildren(swatchOf(value), value);
  if (kind === "string" && value.length > LONG_TEXT) return element.replaceChildren(longText(value));
  setText(element, value === "" ? "“”" : String(value));
}

/** An image in a box of fixed height, so that one that loads late moves nothing. @param {string} url */
export function imageOf(url) {
  const name = url.startsWith("data:") ? "image in the session" : url;
  const image = h("img", { src: url, alt: name, decoding: "async", loading: "lazy", referrerpolicy: "no-referrer" });
  return h("span", { class: "image" }, image);
}

/** @param {string} color */
export function swatchOf(color) {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.backgroundColor = color;
  return swatch;
}

/** @param {string} text */
function longText(text) {
  const short = h("span", { class: "clip" }, text.slice(0, 200));
  const whole = () => {
    const shown = text.length > FULL_TEXT ? `${text.slice(0, FULL_TEXT)}… (${counted(text.length, "character")})` : text;
    return { element: h("pre", { class: "whole" }, shown), update() {} };
  };
  return createFold(short, whole, false).element;
}
