// Arrays of flat objects as a table, one page of rows at a time.

import { counted, flash, h, setText } from "./dom.js";
import { columnsOf, isContainer, kindOf } from "./kind.js";
import { fillScalar } from "./tree.js";

const PAGE = 20;

/** @typedef {{ cell: HTMLTableCellElement, value: any }} Cell */

/** @returns {{ element: HTMLElement, update(rows: any[]): void }} */
export function createTable() {
  const head = h("tr");
  const body = h("tbody");
  const table = h("table", {}, h("thead", {}, head), body);
  const scroll = h("div", { class: "table-scroll", role: "region", tabindex: 0, "aria-label": "table" }, table);
  const pager = createPager((page) => show(page));
  /** @type {any[]} */
  let rows = [];
  /** @type {Cell[][]} */
  let cells = [];
  let shape = "";

  /** @param {number} page */
  function show(page) {
    const columns = columnsOf(rows);
    const from = page * PAGE;
    const count = Math.min(PAGE, rows.length - from);
    const nextShape = JSON.stringify([columns, from, count]);
    if (nextShape !== shape) {
      shape = nextShape;
      rebuild(columns, from, count);
    }
    cells.forEach((line, i) => line.forEach((cell, j) => fillCell(cell, rows[from + i]?.[columns.shown[j]])));
  }

  /** @param {{ shown: string[], more: number }} columns @param {number} from @param {number} count */
  function rebuild(columns, from, count) {
    const more = columns.more > 0 ? [h("th", { class: "soft" }, `and ${columns.more} more`)] : [];
    head.replaceChildren(h("th", { scope: "col", class: "soft" }, "#"), ...columns.shown.map((key) => h("th", { scope: "col" }, key)), ...more);
    cells = [];
    body.replaceChildren();
    for (let i = 0; i < count; i += 1) {
      const line = columns.shown.map(() => ({ cell: h("td"), value: unset }));
      cells.push(line);
      body.append(h("tr", {}, h("td", { class: "soft mono" }, String(from + i)), ...line.map(({ cell }) => cell)));
    }
  }

  return {
    element: h("div", { class: "table" }, scroll, pager.element),
    update(next) {
      rows = next;
      show(pager.fit(Math.ceil(rows.length / PAGE), rows.length));
    },
  };
}

const unset = Symbol("never filled");

/** @param {Cell} cell @param {any} value */
function fillCell(cell, value) {
  if (value === cell.value) return;
  const first = cell.value === unset;
  cell.value = value;
  if (value === undefined) cell.cell.textContent = "";
  else if (isContainer(value)) setText(cell.cell, JSON.stringify(value).slice(0, 80));
  else fillScalar(cell.cell, value, kindOf(value));
  if (!first) flash(cell.cell);
}

/** @param {(page: number) => void} onPage */
function createPager(onPage) {
  const label = h("span", { class: "soft" });
  const back = h("button", { type: "button", "aria-label": "previous rows" }, "‹");
  const on = h("button", { type: "button", "aria-label": "next rows" }, "›");
  const element = h("div", { class: "pager" }, back, label, on);
  let page = 0;
  let pages = 1;
  let total = 0;

  /** @param {number} to */
  function turn(to) {
    page = Math.max(0, Math.min(pages - 1, to));
    setText(label, `${page * PAGE + 1}–${Math.min(total, (page + 1) * PAGE)} of ${counted(total, "row")}`);
    back.disabled = page === 0;
    on.disabled = page === pages - 1;
    return page;
  }

  back.addEventListener("click", () => onPage(turn(page - 1)));
  on.addEventListener("click", () => onPage(turn(page + 1)));
  return {
    element,
    /** @param {number} count @param {number} rows @returns {number} the page that is now shown */
    fit(count, rows) {
      pages = Math.max(1, count);
      total = rows;
      element.hidden = pages === 1;
      return turn(page);
    },
  };
}
