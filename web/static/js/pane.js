// One side of the page: a moment, a position and a model of one person, the map and the
// answers. The map page has one or two of them.

import { el, later } from "./dom.js";
import { showAnswers, sortOf, what } from "./answers.js";
import { Controls } from "./controls.js";
import { showDay } from "./dayline.js";
import { MapView } from "./mapview.js";
import { clearProblem, showProblem } from "./notice.js";
import { dayName, format, minutes, next, weekday, words } from "./moment.js";
import { afterLast, homeOf, nobody, onMap, visitsOf } from "./person.js";
import { find, learn } from "./places.js";
import { comesBack, explain, recommend } from "./service.js";
import { Branches, nameless, showTree } from "./tree.js";
import { mattered, showWhy } from "./why.js";
import { percent, plural, title } from "./words.js";

const pause = 120; // ms without a change before the service is asked
const again = 2000; // ms before a service that was away is asked again
const beat = 900; // ms that an hour stays while the day is played
const hours = Array.from({ length: 24 }, (_, h) => h * 60);

/** Pane shows state (a pane of hash.js) and tells shared.changed() when the person at
    the screen changes it. shared: k, others(pane), changed(), moved(pane, view),
    picked(pane, id, layer), answered(pane), all(pane). */
export class Pane {
  constructor(root, name, state, shared) {
    this.root = root;
    this.name = name;
    this.state = state;
    this.shared = shared;
    this.person = nobody();
    this.places = [];
    this.blocks = [];
    this.branches = new Branches();
    this.stop = new AbortController();
    this.afterPause = later(() => this.ask(), pause);
    this.left = 0; // hours that are still to be played
    this.sheet = root.querySelector(".sheet");
    this.problem = root.querySelector(".problem");
    this.controls = new Controls(root, name, {
      when: (day, minute) => { this.play(false); this.change({ day, minute }); },
      play: () => this.play(this.left === 0),
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
    this.map.onAll = () => this.shared.all(this);
  }

  /** soon asks after a pause; the answers shown are old from now on. */
  soon() {
    this.sheet.setAttribute("aria-busy", "true");
    this.afterPause();
  }

  /** play lets the hours of a day pass, each after the answer to the one before. */
  play(yes) {
    clearTimeout(this.beat);
    this.left = yes ? hours.length : 0;
    this.controls.showPlaying(yes);
    if (yes) {
      this.step();
    }
  }

  step() {
    if (this.left === 0) {
      return;
    }
    this.left--;
    if (this.left === 0) {
      this.controls.showPlaying(false);
    }
    const m = this.moment();
    const minute = (Math.floor(minutes(m) / 60) + 1) * 60;
    this.change({ day: (weekday(m) + Math.floor(minute / 1440)) % 7, minute: minute % 1440 });
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
    this.visits = visitsOf(person);
    this.day = null;
    this.play(false);
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
    this.controls.showWhen(m, this.person.last !== null);
    this.controls.showAt(this.position());
    this.map?.setPosition(this.position());
    this.showDay();
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
    clearTimeout(this.retry);
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
      this.sheet.removeAttribute("aria-busy");
      await this.askDay(who, signal);
    } catch (err) {
      if (err.name === "AbortError") {
        return;
      }
      this.failed(err);
    }
    if (this.left > 0) {
      this.beat = setTimeout(() => this.step(), beat);
    }
  }

  // failed says why there is no answer; a service that is away is asked again by itself.
  failed(err) {
    this.play(false);
    showProblem(this.problem, err, comesBack(err) ? "The page asks again every two seconds; the answers below are old." : "");
    this.sheet.removeAttribute("aria-busy");
    if (comesBack(err)) {
      this.retry = setTimeout(() => this.ask(), again);
    }
  }

  take(answer) {
    this.places = answer.places ?? [];
    this.said = null;
    learn(this.places);
    const first = this.places[0];
    const list = this.root.querySelector(".said");
    list.textContent = first
      ? `${plural(this.places.length, "place")} for ${words(this.moment())}; first ${title(first)}, ${percent(first.probability)}`
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
    const visits = (poi) => this.visits?.get(poi) ?? 0;
    const why = this.said && this.said.place.poi === chosen
      ? showWhy(this.said, this.dayNow(chosen), minutes(m), dayName(weekday(m)))
      : el("p", { class: "why muted" }, "Asking why.");
    showAnswers(this.root.querySelector(".answers"), all, {
      chosen, why, visits, others: this.shared.others(this), onChoose: (poi) => this.choose(poi),
    });
    if (this.places.length === 0) {
      this.root.querySelector(".answers").append(el("li", { class: "muted" }, "No place fits."));
    }
    this.root.querySelector(".coldkey").hidden = !all.some((p) => p.source === "cold");
    this.map?.setAnswers(all.map((p) => ({ ...p, sort: sortOf(p, visits(p.poi)), below: `${percent(p.probability)} · ${what(p, visits(p.poi))}` })), chosen);
  }

  // tree shows the areas in the list and on the map.
  tree() {
    showTree(this.root.querySelector(".tree"), this.blocks, this.branches, {
      near: (id) => this.map?.near(id),
      toggled: () => this.drawBranches(),
    });
    this.drawBranches();
  }

  drawBranches() { this.map?.setBranches(this.branches.of(this.blocks)); }

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
    this.blocks = (said.blocks ?? []).map((b) => ({ ...b, inners: b.inners ?? [] }));
    this.branches.meet(this.blocks);
    this.map?.setBlocks(this.blocks);
    this.tree();
    this.list();
    const unnamed = [...nameless(this.blocks, this.branches), ...(poi ? mattered(this.said).filter((a) => !a.name).map((a) => a.poi) : [])];
    if (await find(unnamed, signal)) {
      signal.throwIfAborted();
      this.tree();
      this.list();
    }
  }

  // dayKey says on what a day rests; the hour is no part of it, so that the slider does
  // not ask again.
  dayKey() {
    const m = this.moment();
    return JSON.stringify([weekday(m), this.position(), this.state.model, this.person.user, this.person.steps.length]);
  }

  // dayNow is the chosen place over the hours of the day, if that is known.
  dayNow(poi) {
    return this.day?.key === this.dayKey() && this.day.poi === poi ? this.day.hours : null;
  }

  showDay() {
    const where = this.root.querySelector(".day");
    const fresh = this.day?.key === this.dayKey();
    where.classList.toggle("old", !fresh);
    if (fresh) {
      const m = this.moment();
      showDay(where, this.day.hours.filter((h) => h.first), minutes(m), dayName(weekday(m)), (minute) => this.controls.setMinute(minute));
    }
  }

  // askDay brings what comes first at each hour of the day, and what the chosen place gets.
  async askDay(who, signal) {
    const key = this.dayKey();
    const poi = this.state.poi;
    if (this.day?.key === key && (poi === "" || this.day.poi === poi)) {
      return;
    }
    const m = this.moment();
    const after = this.person.last ?? { wall: m.wall - 86_400_000, offset: m.offset };
    const moments = hours.map((minute) => ({ time: format(next(after, weekday(m), minute)) }));
    const said = await explain({ ...who, k: 1, ...(poi ? { poi } : {}), what_if: moments }, signal);
    signal.throwIfAborted();
    this.day = { key, poi, hours: (said.what_if ?? []).map((w, i) => ({ minute: hours[i], probability: w.probability, first: w.places?.[0] })) };
    this.showDay();
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
