// The status page: asks every five seconds, also while there is no traffic.

import { byId, el } from "./dom.js";
import { setUpKey } from "./keydialog.js";
import { clearProblem, showProblem } from "./notice.js";
import { parse, words, zoneWords } from "./moment.js";
import { status } from "./service.js";
import { count, duration, milliseconds, percent } from "./words.js";

const every = 5000; // ms

function tile(name, value, below = "") {
  return el("li", {}, el("span", { class: "name" }, name), el("span", { class: "value" }, value), el("span", { class: "below" }, below));
}

function tiles(s) {
  const started = Date.parse(s.started);
  const routes = s.routes ?? [];
  const requests = routes.reduce((sum, r) => sum + r.requests, 0);
  const errors = routes.reduce((sum, r) => sum + r.errors, 0);
  byId("tiles").replaceChildren(
    tile("up for", Number.isFinite(started) ? duration((Date.now() - started) / 1000) : "-", `version ${s.version}`),
    tile("places", count(s.pois)),
    tile("people", count(s.users)),
    tile("actions", count(s.actions), `kept in ${s.store}`),
    tile("requests", count(requests), requests === 0 ? "nobody has asked yet" : `${count(errors)} errors, ${percent(errors / requests)}`),
  );
}

function checks(s) {
  byId("ready").textContent = s.ready ? "Ready to answer" : "Not ready";
  byId("ready").className = s.ready ? "ready yes" : "ready";
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
    el("td", {}, (m.roles ?? []).join(", ")),
    el("td", { class: "num" }, count(m.places)),
    el("td", { class: "num" }, count(m.users)),
    el("td", { class: "num" }, count(m.requests)),
    el("td", { class: "num" }, m.memory_mb ? `${count(m.memory_mb)} MB` : "-"),
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

/** show fills the page with an answer of /v1/status. */
export function show(s) {
  byId("status").hidden = false;
  checks(s);
  tiles(s);
  const models = (s.models ?? []).map(model);
  byId("models").replaceChildren(...(models.length > 0 ? models : [none(8, "No model is loaded.")]));
  const routes = (s.routes ?? []).map(route);
  byId("routes").replaceChildren(...(routes.length > 0 ? routes : [none(7, "Nobody has asked yet.")]));
  shadow(s);
  const gauges = Object.entries(s.gauges ?? {}).sort(([a], [b]) => a.localeCompare(b));
  byId("gauges-part").hidden = gauges.length === 0;
  byId("gauges").replaceChildren(...gauges.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(Number(value.toPrecision(4)))))));
}

async function refresh() {
  try {
    show(await status());
    clearProblem(byId("problem"));
    byId("fresh").textContent = `As of ${new Date().toLocaleTimeString([], { hour12: false })}; asked again every five seconds.`;
  } catch (err) {
    showProblem(byId("problem"), err);
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
