// The best way to show a JSON value. Pure, and cheap even for values of many megabytes.

/** @typedef {"null" | "boolean" | "number" | "string" | "color" | "image" | "numbers" | "points" | "table" | "array" | "object"} Kind */

const SAMPLE = 200;
const COLUMNS = 12;

/**
 * @param {any} value
 * @returns {Kind}
 */
export function kindOf(value) {
  if (value === null || value === undefined) return "null";
  if (typeof value === "boolean" || typeof value === "number") return /** @type {Kind} */ (typeof value);
  if (typeof value === "string") return kindOfText(value);
  if (!Array.isArray(value)) return "object";
  if (value.length >= 3 && value.every((item) => typeof item === "number")) return "numbers";
  if (value.length >= 3 && value.every(isPoint)) return "points";
  if (value.length >= 2 && value.slice(0, SAMPLE).every(isFlat)) return "table";
  return "array";
}

/** @param {string} text @returns {Kind} */
function kindOfText(text) {
  if (/^#([0-9a-f]{3}|[0-9a-f]{6}|[0-9a-f]{8})$/i.test(text)) return "color";
  const head = text.slice(0, 2000);
  if (/^data:image\/(png|jpeg|gif|webp|avif|bmp|svg\+xml)[;,]/i.test(head)) return "image";
  if (/^https?:\/\/\S+\.(png|jpe?g|gif|webp|avif|svg|bmp)([?#]\S*)?$/i.test(head)) return "image";
  return "string";
}

/** @param {any} value */
export function isContainer(value) {
  return value !== null && typeof value === "object";
}

/** @param {any} item */
function isPoint(item) {
  return isContainer(item) && typeof item.x === "number" && typeof item.y === "number" && Object.keys(item).length === 2;
}

/** Whether it is an object with at least one member and nothing nested. @param {any} item */
function isFlat(item) {
  if (!isContainer(item) || Array.isArray(item)) return false;
  const values = Object.values(item);
  return values.length > 0 && !values.some(isContainer);
}

/**
 * The columns of a table: the keys of its first rows, in order of appearance.
 * @param {Record<string, unknown>[]} rows
 * @returns {{ shown: string[], more: number }}
 */
export function columnsOf(rows) {
  const keys = new Set(rows.slice(0, SAMPLE).flatMap((row) => Object.keys(row ?? {})));
  return { shown: [...keys].slice(0, COLUMNS), more: Math.max(0, keys.size - COLUMNS) };
}

/**
 * Whether two JSON values are the same, within a budget of comparisons. Out of budget the answer is yes, since it
 * decides only whether to highlight something collapsed.
 * @param {any} a
 * @param {any} b
 * @param {{ left: number }} [budget]
 * @returns {boolean}
 */
export function same(a, b, budget = { left: 5_000 }) {
  if (a === b || budget.left <= 0) return true;
  budget.left -= 1;
  if (!isContainer(a) || !isContainer(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && same(a[key], b[key], budget));
}
