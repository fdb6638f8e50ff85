// Small helpers that every page uses. Text enters the document only as text nodes.

/**
 * Makes an element. Strings among the children become text nodes: nothing that a host sends is parsed as markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number | boolean | null | undefined>} [attributes] `null`, `undefined` and `false` are left out
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children);
  return element;
}

/**
 * The same for SVG.
 * @template {keyof SVGElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | number>} attributes
 * @param {...Node} children
 * @returns {SVGElementTagNameMap[K]}
 */
export function svg(tag, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  element.append(...children);
  return element;
}

/**
 * The element with this id, which the page must have.
 * @template {typeof HTMLElement} [T=typeof HTMLElement]
 * @param {string} id
 * @param {T} [type]
 * @returns {InstanceType<T>}
 */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof (type ?? HTMLElement))) throw new Error(`the page has no #${id}`);
  return /** @type {InstanceType<T>} */ (element);
}

/**
 * Sets the text only if it differs, so that unchanged parts cause no layout.
 * @param {Node} node
 * @param {string} text
 * @returns {boolean} whether it changed
 */
export function setText(node, text) {
  if (node.textContent === text) return false;
  node.textContent = text;
  return true;
}

/** @param {string} text @returns {any} null for what is not JSON */
export function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/**
 * What this tab keeps under a name, across reloads.
 * @param {string} name
 * @returns {string | null} null too where browsers let pages keep nothing
 */
export function recall(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @param {string} text */
export function remember(name, text) {
  try {
    sessionStorage.setItem(name, text);
  } catch {
    // It is then forgotten with this page.
  }
}

const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/**
 * Highlights a changed value for a moment; without fading if the user prefers reduced motion.
 * @param {Element} element
 */
export function flash(element) {
  element.animate([{ backgroundColor: "var(--flash)" }, { backgroundColor: "transparent" }], {
    duration: 1600,
    easing: calm() ? "steps(1, end)" : "ease-out",
  });
}

/**
 * Runs a task once in the next frame, however often it was requested.
 * @param {() => void} task
 * @returns {() => void}
 */
export function oncePerFrame(task) {
  let asked = false;
  return () => {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      task();
    });
  };
}

/**
 * A number for people: at most seven significant digits, so that 0.30000000000000004 is 0.3.
 * @param {number} value
 */
export function readable(value) {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
}

/**
 * @param {number} count
 * @param {string} one
 * @param {string} [many]
 */
export function counted(count, one, many = `${one}s`) {
  return `${count.toLocaleString("en")} ${count === 1 ? one : many}`;
}

/** The hour and minute, such as 14:03. @param {number | Date} time */
export function clock(time) {
  return new Date(time).toLocaleTimeString("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
}

/** The exact moment, for those who point at an age. @param {number} time */
export function instant(time) {
  return new Date(time).toLocaleString("en", { dateStyle: "long", timeStyle: "medium", hourCycle: "h23" });
}

/** @param {number} bytes */
export function bytesText(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1e6) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

/** @param {number} ms */
export function durationText(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}
