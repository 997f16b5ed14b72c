// What went wrong, in a place where people and screen readers find it.

import { el } from "./dom.js";

/** describe turns any failure into a title, a detail and lines about single fields. */
export function describe(err) {
  return {
    title: err.title ?? "The page failed",
    detail: err.detail ?? String(err.message ?? err),
    lines: (err.errors ?? []).map((e) => [e.location, e.message].filter(Boolean).join(": ")),
  };
}

/** showProblem fills an element with a failure, and with what comes next if more is not
    empty; clearProblem empties it. */
export function showProblem(where, err, more = "") {
  const { title, detail, lines } = describe(err);
  where.hidden = false;
  where.replaceChildren(el("strong", {}, title));
  if (detail && detail !== title) {
    where.append(el("p", {}, detail));
  }
  if (more) {
    where.append(el("p", {}, more));
  }
  if (lines.length > 0) {
    where.append(el("ul", {}, lines.map((line) => el("li", {}, line))));
  }
}

/** clearProblem hides what showProblem showed. */
export function clearProblem(where) {
  where.hidden = true;
  where.replaceChildren();
}
