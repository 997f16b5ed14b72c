// The beam as a tree: areas by their probability, and the places inside each.

import { el } from "./dom.js";
import { shade } from "./geometry.js";
import { percent } from "./words.js";

const branches = 8;
const leaves = 6;

function row(name, much) {
  return [el("span", {}, name), el("span", {}, much)];
}

/** areaName names an area by its likeliest place, because its number says nothing. */
export function areaName(block) {
  const first = block.inners[0];
  return first ? `around ${first.name || first.poi}` : `area ${block.block}`;
}

/** showTree fills a list; opened is a set of areas that stay open, near(id) marks one on
    the map. */
export function showTree(list, blocks, opened, near) {
  if (blocks.length === 0) {
    list.replaceChildren(el("li", { class: "muted" }, "The service gave no areas."));
    return;
  }
  if (opened.size === 0) {
    opened.add(blocks[0].block);
  }
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.block : undefined;
  list.replaceChildren(...blocks.slice(0, branches).map((b) => {
    const details = el("details", {
      open: opened.has(b.block),
      ontoggle: () => (details.open ? opened.add(b.block) : opened.delete(b.block)),
    },
    el("summary", { onfocus: () => near(b.block), onblur: () => near("") },
      el("span", { class: "row" },
        el("span", {}, el("span", { class: `key far${shade(b.probability) + 1}` }), areaName(b)),
        el("span", {}, percent(b.probability)))),
    el("ul", {}, b.inners.slice(0, leaves).map((p) => el("li", {}, row(p.name || p.poi, `${percent(p.probability)} of it`)))));
    return el("li", { "data-block": b.block, onpointerenter: () => near(b.block), onpointerleave: () => near("") }, details);
  }));
  if (focused !== undefined) {
    list.querySelector(`li[data-block="${CSS.escape(focused)}"] summary`)?.focus({ preventScroll: true });
  }
}
