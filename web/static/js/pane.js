// One side of the page: a moment, a position and a model of one person, the map and the
// answers. The map page has one or two of them.

import { el, later } from "./dom.js";
import { showAnswers } from "./answers.js";
import { Controls } from "./controls.js";
import { MapView } from "./mapview.js";
import { clearProblem, showProblem } from "./notice.js";
import { dayName, format, minutes, next, weekday, words, zoneWords } from "./moment.js";
import { afterLast, homeOf, nobody, onMap } from "./person.js";
import { learn } from "./places.js";
import { explain, recommend } from "./service.js";
import { showTree } from "./tree.js";
import { showWhy } from "./why.js";
import { percent, plural } from "./words.js";

const pause = 120; // ms without a change before the service is asked

/** Pane shows state (a pane of hash.js) and tells shared.changed() when the person at
    the screen changes it. shared: k, others(pane), changed(), moved(pane, view),
    picked(pane, id, layer), answered(pane). */
export class Pane {
  constructor(root, name, state, shared) {
    this.root = root;
    this.name = name;
    this.state = state;
    this.shared = shared;
    this.person = nobody();
    this.places = [];
    this.opened = new Set();
    this.stop = new AbortController();
    this.afterPause = later(() => this.ask(), pause);
    this.sheet = root.querySelector(".sheet");
    this.problem = root.querySelector(".problem");
    this.controls = new Controls(root, name, {
      when: (day, minute) => this.change({ day, minute }),
      at: (at) => this.change({ at }),
      model: (model) => this.change({ model }),
    });
    root.setAttribute("aria-label", name);
    root.querySelector(".side").textContent = name;
  }

  /** openMap draws; a browser without WebGL gets the lists and a sentence. */
  openMap(view, basemap) {
    try {
      this.map = new MapView(this.root.querySelector(".map"), `Map, ${this.name}`, view, basemap);
    } catch (err) {
      const note = this.root.querySelector(".nomap");
      note.hidden = false;
      note.textContent = `There is no map, because this browser does not draw with WebGL 2 (${err.name}). The answers work.`;
      return;
    }
    this.map.onMove = (v) => this.shared.moved(this, v);
    this.map.onPosition = (at) => this.change({ at });
    this.map.onPick = (id, layer) => this.shared.picked(this, id, layer);
  }

  /** soon asks after a pause; the answers shown are old from now on. */
  soon() {
    this.sheet.setAttribute("aria-busy", "true");
    this.afterPause();
  }

  change(values) {
    Object.assign(this.state, values);
    this.show();
    this.shared.changed();
    this.soon();
  }

  /** meet puts another person into the pane. */
  meet(person) {
    this.person = person;
    this.curve = null;
    this.show();
    this.map?.setPast(onMap(person));
    this.soon();
  }

  /** moment is what is asked about: the next such hour after the last action. */
  moment() {
    const first = afterLast(this.person);
    if (this.state.day === null) {
      return first;
    }
    const after = this.person.last ?? { wall: first.wall - 1, offset: first.offset };
    return next(after, this.state.day, this.state.minute);
  }

  position() { return this.state.at ?? homeOf(this.person); }

  /** show brings controls and marker to the state. */
  show() {
    const m = this.moment();
    this.controls.showWhen(weekday(m), minutes(m));
    this.controls.showAt(this.position());
    this.map?.setPosition(this.position());
    this.root.querySelector(".moment").textContent = `${words(m)} (${zoneWords(m)}), the next one after ${this.person.last ? "the last action" : "now"}`;
  }

  // who is the part of a request that says who, when and where.
  who() {
    const at = this.position();
    const who = { time: format(this.moment()) };
    if (this.person.user) {
      who.user = this.person.user;
    } else if (this.person.steps.length > 0) {
      who.history = this.person.steps.map((s) => ({ poi: s.poi, time: s.time }));
    }
    if (at) {
      Object.assign(who, { lat: at.lat, lng: at.lng });
    }
    if (this.state.model) {
      who.model = this.state.model;
    }
    return who;
  }

  /** ask brings answers; those of an older question are dropped. */
  async ask() {
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    const who = this.who();
    try {
      const answer = await recommend({ ...who, k: this.shared.k }, signal);
      signal.throwIfAborted();
      this.take(answer);
      await this.askWhy(who, signal);
      clearProblem(this.problem);
    } catch (err) {
      if (err.name === "AbortError") {
        return;
      }
      showProblem(this.problem, err);
    }
    this.sheet.removeAttribute("aria-busy");
  }

  take(answer) {
    this.places = answer.places ?? [];
    this.said = null;
    learn(this.places);
    const first = this.places[0];
    const list = this.root.querySelector(".said");
    list.textContent = first
      ? `${plural(this.places.length, "place")} for ${words(this.moment())}; first ${first.name || first.poi}, ${percent(first.probability)}`
      : "No place fits.";
    this.root.querySelector(".source").textContent = sourceWords(answer);
    this.list();
    this.shared.answered(this);
  }

  /** list shows the answers as they are; also after the other pane has got new ones. */
  list() {
    const chosen = this.state.poi;
    const known = this.places.some((p) => p.poi === chosen);
    const extra = chosen && !known && this.said ? [{ ...this.said.place, rank: 0 }] : [];
    const all = [...this.places, ...extra];
    const m = this.moment();
    const why = this.said && this.said.place.poi === chosen
      ? showWhy(this.said, this.curveNow(), minutes(m), dayName(weekday(m)))
      : el("p", { class: "why muted" }, "Asking why.");
    showAnswers(this.root.querySelector(".answers"), all, {
      chosen, why, others: this.shared.others(this), onChoose: (poi) => this.choose(poi),
    });
    if (this.places.length === 0) {
      this.root.querySelector(".answers").append(el("li", { class: "muted" }, "No place fits."));
    }
    this.map?.setAnswers(all, chosen);
  }

  /** choose opens the part that says why; "" closes it. */
  choose(poi) {
    this.state.poi = poi;
    this.list();
    this.shared.changed();
    this.soon();
  }

  async askWhy(who, signal) {
    const poi = this.state.poi;
    const question = { ...who, k: Math.min(this.shared.k, 50), ...(poi ? { poi } : {}) };
    const said = await explain(question, signal);
    signal.throwIfAborted();
    this.said = { ...said, actions: said.actions ?? [] };
    const blocks = (said.blocks ?? []).map((b) => ({ ...b, inners: b.inners ?? [] }));
    this.map?.setBlocks(blocks);
    showTree(this.root.querySelector(".tree"), blocks, this.opened, (id) => this.map?.near(id));
    this.list();
    if (poi && !this.curveNow()) {
      await this.askCurve(question, signal);
    }
  }

  // The curve is the same for all hours of a day, so that the slider does not ask again.
  curveKey() {
    const m = this.moment();
    return JSON.stringify([this.state.poi, weekday(m), this.position(), this.state.model, this.person.user, this.person.steps.length]);
  }

  curveNow() { return this.curve?.key === this.curveKey() ? this.curve.points : null; }

  async askCurve(question, signal) {
    const key = this.curveKey();
    const m = this.moment();
    const after = this.person.last ?? { wall: m.wall - 86_400_000, offset: m.offset };
    const hours = Array.from({ length: 24 }, (_, h) => h * 60);
    const said = await explain({ ...question, k: 1, what_if: hours.map((minute) => ({ time: format(next(after, weekday(m), minute)) })) }, signal);
    signal.throwIfAborted();
    this.curve = { key, points: (said.what_if ?? []).map((w, i) => ({ minute: hours[i], probability: w.probability })) };
    this.list();
  }
}

/** sourceWords says what answered, and what it rests on. */
export function sourceWords(answer) {
  const parts = [`Model ${answer.version.model}`];
  if (answer.version.variant) {
    parts.push(`variant ${answer.version.variant}`);
  }
  parts.push(`${plural(answer.history ?? 0, "action")} of history`);
  if (answer.source.kind === "fallback") {
    parts.unshift("A fallback answered");
  }
  if (answer.source.reason) {
    parts.push(answer.source.reason);
  }
  if (answer.ignored) {
    parts.push(`${plural(answer.ignored, "action")} on unknown places left out`);
  }
  return [...parts, ...(answer.warnings ?? [])].join("; ") + ".";
}
