// Why a place: how much comes from the person's own past, which actions mattered, and
// what the same place would get at other hours of the day.

import { el, svg } from "./dom.js";
import { clock, parse, words } from "./moment.js";
import { nameOf } from "./places.js";
import { percent, points } from "./words.js";

const shownActions = 5;
const wide = 300;
const high = 84;
const foot = 16; // below the axis, for its numbers

/** extremes are the likeliest and the least likely point of a curve. */
export function extremes(curve) {
  const by = curve.toSorted((a, b) => a.probability - b.probability);
  return { least: by[0], most: by.at(-1) };
}

/** drawCurve draws [{minute, probability}] of one day and marks a minute of it. */
export function drawCurve(curve, minute, day) {
  const { least, most } = extremes(curve);
  const top = most.probability || 1; // a flat line at the bottom where nothing is likely
  const x = (m) => (m / 1440 * wide).toFixed(1);
  const y = (p) => (12 + (1 - p / top) * (high - 12)).toFixed(1);
  const closed = [...curve, { minute: 1440, probability: curve[0].probability }];
  const line = closed.map((c, i) => `${i === 0 ? "M" : "L"}${x(c.minute)} ${y(c.probability)}`).join("");
  const ticks = [0, 6, 12, 18, 24].map((h) => svg("text", { x: x(h * 60), y: high + foot - 2, "text-anchor": ["start", "middle", "middle", "middle", "end"][h / 6] }, String(h)));
  return svg("svg", {
    class: "curve", viewBox: `0 0 ${wide} ${high + foot}`, role: "img",
    "aria-label": `Probability over ${day}: most, ${percent(most.probability)}, at ${clock(most.minute)}; least, ${percent(least.probability)}, at ${clock(least.minute)}`,
  },
  svg("path", { class: "area", d: `${line}V${high}H0Z` }),
  svg("path", { class: "axis", d: `M0 ${high}H${wide}` }),
  svg("path", { class: "line", d: line }),
  svg("path", { class: "now", d: `M${x(minute)} 8V${high}` }),
  svg("text", { x: 0, y: 9 }, percent(most.probability)),
  ticks);
}

function splitBar(copied, generated) {
  const all = copied + generated || 1;
  return svg("svg", { class: "split", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width: (copied / all * 100).toFixed(2), height: 10, class: "copied" }),
    svg("rect", { x: (copied / all * 100).toFixed(2), width: (generated / all * 100).toFixed(2), height: 10, class: "generated" }));
}

function actionRow(a) {
  const at = parse(a.time);
  return el("li", {},
    el("span", {}, a.name || nameOf(a.poi), el("span", { class: "muted" }, `${at ? words(at) : a.time}, ${a.type}`)),
    el("span", {}, points(a.delta)));
}

/** mattered are the past actions that moved an answer most. */
export function mattered(said) {
  return [...said.actions].sort((a, b) => Math.abs(b.delta) - Math.abs(a.delta)).slice(0, shownActions);
}

/** showWhy makes the part below an answer. curve may be null while it is on its way. */
export function showWhy(said, curve, minute, day) {
  const actions = mattered(said);
  return el("div", { class: "why" },
    el("p", {}, `Of its ${percent(said.place.probability)}, ${percent(said.copied)} come from weighing the past and ${percent(said.generated)} from the generator.`),
    splitBar(said.copied, said.generated),
    el("p", { class: "muted" }, `At this moment the model trusts the past with ${percent(said.copy_gate)} and the generator with the rest.`),
    el("h3", {}, "Past actions that mattered"),
    actions.length > 0
      ? el("ul", { class: "acts" }, actions.map(actionRow))
      : el("p", { class: "muted" }, "None: without any one of them the answer stays the same."),
    el("h3", {}, `This place at other hours of ${day}`),
    curve ? drawCurve(curve, minute, day) : el("p", { class: "muted" }, "Asking about 24 hours."));
}
