// The status page: asks every five seconds, also while there is no traffic.

import { byId, el } from "./dom.js";
import { setUpKey } from "./keydialog.js";
import { clearProblem, showProblem } from "./notice.js";
import { parse, words, zoneWords } from "./moment.js";
import { status } from "./service.js";
import { gaugeWords } from "./gauges.js";
import { count, duration, megabytes, milliseconds, percent } from "./words.js";

const every = 5000; // ms
const probes = new Set(["livez", "readyz"]); // asked by machines all day, and 503 while a model loads

function tile(name, value, below = "") {
  return el("li", {}, el("span", { class: "name" }, name), el("span", { class: "value" }, value), el("span", { class: "below" }, below));
}

function tiles(s) {
  const started = Date.parse(s.started);
  const routes = (s.routes ?? []).filter((r) => !probes.has(r.route));
  const requests = routes.reduce((sum, r) => sum + r.requests, 0);
  const errors = routes.reduce((sum, r) => sum + r.errors, 0);
  byId("tiles").replaceChildren(
    tile("up for", Number.isFinite(started) ? duration((Date.now() - started) / 1000) : "-", `version ${s.version}`),
    tile("places", count(s.pois)),
    tile("people", count(s.users)),
    tile("actions", count(s.actions), `kept in ${s.store}`),
    tile("requests", count(requests), requests === 0 ? "nobody has asked yet" : `${count(errors)} errors, ${percent(errors / requests)}; without probes`),
  );
}

function checks(s) {
  byId("ready").textContent = s.ready ? "Ready to answer" : "Not ready";
  byId("ready").className = s.ready ? "yes" : "";
  byId("checks").replaceChildren(...(s.checks ?? []).map((c) => el("li", { class: c.ok ? "ok" : "bad" },
    el("span", { class: "sign", role: "img", "aria-label": c.ok ? "good" : "failing" }, c.ok ? "✓" : "✗"),
    c.name, c.reason ? el("span", { class: "muted" }, `: ${c.reason}`) : null)));
}

function none(columns, text) {
  return el("tr", {}, el("td", { colspan: columns, class: "muted" }, text));
}

function model(m) {
  const loaded = parse(m.loaded);
  const took = m.load_seconds ? `, took ${duration(m.load_seconds)}` : "";
  return el("tr", {},
    el("th", { scope: "row" }, m.version, m.name && m.name !== m.version ? el("div", { class: "muted" }, m.name) : null),
    el("td", {}, el("span", { class: `state ${m.state}` }, m.state), m.reason ? el("div", { class: "muted why" }, m.reason) : null),
    el("td", {}, (m.roles ?? []).join(", ") || "-"),
    [m.places, m.users, m.requests].map((n) => el("td", { class: "num" }, loaded ? count(n) : "-")),
    el("td", { class: "num" }, m.memory_mb ? megabytes(m.memory_mb) : "-"),
    el("td", {}, loaded ? `${words(loaded)} ${zoneWords(loaded)}${took}` : "-"));
}

function route(r) {
  const by = Object.entries(r.by_status ?? {}).sort(([a], [b]) => a.localeCompare(b)).map(([code, n]) => `${code}: ${count(n)}`);
  return el("tr", {},
    el("th", { scope: "row" }, r.route),
    el("td", { class: "num" }, count(r.requests)),
    el("td", { class: "num" }, count(r.errors)),
    el("td", {}, by.join(", ") || "-"),
    [r.p50_ms, r.p90_ms, r.p99_ms].map((ms) => el("td", { class: "num" }, milliseconds(ms))));
}

function shadow(s) {
  byId("shadow").hidden = !s.shadow;
  if (s.shadow) {
    const { version, requests, same_first, overlap, dropped } = s.shadow;
    byId("shadow").textContent = requests === 0
      ? `${version} runs in the shadow of the active model and has not been asked yet.`
      : `${version} runs in the shadow of the active model: over ${count(requests)} requests the first place was the same in ${percent(same_first)}, the lists shared ${percent(overlap)}; ${count(dropped)} requests were not compared.`;
  }
}

// rows fills a table; on a phone each cell says what its column is called.
function rows(id, list, empty) {
  const body = byId(id);
  const heads = [...body.closest("table").querySelectorAll("thead th")].map((th) => th.textContent);
  body.replaceChildren(...(list.length > 0 ? list : [none(heads.length, empty)]));
  for (const row of list) {
    [...row.children].forEach((cell, i) => { cell.dataset.label = heads[i]; });
  }
}

/** show fills the page with an answer of /v1/status. */
export function show(s) {
  byId("status").hidden = false;
  checks(s);
  tiles(s);
  rows("models", (s.models ?? []).map(model), "No model is loaded.");
  rows("routes", (s.routes ?? []).map(route), "Nobody has asked yet.");
  shadow(s);
  const gauges = Object.entries(s.gauges ?? {}).map(([name, value]) => ({ name, ...gaugeWords(name, value) })).sort((a, b) => a.order - b.order || a.name.localeCompare(b.name));
  byId("gauges-part").hidden = gauges.length === 0;
  byId("gauges").replaceChildren(...gauges.map((g) => el("div", { title: g.name }, el("dt", {}, g.text), el("dd", {}, g.value))));
}

async function refresh() {
  try {
    show(await status());
    clearProblem(byId("problem"));
    byId("status").classList.remove("old");
    byId("fresh").textContent = `As of ${new Date().toLocaleTimeString([], { hour12: false })}; asked again every five seconds.`;
  } catch (err) {
    showProblem(byId("problem"), err);
    byId("ready").textContent = "No answer";
    byId("ready").className = "";
    byId("status").classList.add("old");
    byId("fresh").textContent = "What stands below, if anything, is the last answer.";
    if (err.status === 401) { // the person has closed the dialog: do not ask him every five seconds
      byId("fresh").textContent = "Load the page again to enter a key.";
      return;
    }
  }
  setTimeout(refresh, every); // after the answer, so that a slow service is not pressed
}

setUpKey();
await refresh();
