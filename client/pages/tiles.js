// Config fields as tiles: each shown according to its kind, in a box whose size never depends on the value.

import { createSparkline } from "./chart.js";
import { flash, h, readable, setText } from "./dom.js";
import { kindOf } from "./kind.js";
import { createTree, imageOf } from "./tree.js";

/** @typedef {import("./kind.js").Kind} Kind */
/** @typedef {{ type?: string, min?: number, max?: number, step?: number, options?: unknown[], label?: string }} Field */
/** @typedef {{ element: HTMLElement, update(value: any): void }} View */

/**
 * @param {HTMLElement} list
 * @returns {{ update(config: Record<string, unknown>): void, declare(fields: Record<string, Field>): void }}
 */
export function createTiles(list) {
  /** @type {Map<string, ReturnType<typeof createTile>>} */
  let tiles = new Map();
  /** @type {Record<string, Field>} */
  let declared = {};
  return {
    update(config) {
      const kept = new Map();
      let place = list.firstElementChild;
      for (const [name, value] of Object.entries(config)) {
        const tile = tiles.get(name) ?? createTile(name, declared[name]);
        tiles.delete(name);
        kept.set(name, tile);
        tile.update(value);
        if (tile.element === place) place = place.nextElementSibling;
        else list.insertBefore(tile.element, place);
      }
      for (const tile of tiles.values()) tile.element.remove();
      tiles = kept;
    },
    declare(fields) {
      declared = fields;
      for (const [name, tile] of tiles) tile.declare(fields[name]);
    },
  };
}

/**
 * @param {string} name
 * @param {Field | undefined} field
 */
function createTile(name, field) {
  const label = h("span", { class: "tile-name" }, field?.label ?? name);
  const element = h("li", { class: "tile card" }, label);
  /** @type {string | undefined} */
  let kind;
  /** @type {View | undefined} */
  let face;
  /** @type {any} */
  let latest;

  /** @param {any} value */
  function update(value) {
    const next = field?.options ? "options" : kindOf(value);
    if (!face || next !== kind) {
      kind = next;
      face = faceOf(kind, field);
      element.dataset.kind = kind;
      element.dataset.wide = String(["array", "object", "table", "numbers", "points"].includes(kind));
      element.replaceChildren(label, face.element);
    } else if (value !== latest && (value === null || typeof value !== "object")) {
      flash(face.element.querySelector(".tile-text") ?? element);
    }
    latest = value;
    face.update(value);
  }

  return {
    element,
    update,
    /** @param {Field | undefined} next */
    declare(next) {
      field = next;
      setText(label, field?.label ?? name);
      update(latest);
    },
  };
}

/** @param {string} kind @param {Field | undefined} field @returns {View} */
function faceOf(kind, field) {
  if (kind === "options") return choicesFace(field?.options ?? []);
  if (kind === "number") return numberFace();
  if (kind === "boolean") return switchFace();
  if (kind === "color") return colorFace();
  if (kind === "image") return imageFace();
  if (kind === "string" || kind === "null") return textFace();
  return createTree();
}

/** @returns {{ element: HTMLElement, value: HTMLElement }} a value with something beneath it */
function frame(/** @type {(Node)[]} */ ...beneath) {
  const value = h("span", { class: "tile-text" });
  const element = h("div", { class: "face" }, h("div", { class: "tile-value" }, value), ...beneath);
  return { element, value };
}

/** @returns {View} */
function numberFace() {
  const spark = createSparkline();
  const { element, value } = frame(spark.element);
  /** @type {number | undefined} */
  let latest;
  return {
    element,
    update(number) {
      if (number === latest) return;
      latest = number;
      setText(value, readable(number));
      value.title = String(number);
      spark.push(number);
    },
  };
}

/** @returns {View} */
function switchFace() {
  const drawing = h("span", { class: "switch", "aria-hidden": "true" });
  const { element, value } = frame(drawing);
  return {
    element,
    update(on) {
      drawing.dataset.on = String(on);
      setText(value, on ? "on" : "off");
    },
  };
}

/** @returns {View} */
function colorFace() {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  const { element, value } = frame(swatch);
  value.classList.add("mono");
  return {
    element,
    update(color) {
      swatch.style.backgroundColor = color;
      setText(value, color);
    },
  };
}

/** @returns {View} */
function imageFace() {
  const element = h("div", { class: "face" });
  let latest = "";
  return {
    element,
    update(url) {
      if (url === latest) return;
      latest = url;
      element.replaceChildren(imageOf(url));
    },
  };
}

/** @returns {View} */
function textFace() {
  const { element, value } = frame();
  value.classList.add("several");
  return {
    element,
    update(text) {
      const shown = text === null ? "null" : String(text);
      setText(value, shown.slice(0, 400));
      value.title = shown.slice(0, 400);
    },
  };
}

/** @param {unknown[]} options @returns {View} the chosen option among all of them */
function choicesFace(options) {
  const items = options.map((option) => h("li", {}, String(option)));
  const { element, value } = frame(h("ul", { class: "choices", "aria-hidden": "true" }, ...items));
  return {
    element,
    update(chosen) {
      setText(value, typeof chosen === "object" ? JSON.stringify(chosen) : String(chosen));
      items.forEach((item, i) => (item.dataset.chosen = String(options[i] === chosen)));
    },
  };
}
