// The list of answers: rank, name, probability, distance, and in a comparison what
// changed against the other side.

import { bar, el } from "./dom.js";
import { distance, kind, percent, plural, title } from "./words.js";

/** rankChange says how a place stands here against the other list, a map from place to
    rank; null where there is nothing to compare. */
export function rankChange(place, others) {
  if (!others) {
    return null;
  }
  const there = others.get(place.poi);
  if (there === undefined) {
    return { text: "only here", label: "not in the other list", kind: "new" };
  }
  const up = there - place.rank;
  if (up === 0) {
    return { text: "=", label: "same rank as in the other list", kind: "same" };
  }
  const many = Math.abs(up) === 1 ? "1 rank" : `${Math.abs(up)} ranks`;
  return up > 0
    ? { text: `▲ ${up}`, label: `${many} higher than in the other list`, kind: "up" }
    : { text: `▼ ${-up}`, label: `${many} lower than in the other list`, kind: "down" };
}

/** sortOf says what a place is to a person: "before" (been there), "new", or "cold", new
    to the model itself. */
export function sortOf(place, visits) {
  if (place.source === "cold") {
    return "cold";
  }
  return visits > 0 ? "before" : "new";
}

/** what says the kind of a place, how far it is, and how often the person was there. */
export function what(place, visits) {
  const far = place.distance_m === undefined ? "" : distance(place.distance_m);
  const been = visits > 0 ? plural(visits, "visit") : { new: "never been", cold: "new to the model" }[sortOf(place, 0)];
  return [place.name ? kind(place.category) : "", far, been].filter(Boolean).join(" · ");
}

function row(place, options) {
  const change = rankChange(place, options.others);
  const open = options.chosen === place.poi;
  const button = el("button", {
    type: "button", class: "answer", "data-poi": place.poi, "aria-expanded": String(open),
    onclick: () => options.onChoose(open ? "" : place.poi),
  },
  el("span", { class: "rank" }, place.rank > 0 ? String(place.rank) : "-"),
  el("span", { class: "name" }, title(place), place.name ? null : el("span", { class: "id" }, place.poi)),
  el("span", { class: "much" }, percent(place.probability)),
  el("span", { class: "what" }, what(place, options.visits(place.poi))),
  el("span", { class: `change ${change?.kind ?? ""}`, "aria-label": change?.label, role: change ? "note" : null }, change?.text ?? ""),
  bar(place.probability));
  return el("li", { class: sortOf(place, options.visits(place.poi)), "data-poi": place.poi }, button, open ? options.why : null);
}

/** showAnswers fills a list; the focus stays on the place that had it.
    options: chosen, others, why (an element for the chosen place), visits(id), onChoose(id). */
export function showAnswers(list, places, options) {
  const focused = list.contains(document.activeElement) ? document.activeElement.dataset.poi : undefined;
  list.replaceChildren(...places.map((p) => row(p, options)));
  if (focused !== undefined) {
    list.querySelector(`button[data-poi="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  }
}
