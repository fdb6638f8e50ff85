// Controls made from the declared fields. A control shows the host's value, except while somebody is using it.

import { h, readable, setText } from "./dom.js";
import { whyNot } from "./api.js";

/** @typedef {{ type?: string, min?: number, max?: number, step?: number, options?: unknown[], label?: string }} Field */
/** @typedef {{ kind: string, element: HTMLElement, input: HTMLElement, beside?: HTMLElement, beneath?: HTMLElement, show(value: any): void, isHeld(): boolean }} Face */
/** @typedef {(value: any) => void} Write */
/** @typedef {(field: string, value: any) => Promise<import("./api.js").Answer>} Send */

/** The least time (ms) between two writes of one control. */
const PACE = 100;

let made = 0;

/**
 * @param {HTMLElement} list
 * @param {(topic: string) => Send} sendTo
 */
export function createControls(list, sendTo) {
  /** @type {Map<string, ReturnType<typeof createControl>>} */
  const controls = new Map();
  let declared = "";
  document.addEventListener("input", (event) => markTyped(event, "true"));
  document.addEventListener("change", (event) => markTyped(event, "false"));
  addEventListener("pagehide", () => controls.forEach((control) => control.sendNow()));
  return {
    /** @param {string} topic @param {Record<string, Field>} fields */
    declare(topic, fields) {
      const next = JSON.stringify([topic, fields]);
      if (next === declared) return;
      declared = next;
      // What waits is still written, in its turn and to its own topic.
      const send = sendTo(topic);
      controls.clear();
      for (const [name, field] of Object.entries(fields)) controls.set(name, createControl(name, field, send));
      list.replaceChildren(...[...controls.values()].map((control) => control.element));
    },
    /** @param {Record<string, any>} config @param {number | null} revision */
    show(config, revision) {
      for (const [name, control] of controls) control.show(config[name], revision);
    },
  };
}

/**
 * @param {string} name
 * @param {Field} field
 * @param {Send} send
 */
function createControl(name, field, send) {
  const id = `field-${(made += 1)}`;
  const problem = h("p", { class: "problem", id: `${id}-problem`, role: "alert" });
  const writer = createWriter((value) => send(name, value), settled);
  const face = faceOf(field, (value) => writer.write(value));
  face.input.id = id;
  face.input.setAttribute("aria-describedby", problem.id);
  const parts = [h("label", { for: id }, field.label ?? name), face.beside, face.element, face.beneath, problem];
  const element = h("li", { class: "control", "data-face": face.kind, "data-field": name }, ...parts.filter((part) => part !== undefined));
  /** @type {any} */
  let truth;
  let revision = 0;

  /** @param {import("./api.js").Answer} answer */
  function settled(answer) {
    setText(problem, answer.ok ? "" : whyNot(answer));
    face.input.setAttribute("aria-invalid", String(!answer.ok));
    if (!answer.ok) face.show(truth);
    else if (revision >= writer.revision()) face.show(truth);
  }

  return {
    element,
    sendNow: writer.sendNow,
    /** @param {any} value @param {number | null} at */
    show(value, at) {
      truth = value;
      revision = at ?? Infinity;
      // Frames from before our own write would pull the control back for a moment.
      if (!writer.isBusy() && revision >= writer.revision() && !face.isHeld()) face.show(value);
    },
  };
}

/**
 * Sends the first value at once and of those that follow the newest, always the last one too: one write at a time, at
 * most ten a second, so that a slider can flood neither the host nor a slow network.
 * @param {(value: any) => Promise<import("./api.js").Answer>} send
 * @param {(answer: import("./api.js").Answer) => void} settled once nothing waits
 */
export function createWriter(send, settled) {
  let underway = 0;
  let resting = false;
  let written = 0;
  /** @type {{ value: any } | null} */
  let waiting = null;

  /** @param {any} value */
  function write(value) {
    waiting = { value };
    next();
  }

  function next() {
    if (underway === 0 && !resting) sendNow();
  }

  /** Sends what waits, if anything does: it is time, or the page is being left. */
  async function sendNow() {
    if (!waiting) return;
    const { value } = waiting;
    waiting = null;
    rest();
    underway += 1;
    const answer = await send(value);
    underway -= 1;
    if (answer.ok) written = Math.max(written, Number(answer.body?.serverRevision ?? 0));
    if (waiting) next();
    else if (underway === 0) settled(answer);
  }

  function rest() {
    resting = true;
    setTimeout(() => {
      resting = false;
      next();
    }, PACE);
  }

  return { write, sendNow, isBusy: () => underway > 0 || waiting !== null, revision: () => written };
}

/** @param {Field} field @param {Write} write @returns {Face} */
function faceOf(field, write) {
  if (field.options) return selectFace(field.options, write);
  if (field.type === "boolean") return switchFace(write);
  if (field.type === "number") return field.min !== undefined && field.max !== undefined ? sliderFace(field, write) : numberFace(field, write);
  if (field.type === "string") return textFace(write);
  return jsonFace(write);
}

/** @param {Field} field @param {Write} write @returns {Face} */
function sliderFace({ min = 0, max = 1, step }, write) {
  const input = h("input", { type: "range", min, max, step: step ?? "any" });
  const output = h("output", {});
  let held = false;
  input.addEventListener("pointerdown", () => (held = true));
  for (const end of ["pointerup", "pointercancel"]) input.addEventListener(end, () => (held = false));
  input.addEventListener("input", () => {
    setText(output, readable(input.valueAsNumber));
    write(Number(readable(input.valueAsNumber)));
  });
  const ends = h("p", { class: "ends soft small", "aria-hidden": "true" }, h("span", {}, readable(min)), h("span", {}, readable(max)));
  return {
    kind: "slider",
    element: h("div", { class: "input" }, input),
    input,
    beside: output,
    beneath: ends,
    isHeld: () => held,
    show(value) {
      if (typeof value !== "number") return;
      input.value = String(value);
      setText(output, readable(value));
    },
  };
}

/** @param {Field} field @param {Write} write @returns {Face} */
function numberFace({ min, max, step }, write) {
  const input = h("input", { type: "number", min, max, step: step ?? "any", inputmode: "decimal" });
  input.addEventListener("change", () => {
    if (input.value !== "") write(input.valueAsNumber);
  });
  return { kind: "number", element: h("div", { class: "input" }, input), input, isHeld: () => isTyping(input), show: (value) => void (input.value = String(value ?? "")) };
}

/** @param {Write} write @returns {Face} */
function switchFace(write) {
  const input = h("input", { type: "checkbox", role: "switch", class: "switch" });
  input.addEventListener("change", () => write(input.checked));
  return { kind: "switch", element: h("div", { class: "input" }, input), input, isHeld: () => false, show: (value) => void (input.checked = value === true) };
}

/** @param {unknown[]} options @param {Write} write @returns {Face} */
function selectFace(options, write) {
  const input = h("select", {}, ...options.map((option, i) => h("option", { value: i }, typeof option === "string" ? option : JSON.stringify(option))));
  input.addEventListener("change", () => write(options[Number(input.value)]));
  const place = (/** @type {any} */ value) => options.findIndex((option) => JSON.stringify(option) === JSON.stringify(value));
  return { kind: "select", element: h("div", { class: "input" }, input), input, isHeld: () => false, show: (value) => void (input.selectedIndex = place(value)) };
}

/** Text, with a colour picker beside it while it is a colour. @param {Write} write @returns {Face} */
function textFace(write) {
  const input = h("input", { type: "text", spellcheck: "false", autocomplete: "off" });
  const well = h("input", { type: "color", "aria-label": "choose a colour", hidden: true });
  input.addEventListener("change", () => write(input.value));
  well.addEventListener("input", () => {
    input.value = well.value;
    write(well.value);
  });
  return {
    kind: "text",
    element: h("div", { class: "input" }, well, input),
    input,
    isHeld: () => isTyping(input),
    show(value) {
      input.value = String(value ?? "");
      well.hidden = !/^#[0-9a-f]{6}$/i.test(input.value);
      if (!well.hidden) well.value = input.value.toLowerCase();
    },
  };
}

/** @param {Write} write @returns {Face} */
function jsonFace(write) {
  const input = h("textarea", { spellcheck: "false", rows: 4 });
  input.addEventListener("input", () => input.setCustomValidity(""));
  input.addEventListener("change", () => {
    try {
      write(JSON.parse(input.value));
    } catch {
      input.setCustomValidity("This is not JSON.");
      input.reportValidity();
    }
  });
  return { kind: "json", element: h("div", { class: "input" }, input), input, isHeld: () => isTyping(input), show: (value) => void (input.value = JSON.stringify(value ?? null)) };
}

/** Whether it is being edited: somebody else's write must not replace its text. @param {HTMLInputElement | HTMLTextAreaElement} input */
function isTyping(input) {
  return document.activeElement === input && input.dataset.typed === "true";
}

/** @param {Event} event @param {string} typed */
function markTyped({ target }, typed) {
  if (target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement) target.dataset.typed = typed;
}
