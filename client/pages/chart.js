// Line charts and sparklines: SVG stretched to its box, so drawing needs no measuring and resizing needs no redrawing.

import { counted, h, readable, setText, svg } from "./dom.js";

/** @typedef {{ x: number, y: number }} Point */

const WIDTH = 600;
const HEIGHT = 160;
const RECENT = 48;

/** @param {number[]} numbers @returns {Point[]} */
export function pointsOf(numbers) {
  return numbers.map((y, x) => ({ x, y }));
}

/**
 * The smallest and the largest value; a loop, because spreading a long array overflows the stack.
 * @template T
 * @param {T[]} items
 * @param {(item: T) => number} value
 */
export function extent(items, value) {
  let low = Infinity;
  let high = -Infinity;
  for (const item of items) {
    const number = value(item);
    if (number < low) low = number;
    if (number > high) high = number;
  }
  return { low, high };
}

/**
 * Keeps the first, lowest, highest and last point of each column: a long line looks the same with far fewer points.
 * @param {Point[]} points
 * @param {number} columns
 * @returns {Point[]}
 */
export function thin(points, columns) {
  if (points.length <= columns * 4) return points;
  const kept = [];
  for (let column = 0; column < columns; column += 1) {
    const from = Math.floor((column * points.length) / columns);
    const to = Math.floor(((column + 1) * points.length) / columns);
    let low = from;
    let high = from;
    for (let i = from; i < to; i += 1) {
      if (points[i].y < points[low].y) low = i;
      if (points[i].y > points[high].y) high = i;
    }
    for (const i of [...new Set([from, low, high, to - 1])].sort((a, b) => a - b)) kept.push(points[i]);
  }
  return kept;
}

/**
 * The `d` of a path through the points, filling the box; a flat line runs through the middle.
 * @param {Point[]} points
 * @param {number} width
 * @param {number} height
 * @param {number} [margin] space above and below, so that the stroke is not clipped
 */
export function linePath(points, width, height, margin = 4) {
  if (points.length === 0) return "";
  const xs = extent(points, (point) => point.x);
  const ys = extent(points, (point) => point.y);
  const place = (/** @type {number} */ value, /** @type {{low: number, high: number}} */ range, /** @type {number} */ size) =>
    range.high > range.low ? ((value - range.low) / (range.high - range.low)) * size : size / 2;
  return thin(points, width / 2)
    .map((point, i) => {
      const x = place(point.x, xs, width);
      const y = height - margin - place(point.y, ys, height - 2 * margin);
      return `${i === 0 ? "M" : "L"}${x.toFixed(1)} ${y.toFixed(1)}`;
    })
    .join("");
}

/** Whether the line only runs to the right, so that there is an area beneath it. @param {Point[]} points */
function isSorted(points) {
  return points.every((point, i) => i === 0 || point.x >= points[i - 1].x);
}

/**
 * A line chart with its range written beside it.
 * @returns {{ element: HTMLElement, update(points: Point[]): void }}
 */
export function createChart() {
  const line = svg("path", { class: "chart-line" });
  const area = svg("path", { class: "chart-area" });
  const zero = svg("path", { class: "chart-zero" });
  const drawing = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, area, zero, line);
  const high = h("span", { class: "chart-high mono" });
  const low = h("span", { class: "chart-low mono" });
  const element = h("figure", { class: "chart" }, drawing, high, low);
  return {
    element,
    update(points) {
      const range = extent(points, (point) => point.y);
      const path = linePath(points, WIDTH, HEIGHT);
      line.setAttribute("d", path);
      area.setAttribute("d", isSorted(points) ? `${path}L${WIDTH} ${HEIGHT}L0 ${HEIGHT}Z` : "");
      const crosses = range.low < 0 && range.high > 0;
      const y = HEIGHT - 4 - (-range.low / (range.high - range.low)) * (HEIGHT - 8);
      zero.setAttribute("d", crosses ? `M0 ${y.toFixed(1)}H${WIDTH}` : "");
      setText(high, readable(range.high));
      setText(low, readable(range.low));
      const said = `line chart of ${counted(points.length, "point")}, from ${readable(range.low)} to ${readable(range.high)}`;
      drawing.setAttribute("aria-label", said);
    },
  };
}

/**
 * The recent values of one number. Decoration: the number itself stands beside it.
 * @returns {{ element: SVGElement, push(value: number): void }}
 */
export function createSparkline() {
  const line = svg("path", { class: "chart-line" });
  const element = svg("svg", { class: "sparkline", viewBox: "0 0 120 32", preserveAspectRatio: "none", "aria-hidden": "true" }, line);
  /** @type {number[]} */
  const recent = [];
  return {
    element,
    push(value) {
      recent.push(value);
      if (recent.length > RECENT) recent.shift();
      const values = recent.length === 1 ? [value, value] : recent;
      line.setAttribute("d", linePath(pointsOf(values), 120, 32, 3));
    },
  };
}
