// The map page: one person, one or two panes, and the address that holds the state.

import { byId, el, later } from "./dom.js";
import { read, write } from "./hash.js";
import { setUpKey } from "./keydialog.js";
import { format, minutes, parse, weekday, words } from "./moment.js";
import { clearProblem, showProblem } from "./notice.js";
import { Pane } from "./pane.js";
import { describePerson, drawn, load, nobody } from "./person.js";
import { byName, inBox, listName, nameOf, names } from "./places.js";
import { SearchField } from "./search.js";
import { comesBack, status, users } from "./service.js";

const state = read(location.hash);
const panes = [];
const sides = ["First", "Second"]; // beside each other, or below each other on a phone
const world = { zoom: 1.5, lat: 25, lng: 10 };
const stepOn = 180; // minutes from one drawn visit to the next
const again = 2000; // ms before a service that was away is asked again
const apart = 360; // minutes between the two sides as a comparison opens: a difference to begin with
let person = nobody();
let models = [];
let basemap = null;
let drawing = state.history.length > 0;
let following = false; // one map moves the other
let unseen = new Set(); // panes whose first answers for a person the map has not been moved to show
let loading = new AbortController();
let looking = new AbortController();

const shown = () => panes.slice(0, state.compare ? 2 : 1);
const remember = later(() => history.replaceState(null, "", "#" + write(state)), 150);
const fail = (err) => { if (err.name !== "AbortError") { showProblem(byId("problem"), err); } };
// showAll moves the map to the answers and the person; what is hardly likely may lie outside.
const showAll = () => panes[0].map?.fit(shown().flatMap((p) => [p.position() ?? [], p.places.filter((a) => a.rank === 1 || a.probability >= 0.01)].flat()));

const shared = {
  get k() { return state.k; },
  changed: remember,
  others(pane) {
    const other = panes[1 - panes.indexOf(pane)];
    return state.compare && other ? new Map(other.places.map((p) => [p.poi, p.rank])) : null;
  },
  answered(pane) {
    if (unseen.delete(pane)) {
      showAll();
    }
    shown().filter((p) => p !== pane).forEach((p) => p.list());
  },
  moved(pane, view) {
    if (following) {
      return;
    }
    following = true;
    shown().filter((p) => p !== pane).forEach((p) => p.map?.jump(view));
    following = false;
    state.view = view;
    remember();
    lookAround();
  },
  all: showAll,
  picked(pane, id, layer) {
    if (drawing) {
      visit(pane, id);
    } else if (layer === "places" || layer === "past") {
      pane.choose(id);
    }
  },
};

// lookAround brings the places of the catalog that lie in view.
const lookAround = later(async () => {
  const map = panes[0].map;
  if (!map || map.map.getZoom() < 7) {
    return;
  }
  looking.abort();
  looking = new AbortController();
  const { signal } = looking;
  try {
    const { list } = await inBox(map.box(), signal);
    signal.throwIfAborted();
    shown().forEach((p) => p.map?.setCatalog(list));
    byId("step-names").replaceChildren(...names().slice(0, 500).map((p) => el("option", { value: listName(p) })));
  } catch (err) {
    fail(err);
  }
}, 250);

function addPane() {
  const at = panes.length;
  const root = byId("pane-template").content.firstElementChild.cloneNode(true);
  byId("panes").append(root);
  const pane = new Pane(root, sides[at], state.panes[at], shared);
  panes.push(pane);
  pane.controls.showModels(models, pane.state.model);
  pane.openMap(panes[0].map?.view() ?? state.view ?? startView(), basemap);
  setDrawing(drawing); // which the new map has to know
  return pane;
}

function startView() {
  const center = models.find((m) => m.state === "active" && m.center)?.center ?? models.find((m) => m.center)?.center;
  if (center) {
    return { zoom: 11, ...center };
  }
  return basemap ? { zoom: 9, lat: (basemap.bounds.south + basemap.bounds.north) / 2, lng: (basemap.bounds.west + basemap.bounds.east) / 2 } : world;
}

function layOut() {
  byId("panes").classList.toggle("two", state.compare);
  byId("compare").setAttribute("aria-pressed", String(state.compare));
  if (state.compare && panes.length < 2) {
    addPane();
  }
  panes.forEach((p, i) => {
    p.root.hidden = i > 0 && !state.compare;
    p.root.querySelector(".side").hidden = !state.compare;
    p.list();
  });
  if (state.compare && panes[0].map) {
    panes[1].map?.jump(panes[0].map.view());
    lookAround();
  }
}

// on is the day and minute some minutes after a moment.
function on(m, ahead) {
  const later = minutes(m) + ahead;
  return { day: (weekday(m) + Math.floor(later / 1440)) % 7, minute: later % 1440 };
}

// setApart gives the right side a moment of its own, if nobody has chosen one.
function setApart() {
  const [a, b] = state.panes;
  if (state.compare && b.day === null) {
    Object.assign(b, { at: a.at, model: a.model, ...on(panes[0].moment(), apart) });
  }
}

function toggleCompare() {
  state.compare = !state.compare;
  setApart();
  layOut();
  if (state.compare) {
    unseen.add(panes[1]);
    panes[1].meet(person);
  }
  showAll(); // the maps have another size now
  remember();
}

async function meet(bring, keepView) {
  loading.abort();
  loading = new AbortController();
  const { signal } = loading;
  clearProblem(byId("problem"));
  try {
    const next = await bring(signal);
    signal.throwIfAborted();
    person = next;
  } catch (err) {
    fail(err);
    if (comesBack(err)) {
      setTimeout(() => { if (!signal.aborted) { meet(bring, keepView); } }, again);
    }
    return;
  }
  byId("who").textContent = describePerson(person);
  showSteps();
  unseen = new Set(keepView ? [] : shown());
  panes[0].meet(person);
  setApart();
  shown().slice(1).forEach((p) => p.meet(person));
  remember();
}

function choosePerson(user) {
  setDrawing(false);
  state.history = [];
  state.user = user;
  state.panes.forEach((p) => Object.assign(p, { day: null, minute: null, at: null, poi: "" }));
  meet((signal) => load(user, signal), false);
}

function setDrawing(yes) {
  drawing = yes;
  panes.forEach((p) => p.map?.setPatient(yes));
  byId("drawing").hidden = !yes;
  byId("draw").setAttribute("aria-pressed", String(yes));
}

function toggleDrawing() {
  if (drawing) {
    setDrawing(false);
    return;
  }
  setDrawing(true);
  if (state.history.length === 0) {
    state.user = "";
    search.show("");
    state.panes.forEach((p) => Object.assign(p, { poi: "" }));
    meet(async () => nobody(), true);
  }
}

// visit adds a place to the drawn history at the moment of a pane.
function visit(pane, id) {
  if (state.history.length >= 100) {
    fail(new Error("A drawn history has at most 100 visits; clear some."));
    return;
  }
  const m = pane.moment();
  state.history.push({ poi: id, time: format(m) });
  Object.assign(pane.state, on(m, stepOn));
  meet((signal) => drawn(state.history, signal), true);
}

function showSteps() {
  byId("steps").replaceChildren(...state.history.map((step, i) => el("li", {},
    `${nameOf(step.poi)}, ${words(parse(step.time))}`,
    el("button", {
      type: "button", "aria-label": `Remove visit ${i + 1}`,
      onclick: () => { state.history.splice(i, 1); meet((signal) => drawn(state.history, signal), true); },
    }, "×"))));
}

function addByName(event) {
  event.preventDefault();
  const field = byId("step");
  const found = byName(field.value.trim());
  field.setCustomValidity(found ? "" : "No place in view has this name");
  if (field.reportValidity()) {
    field.value = "";
    visit(panes[0], found.id);
  }
}

function setUpTools() {
  byId("k").value = state.k;
  byId("k").addEventListener("change", () => {
    if (byId("k").reportValidity()) {
      state.k = Number(byId("k").value);
      shown().forEach((p) => p.soon());
      remember();
    }
  });
  byId("compare").addEventListener("click", toggleCompare);
  byId("draw").addEventListener("click", toggleDrawing);
  byId("add-step").addEventListener("submit", addByName);
  byId("step").addEventListener("input", () => byId("step").setCustomValidity(""));
  byId("clear-steps").addEventListener("click", () => { state.history = []; meet((signal) => drawn([], signal), true); });
  byId("skip").addEventListener("click", (event) => { event.preventDefault(); byId("panes").focus(); });
  addEventListener("hashchange", () => location.reload()); // somebody has pasted another view
}

// firstPerson is somebody to begin with, so that the page never opens empty: of the first
// people the one who did most.
async function firstPerson() {
  const page = await users("", "");
  return (page.items ?? []).toSorted((a, b) => b.actions - a.actions)[0]?.user ?? "";
}

async function start() {
  const keepView = state.view !== null; // maps that are laid out move, which sets it
  setUpKey();
  setUpTools();
  try {
    models = ((await status()).models ?? []).filter((m) => ["active", "ready", "shadow", "available"].includes(m.state));
    if (document.documentElement.dataset.basemap) {
      basemap = await (await import("./basemap.js")).openBasemap();
    }
  } catch (err) {
    fail(err);
  }
  addPane();
  layOut();
  setDrawing(drawing);
  if (drawing) {
    await meet((signal) => drawn(state.history, signal), keepView);
  } else {
    try {
      state.user ||= await firstPerson();
    } catch (err) {
      fail(err);
    }
    search.show(state.user);
    await meet(state.user ? (signal) => load(state.user, signal) : async () => nobody(), keepView);
  }
  lookAround();
}

const search = new SearchField(choosePerson, fail);
await start();
