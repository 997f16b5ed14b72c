// The beam as a tree: areas by their probability, and the places inside each.

import { el } from "./dom.js";
import { shade } from "./geometry.js";
import { nameOf } from "./places.js";
import { percent } from "./words.js";

const branches = 8;
const leaves = 6;

function row(name, much) {
  return [el("span", {}, name), el("span", {}, much)];
}

/** areaName names an area by its likeliest place, because its number says nothing. */
export function areaName(block) {
  const first = block.inners[0];
  return first ? `around ${first.name || nameOf(first.poi)}` : `area ${block.block}`;
}

/** Branches are the areas of the tree that stay open while answers come and go: the
    likeliest one, until somebody opens or closes one. */
export class Branches {
  constructor() {
    this.open = new Set();
    this.touched = false;
  }

  /** meet says which blocks are shown now. */
  meet(blocks) {
    if (!this.touched) {
      this.open = new Set(blocks.slice(0, 1).map((b) => b.block));
    }
  }

  /** of lists the blocks that are open. */
  of(blocks) { return blocks.filter((b) => this.open.has(b.block)); }
}

/** nameless lists the places that the tree shows and whose names it does not have. */
export function nameless(blocks, open) {
  const shown = blocks.slice(0, branches).flatMap((b) => b.inners.slice(0, open.open.has(b.block) ? leaves : 1));
  return shown.filter((p) => !p.name).map((p) => p.poi);
}

function branch(b, open, on) {
  const toggled = () => {
    if (details.open !== open.open.has(b.block)) { // it also fires as an open one appears
      details.open ? open.open.add(b.block) : open.open.delete(b.block);
      open.touched = true;
      on.toggled();
    }
  };
  const details = el("details", { open: open.open.has(b.block), ontoggle: toggled },
    el("summary", { onfocus: () => on.near(b.block), onblur: () => on.near("") },
      el("span", { class: "row" },
        el("span", {}, el("span", { class: `key far${shade(b.probability) + 1}` }), areaName(b)),
        el("span", {}, percent(b.probability)))),
    el("ul", {}, b.inners.slice(0, leaves).map((p) => el("li", {}, row(p.name || nameOf(p.poi), `${percent(p.probability)} of it`)))));
  return el("li", { "data-block": b.block, onpointerenter: () => on.near(b.block), onpointerleave: () => on.near("") }, details);
}

/** showTree fills a list; open is Branches, on.near(id) marks an area on the map, on.toggled
    hears of an area that somebody has opened or closed. */
export function showTree(list, blocks, open, on) {
  if (blocks.length === 0) {
    list.replaceChildren(el("li", { class: "muted" }, "The service gave no areas."));
    return;
  }
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("li")?.dataset.block : undefined;
  list.replaceChildren(...blocks.slice(0, branches).map((b) => branch(b, open, on)));
  if (focused !== undefined) {
    list.querySelector(`li[data-block="${CSS.escape(focused)}"] summary`)?.focus({ preventScroll: true });
  }
}
