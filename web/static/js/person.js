// Whose next place: a person with stored actions, found by the first letters of the
// name, or visits drawn by hand.

import { instant, now, onTheHalf, parse, words } from "./moment.js";
import { find, nameOf, place } from "./places.js";
import { actions } from "./service.js";
import { plural } from "./words.js";

const most = 1000; // actions of a history
const located = 40; // latest places whose positions are asked for

/** nobody is a person of whom nothing is known. */
export function nobody() {
  return { user: "", steps: [], last: null, count: 0 };
}

/** afterLast is the moment that a person is asked about first. */
export function afterLast(person) {
  return person.last ? onTheHalf(person.last, 60) : onTheHalf(now(), 0);
}

/** homeOf is the last place of a person that is known, or null. */
export function homeOf(person) {
  for (const step of person.steps.toReversed()) {
    const p = place(step.poi) ?? (Number.isFinite(step.lat) ? step : null);
    if (p) {
      return { lat: p.lat, lng: p.lng };
    }
  }
  return null;
}

/** visitsOf counts what a person did at each place, a map from place to number. */
export function visitsOf(person) {
  const visits = new Map();
  for (const s of person.steps) {
    visits.set(s.poi, (visits.get(s.poi) ?? 0) + 1);
  }
  return visits;
}

/** located steps of a person, oldest first, for the map. */
export function onMap(person) {
  return person.steps.map((s) => ({ ...s, ...place(s.poi), poi: s.poi })).filter((s) => Number.isFinite(s.lat) && Number.isFinite(s.lng));
}

function byTime(list) {
  return list.map((a) => ({ ...a, at: parse(a.time) })).filter((a) => a.at)
    .sort((a, b) => instant(a.at) - instant(b.at));
}

/** load brings a person's latest actions and the places of the last of them. */
export async function load(user, signal) {
  const all = [];
  let cursor = "";
  do {
    const page = await actions(user, cursor, signal);
    all.push(...(page.items ?? []));
    cursor = page.next ?? "";
  } while (cursor !== "" && all.length < 10 * most);
  const steps = byTime(all).slice(-most);
  await find(steps.slice(-located).map((s) => s.poi), signal);
  return { user, steps, last: steps.at(-1)?.at ?? null, count: all.length };
}

/** drawn makes a person of visits drawn by hand: [{poi, time}]. */
export async function drawn(history, signal) {
  const steps = byTime(history);
  await find(steps.map((s) => s.poi), signal);
  return { user: "", steps, last: steps.at(-1)?.at ?? null, count: steps.length };
}

/** describePerson says in a line who is asked about. */
export function describePerson(person) {
  if (person.count === 0) {
    return person.user ? `${person.user} has no stored actions: a new person.` : "Nobody is chosen: a new person.";
  }
  const who = person.user || "A drawn history";
  const last = person.steps.at(-1);
  return `${who}: ${plural(person.count, "action")}, the last on ${words(person.last)} at ${nameOf(last.poi)}.`;
}
