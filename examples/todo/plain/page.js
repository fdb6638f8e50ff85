import { connectRoom } from "/rooms.js";
import { COLUMNS, beat, counted, dress, excuse, newId, orphan, roomPath, sentence, title, unusable, wayOut } from "./list.js";

const [name, state, out, add, text, fault, list, nothing, end, count, clear, template] = ["name", "state", "out", "add", "text", "fault", "list", "nothing", "end", "count", "clear", "row"]
  .map((id) => document.getElementById(id));
dress();
name.textContent = title;
out.firstElementChild.href = wayOut;
const room = enter();

/** The room; nothing if this page's own address is at fault. */
function enter() {
  try {
    // The fragment carries the token, if the host requires one.
    return connectRoom(`${location.origin}${roomPath}${location.hash}`, "todos", { columns: COLUMNS });
  } catch (error) {
    state.textContent = unusable(error);
    state.dataset.tone = "stop";
    out.hidden = false;
    out.firstElementChild.href = location.pathname;
    add.hidden = true;
  }
}

/** What is on the page, by id. */
const items = new Map();
/** Whatever changed later than what came first is news. */
let known = Infinity;

async function act(action) {
  fault.hidden = true;
  try {
    await room.act(action);
  } catch (error) {
    say(excuse(action, error));
  }
}

function say(words) {
  fault.textContent = words;
  fault.hidden = false;
}

function show() {
  const { tone, text } = sentence(room.state, location.host);
  if (state.textContent !== text) state.textContent = text;
  state.dataset.tone = tone;
  list.dataset.stale = tone === "stop";
  // What is typed stays in its field until it can be added.
  add.querySelector("button").disabled = room.state.status === "refused";
  out.hidden = room.state.status !== "refused";
  if (known === Infinity && room.state.status === "live") known = Math.max(0, ...room.rows.map((row) => row.at(-2)));
  for (const [id, parts] of items) {
    if (room.rows.some((row) => row[0] === id)) continue;
    items.delete(id);
    parts.leave?.();
    parts.item.remove();
  }
  room.rows.forEach((row, place) => {
    if (!items.has(row[0])) items.set(row[0], create(row[0]));
    const parts = items.get(row[0]);
    if (list.children[place] !== parts.item) list.insertBefore(parts.item, list.children[place] ?? null);
    fill(parts, row);
  });
  count.textContent = counted(room.rows);
  end.hidden = !room.rows.length;
  nothing.hidden = room.rows.length > 0 || tone !== "live";
}

function create(id) {
  const item = template.content.cloneNode(true).firstElementChild;
  const [done, text, remove] = item.children;
  done.onchange = () => act({ type: "update", payload: { id, completed: Number(done.checked) } });
  const parts = { item, done, text, changedAt: 0, leave: null };
  text.onclick = () => edit(id, parts);
  remove.onclick = () => act({ type: "delete", payload: { id } });
  return parts;
}

function fill(parts, [, words, completed, , updatedAt]) {
  const { item, done, text } = parts;
  done.checked = Boolean(completed);
  if (text.textContent !== words) text.textContent = words;
  item.dataset.done = completed;
  // Not confirmed yet.
  item.dataset.pending = updatedAt === null;
  if (updatedAt > known && updatedAt !== parts.changedAt) mark(item);
  parts.changedAt = updatedAt;
}

/** An edge that fades; a new one begins anew. */
function mark(item) {
  item.querySelector("i")?.remove();
  item.append(document.createElement("i"));
}

function edit(id, parts) {
  const { text } = parts;
  // Others may change it meanwhile: who has typed nothing wants nothing changed.
  const before = text.textContent;
  const input = document.createElement("input");
  input.className = "text";
  input.value = before;
  input.setAttribute("aria-label", "change the text");
  const close = () => {
    input.onblur = parts.leave = null;
    input.replaceWith(text);
    const words = input.value.trim();
    return words !== before && words;
  };
  const finish = () => {
    const words = close();
    if (words) act({ type: "update", payload: { id, text: words } });
  };
  input.onkeydown = (event) => {
    const { key } = event;
    if (key === "Escape") input.value = before;
    if (key !== "Enter" && key !== "Escape") return;
    // It would press the button that gets the focus.
    event.preventDefault();
    finish();
    text.focus();
  };
  input.onblur = finish;
  parts.leave = () => {
    const words = close();
    if (words) keep(before, words);
  };
  text.replaceWith(input);
  input.select();
}

/** The row is gone, the words that were typed into it are not. */
function keep(before, words) {
  const isFree = !text.value;
  if (isFree) text.value = words;
  say(orphan(before, words, isFree));
}

add.onsubmit = (event) => {
  event.preventDefault();
  const words = text.value.trim();
  text.value = "";
  if (words) act({ type: "create", payload: { id: newId(), text: words, completed: 0 } });
};
clear.onclick = () => confirm(`Delete all ${room.rows.length}?`) && act({ type: "delete-all" });

if (room) {
  room.subscribe(({ type }) => {
    show();
    if (type === "rows") beat(state);
  });
  show();
}
