// The day at a glance: which place comes first at each hour, drawn below the slider of
// hours, so that what the hour changes is seen before it is moved.

import { el, svg } from "./dom.js";
import { clock } from "./moment.js";
import { percent, title } from "./words.js";

const wide = 1440; // one unit a minute
const high = 100;
const roomy = 180; // minutes that are wide enough for a name

/** runs puts hours with the same first place together: [{minute, first}] becomes
    [{from, to, first}], minutes of the day. */
export function runs(hours) {
  const out = [];
  for (const { minute, first } of hours) {
    const last = out.at(-1);
    if (last && last.first.poi === first.poi) {
      last.to = minute + 60;
    } else {
      out.push({ from: minute, to: minute + 60, first });
    }
  }
  return out;
}

/** dayWords says a day in a sentence. */
export function dayWords(parts, day) {
  return `First place on ${day}: ${parts.map((r) => `${clock(r.from)} to ${clock(r.to)} ${title(r.first)}`).join(", ")}`;
}

function part(run, minute, onChoose) {
  const now = minute >= run.from && minute < run.to;
  const node = el("button", {
    type: "button", tabindex: "-1", class: now ? "now" : "",
    title: `${clock(run.from)} to ${clock(run.to)}: ${title(run.first)}, ${percent(run.first.probability)}`,
    onclick: () => onChoose(now ? minute : run.from),
  }, run.to - run.from < roomy ? "" : title(run.first));
  node.style.width = `${(run.to - run.from) / 14.4}%`; // a style attribute would be against the policy
  return node;
}

// level draws how sure the model is of its first place at each hour.
function level(hours) {
  const y = (p) => (high - p * high).toFixed(1);
  const line = hours.map((h) => `L${h.minute} ${y(h.first.probability)}H${h.minute + 60}`).join("");
  return svg("svg", { class: "level", viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("path", { d: `M0 ${high}${line}V${high}Z` }));
}

/** showDay fills an element. The slider does all this by keyboard, so that the parts are
    for pointers only and a sentence is for screen readers. */
export function showDay(where, hours, minute, day, onChoose) {
  const parts = runs(hours);
  where.setAttribute("aria-label", dayWords(parts, day));
  where.replaceChildren(level(hours), el("div", { class: "parts", "aria-hidden": "true" }, parts.map((r) => part(r, minute, onChoose))));
}
