// Five lines are enough to watch; the rest puts the state on the page, as text.
import { connect } from "/onlooker.js";

// The fragment carries the viewer token, if the host requires one.
const viewer = connect(`${location.origin}/${location.hash}`);
viewer.subscribe(show);
show();

function show() {
  const { state, session } = viewer;
  document.querySelector("#link").textContent = state.status === "live" ? "live" : "reconnecting…";
  if (!session) return;
  document.querySelector("#name").textContent = session.name;
  document.querySelector("#session").textContent = JSON.stringify(session, null, 2);
}
