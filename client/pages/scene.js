// The wave. Building the scene is expensive and done once per session; tuning it is cheap and never interrupts it.

/** @typedef {{ speed: number, amplitude: number, color: string, paused: boolean }} Tuning */
/** @typedef {{ points: number, shape: string }} Plan */
/** @typedef {{ phase: number, amplitude: number, color: Color }} Pose the tuning as it appears on the screen, which glides to its target */
/** @typedef {[number, number, number]} Color red, green and blue, 0 to 255 */

const LAYERS = 5;
const CREST = 2.2;
/** Where the wave's middle is, from the top: a little high, because the readings are at the bottom. */
const MIDDLE = 0.46;

/** One period of each shape: maps 0 up to 1 to between -1 and 1. @type {Record<string, (turn: number) => number>} */
const SHAPES = {
  sine: (turn) => Math.sin(turn * 2 * Math.PI),
  triangle: (turn) => 1 - 4 * Math.abs(((turn + 0.25) % 1) - 0.5),
  square: (turn) => (turn < 0.5 ? 1 : -1),
  saw: (turn) => 2 * turn - 1,
};

/**
 * The scene for a session's data: where the points are, and which shape they follow.
 * @param {any} data
 * @returns {Plan & { turns: Float32Array, swell: Float32Array, wave: (turn: number) => number }}
 */
export function buildScene(data) {
  const points = clamp(Math.round(Number(data?.points) || 64), 8, 512);
  const shape = Object.hasOwn(SHAPES, data?.shape) ? data.shape : "sine";
  const turns = Float32Array.from({ length: points }, (_, i) => (i / (points - 1)) * CREST);
  const swell = Float32Array.from({ length: points }, (_, i) => 0.35 + 0.65 * Math.sin((i / (points - 1)) * Math.PI));
  return { points, shape, turns, swell, wave: SHAPES[shape] };
}

/**
 * The tuning in a session's config, with defaults where a field is missing or invalid.
 * @param {Record<string, any>} config
 * @returns {Tuning}
 */
export function tuningOf(config) {
  return {
    speed: clamp(number(config.speed, 1), -20, 20),
    amplitude: clamp(number(config.amplitude, 0.6), 0, 1),
    color: /^#[0-9a-f]{6}$/i.test(config.color) ? config.color : "#2dd4bf",
    paused: config.paused === true,
  };
}

/** @param {Tuning} tuning @returns {Pose} */
export function firstPose(tuning) {
  return { phase: 0, amplitude: tuning.amplitude, color: rgb(tuning.color) };
}

/**
 * The pose a moment later. The phase accumulates, so that a new speed changes how fast the wave moves, not where it is.
 * @param {Pose} pose
 * @param {Tuning} tuning
 * @param {number} seconds
 * @returns {Pose}
 */
export function advance(pose, tuning, seconds) {
  const nearer = 1 - Math.exp(-seconds * 8);
  const color = rgb(tuning.color).map((part, i) => pose.color[i] + (part - pose.color[i]) * nearer);
  return {
    phase: tuning.paused ? pose.phase : pose.phase + seconds * tuning.speed * 0.25,
    amplitude: pose.amplitude + (tuning.amplitude - pose.amplitude) * nearer,
    color: /** @type {Color} */ (color),
  };
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {ReturnType<typeof buildScene>} scene
 * @param {Pose} pose
 * @param {number} width
 * @param {number} height
 */
export function draw(pen, scene, pose, width, height) {
  const color = pose.color.map(Math.round).join(" ");
  pen.clearRect(0, 0, width, height);
  const glow = pen.createRadialGradient(width / 2, height * MIDDLE, 0, width / 2, height * MIDDLE, Math.max(width, height) * 0.6);
  glow.addColorStop(0, `rgb(${color} / 16%)`);
  glow.addColorStop(1, `rgb(${color} / 0%)`);
  pen.fillStyle = glow;
  pen.fillRect(0, 0, width, height);
  for (let layer = LAYERS - 1; layer >= 0; layer -= 1) drawLayer(pen, scene, pose, width, height, layer, color);
}

/**
 * @param {CanvasRenderingContext2D} pen
 * @param {ReturnType<typeof buildScene>} scene
 * @param {Pose} pose
 * @param {number} width
 * @param {number} height
 * @param {number} layer 0 is the wave itself, the others are its echoes
 * @param {string} color
 */
function drawLayer(pen, { points, shape, turns, swell, wave }, pose, width, height, layer, color) {
  const echo = layer / LAYERS;
  const reach = pose.amplitude * height * 0.3 * (1 - echo * 0.55);
  const shift = pose.phase + layer * 0.09;
  let before = { x: 0, y: 0 };
  pen.beginPath();
  for (let i = 0; i < points; i += 1) {
    const turn = turns[i] + shift;
    const x = (i / (points - 1)) * width;
    const y = height * MIDDLE - wave(turn - Math.floor(turn)) * reach * swell[i];
    if (i === 0) pen.moveTo(x, y);
    else if (shape === "sine") pen.quadraticCurveTo(before.x, before.y, (before.x + x) / 2, (before.y + y) / 2);
    else pen.lineTo(x, y);
    before = { x, y };
  }
  pen.lineTo(before.x, before.y);
  pen.lineJoin = "round";
  pen.lineWidth = layer === 0 ? 3.5 : 1.5;
  pen.strokeStyle = `rgb(${color} / ${layer === 0 ? 100 : Math.round(55 - echo * 45)}%)`;
  pen.stroke();
}

/** @param {string} color @returns {Color} */
function rgb(color) {
  const value = Number.parseInt(color.slice(1), 16);
  return [(value >> 16) & 255, (value >> 8) & 255, value & 255];
}

/** @param {unknown} value @param {number} otherwise */
function number(value, otherwise) {
  return typeof value === "number" && Number.isFinite(value) ? value : otherwise;
}

/** @param {number} value @param {number} low @param {number} high */
function clamp(value, low, high) {
  return Math.min(high, Math.max(low, value));
}
