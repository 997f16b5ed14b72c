// Places that the page has heard of. Actions name places by id only; where those are is
// asked once for each.

import { poi, pois } from "./service.js";
import { title } from "./words.js";

const known = new Map();
const absent = new Set();
const atOnce = 6;
const pages = 3; // of a thousand places each: more dots say no more

/** learn remembers places: {poi or id, name, category, lat, lng}. */
export function learn(list) {
  for (const p of list) {
    const id = p.id ?? p.poi;
    const before = known.get(id);
    known.set(id, { id, name: p.name || before?.name || "", category: p.category || before?.category || "", lat: p.lat, lng: p.lng });
  }
}

/** place returns what is known of an id, or undefined. */
export const place = (id) => known.get(id);

/** nameOf is what people call a place; of one that is not known, its id. */
export const nameOf = (id) => (known.has(id) ? title(known.get(id)) : id);

/** listName tells a place from all others: places without a name share their kind. */
export const listName = (p) => p.name || `${title(p)} ${p.id}`;

/** names lists the known places for a field with suggestions. */
export const names = () => [...known.values()];

/** byName finds a place by its id or by what listName says; undefined if there is none. */
export function byName(text) {
  return known.get(text) ?? names().find((p) => listName(p).toLowerCase() === text.toLowerCase());
}

/** find asks for those of the ids that are not known yet, and says whether there were any. A place that the service does
    not have is left out: a history may name places that are gone. */
export async function find(ids, signal) {
  const todo = [...new Set(ids)].filter((id) => !known.has(id) && !absent.has(id));
  const some = todo.length > 0;
  const work = async () => {
    for (let id = todo.pop(); id !== undefined; id = todo.pop()) {
      try {
        learn([await poi(id, signal)]);
      } catch (err) {
        if (err.status !== 404) {
          throw err;
        }
        absent.add(id);
      }
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return some;
}

/** inBox lists places of the catalog inside a box, and whether there are more. */
export async function inBox(box, signal) {
  const all = [];
  let cursor = "";
  for (let i = 0; i < pages; i++) {
    const page = await pois(box, cursor, signal);
    all.push(...(page.items ?? []).filter((p) => !p.closed));
    cursor = page.next ?? "";
    if (cursor === "") {
      break;
    }
  }
  learn(all);
  return { list: all, more: cursor !== "" };
}
