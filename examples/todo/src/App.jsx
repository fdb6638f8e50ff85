import { useEffect, useRef, useState } from "react";

import { beat, counted, excuse, newId, orphan, sentence, title, wayOut } from "../plain/list.js";

export function App({ useTodos, where }) {
  const { rows, act, state } = useTodos(where);
  const [fault, setFault] = useState("");
  const { tone, text } = sentence(state, where.host);

  // Whatever changed later than what came first is news.
  const [known, setKnown] = useState(Infinity);
  if (known === Infinity && state.status === "live") setKnown(Math.max(0, ...rows.map((row) => row.at(-2))));

  const pulse = useRef(null);
  useEffect(() => beat(pulse.current), [rows]);

  async function perform(action) {
    setFault("");
    try {
      await act(action);
    } catch (error) {
      setFault(excuse(action, error));
    }
  }

  /** What is typed to be added; also what was typed into a row that somebody has deleted. */
  const [draft, setDraft] = useState("");
  function keep(before, words) {
    setDraft((draft) => draft || words);
    setFault(orphan(before, words, !draft));
  }

  return (
    <main>
      <header>
        <h1>{title}</h1>
        <p id="state" className="state" ref={pulse} role="status" data-tone={tone}>{text}</p>
      </header>
      {state.status === "refused" && <p id="out"><a href={wayOut}>Open another list</a></p>}
      <Add text={draft} setText={setDraft} isRefused={state.status === "refused"} onAdd={(text) => perform({ type: "create", payload: { id: newId(), text, completed: 0 } })} />
      {fault && <p id="fault" className="fault" role="alert">{fault}</p>}
      <ul id="list" className="list" data-stale={tone === "stop"}>
        {rows.map((row) => <Todo key={row[0]} row={row} isNews={row.at(-2) > known} perform={perform} keep={keep} />)}
      </ul>
      {rows.length === 0 && tone === "live" && <p className="nothing">Nothing to do.</p>}
      {rows.length > 0 && (
        <footer>
          <p id="count">{counted(rows)}</p>
          <button className="quiet" onClick={() => confirm(`Delete all ${rows.length}?`) && perform({ type: "delete-all" })}>Delete all</button>
        </footer>
      )}
    </main>
  );
}

function Add({ text, setText, isRefused, onAdd }) {
  const add = (event) => {
    event.preventDefault();
    setText("");
    if (text.trim()) onAdd(text.trim());
  };
  return (
    <form className="add" onSubmit={add}>
      <input value={text} onChange={(event) => setText(event.target.value)} aria-label="What is to be done?" placeholder="What is to be done?"
        autoComplete="off" enterKeyHint="done" required />
      <button disabled={isRefused}>Add</button>
    </form>
  );
}

function Todo({ row, isNews, perform, keep }) {
  const [id, text, completed, , updatedAt] = row;
  const [isEdited, setEdited] = useState(false);
  /** After a key, the focus goes back to where it came from. */
  const isBack = useRef(false);
  const focus = (button) => {
    if (isBack.current) button?.focus();
    isBack.current = false;
  };
  const end = (words, byKey) => {
    isBack.current = byKey;
    setEdited(false);
    if (words) change({ text: words });
  };
  const change = (columns) => perform({ type: "update", payload: { id, ...columns } });
  return (
    <li data-done={completed} data-pending={updatedAt === null}>
      <input type="checkbox" aria-label="done" checked={Boolean(completed)} onChange={(event) => change({ completed: Number(event.target.checked) })} />
      {isEdited
        ? <Edit text={text} onEnd={end} onGone={keep} />
        : <button className="text" ref={focus} onClick={() => setEdited(true)}>{text}</button>}
      <button className="quiet delete" aria-label="delete" onClick={() => perform({ type: "delete", payload: { id } })}>✕</button>
      {isNews && <i key={updatedAt} />}
    </li>
  );
}

/** Others may change the text meanwhile: who has typed nothing wants nothing changed. */
function Edit({ text, onEnd, onGone }) {
  const [before] = useState(text);
  const typed = useRef(before);
  const isOver = useRef(false);
  const words = () => typed.current.trim() !== before && typed.current.trim();
  const end = (byKey) => {
    if (isOver.current) return;
    isOver.current = true;
    onEnd(words(), byKey);
  };
  const keys = (event) => {
    const { key } = event;
    if (key === "Escape") typed.current = before;
    if (key !== "Enter" && key !== "Escape") return;
    // It would press the button that gets the focus.
    event.preventDefault();
    end(true);
  };
  // Its row was deleted under it.
  const gone = useRef(null);
  gone.current = () => !isOver.current && words() && onGone(before, words());
  useEffect(() => () => void gone.current(), []);
  return <input className="text" defaultValue={before} aria-label="change the text" autoFocus onFocus={(event) => event.target.select()}
    onChange={(event) => (typed.current = event.target.value)} onKeyDown={keys} onBlur={() => end(false)} />;
}
