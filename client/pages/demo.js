// The demo's page. It shows why there are two kinds of message: a config_update retunes the running wave,
// a session_update rebuilds its scene.

import { connectionLine, isStale } from "./connection.js";
import { byId, counted, readable, setText } from "./dom.js";
import { advance, buildScene, draw, firstPose, tuningOf } from "./scene.js";
import { pageTopic, viewerToken, watch } from "./watch.js";

const canvas = byId("stage", HTMLCanvasElement);
const pen = canvas.getContext("2d");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const facts = document.documentElement.dataset;

/** @type {ReturnType<typeof buildScene> | undefined} */
let scene;
/** @type {import("./scene.js").Tuning} */
let tuning = tuningOf({});
/** @type {import("./scene.js").Pose} */
let pose = firstPose(tuning);
let builds = 0;
let retunes = 0;
let stopped = false;

const showLink = connectionLine(byId("connection"), (said) => {
  stopped = said.tone === "stop";
  canvas.dataset.stale = String(isStale(said) && scene !== undefined);
});

watch({ topic: pageTopic(), token: viewerToken() }, ({ link, session }, event) => {
  showLink(link);
  if (!session || !event || event.type === "state") return;
  if (event.type === "session") build(session);
  else retunes += 1;
  tune(session.config);
});

/** @param {import("./watch.js").Session} session */
function build(session) {
  const first = scene === undefined;
  scene = buildScene(session.data);
  builds += 1;
  facts.sceneBuilds = String(builds);
  setText(byId("name"), session.name || "untitled");
  document.title = `${session.name || "untitled"} · onlooker`;
  setText(byId("points"), String(scene.points));
  setText(byId("shape"), scene.shape);
  if (first) pose = firstPose(tuningOf(session.config));
}

/** @param {Record<string, any>} config */
function tune(config) {
  tuning = tuningOf(config);
  setText(byId("speed"), tuning.paused ? "paused" : readable(tuning.speed));
  setText(byId("amplitude"), readable(tuning.amplitude));
  setText(byId("color"), tuning.color);
  setText(byId("builds"), `scene built ${counted(builds, "time")}`);
  setText(byId("retunes"), counted(retunes, "field change"));
}

/** Sizes the canvas in CSS pixels, whatever the screen's are. @param {number} width @param {number} height */
function fit(width, height) {
  const density = Math.min(2, devicePixelRatio || 1);
  if (canvas.width === Math.round(width * density) && canvas.height === Math.round(height * density)) return;
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  pen?.setTransform(density, 0, 0, density, 0, 0);
}

let before = performance.now();

/** @param {number} now */
function frame(now) {
  const seconds = Math.min(0.1, (now - before) / 1000);
  before = now;
  facts.phase = pose.phase.toFixed(4);
  if (scene && pen) {
    // With reduced motion the wave stands still, but still shows every change.
    pose = advance(pose, calm.matches || stopped ? { ...tuning, paused: true } : tuning, seconds);
    fit(innerWidth, innerHeight);
    draw(pen, scene, pose, innerWidth, innerHeight);
  }
  requestAnimationFrame(frame);
}
requestAnimationFrame(frame);
