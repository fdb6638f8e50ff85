import { StrictMode } from "react";
import { createRoot } from "react-dom/client";

import { App } from "./App.jsx";

createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <App address={new URLSearchParams(location.search).get("host") ?? `${location.hostname}:9876`} />
  </StrictMode>,
);
