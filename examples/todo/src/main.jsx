import { Component, StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { dress, roomName, unusable } from "../plain/list.js";
import "../plain/list.css";
import { App } from "./App.jsx";
import { useOurs } from "./ours.js";
import { useTheirs } from "./theirs.js";

const query = new URLSearchParams(location.search);
/** The daemon: that which serves this page, or one on the machine that Vite runs on. */
const host = query.get("host") ?? (import.meta.env.DEV ? `${location.hostname}:9876` : location.host);

/** Which one it is stays the same while the page is open. */
const useTodos = query.get("with") === "partysync" ? useTheirs : useOurs;

/** An address that cannot be one, a token that is not encoded: says so, instead of an empty page. */
class Caught extends Component {
  state = { error: null };
  static getDerivedStateFromError = (error) => ({ error });
  render() {
    const { error } = this.state;
    return error ? <main><p id="state" className="state" data-tone="stop">{unusable(error)}</p><p id="out"><a href={location.pathname}>Open another list</a></p></main> : this.props.children;
  }
}

function Page() {
  const token = /[#&][ht]=([^&]*)/.exec(location.hash)?.[1];
  return <App useTodos={useTodos} where={{ host, room: roomName, token: token && decodeURIComponent(token) }} />;
}

dress();
createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <Caught><Page /></Caught>
  </StrictMode>,
);
