// The HTTP interface of the service: one function for each question the pages ask.
// Every failure is a Problem that can be shown to a person.

const base = document.documentElement.dataset.api ?? "";
const drawer = "whereto.key";

/** Problem is why a question was not answered, as the service put it (RFC 9457). */
export class Problem extends Error {
  constructor(status, title, detail = "", errors = []) {
    super(detail || title);
    this.status = status;
    this.title = title;
    this.detail = detail;
    this.errors = errors;
  }
}

/** comesBack tells whether the same question may be answered in a while: the service is
    not there, or says that a part of it is not. */
export function comesBack(err) {
  return err instanceof Problem && (err.status === 0 || err.status === 502 || err.status === 503);
}

let askKey = null; // shows the dialog; resolves to a key, or to null if the person gave up
let asking = null; // one dialog for all questions that wait for it

/** onMissingKey says who asks the person for a key. */
export function onMissingKey(ask) {
  askKey = ask;
}

/** hasKey tells whether this tab holds a key. */
export function hasKey() {
  return sessionStorage.getItem(drawer) !== null;
}

/** forgetKey removes the key from this tab. */
export function forgetKey() {
  sessionStorage.removeItem(drawer);
}

async function problemOf(response) {
  const title = `${response.status} ${response.statusText || "refused"}`;
  let text = "";
  if (/\bjson\b/.test(response.headers.get("Content-Type") ?? "")) {
    const said = await response.json().catch(() => null);
    if (said && typeof said === "object") {
      const errors = Array.isArray(said.errors) ? said.errors : [];
      return new Problem(response.status, said.title || title, said.detail || wait(response), errors);
    }
  } else {
    text = (await response.text()).slice(0, 300).trim();
  }
  return new Problem(response.status, title, text.startsWith("<") ? "" : text || wait(response));
}

function wait(response) {
  const seconds = response.headers.get("Retry-After");
  return seconds ? `Ask again in ${seconds} s.` : "";
}

async function send(method, path, body, signal) {
  const headers = { Accept: "application/json" };
  const key = sessionStorage.getItem(drawer);
  if (key !== null) {
    headers.Authorization = `Bearer ${key}`;
  }
  if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    body = JSON.stringify(body);
  }
  try {
    return await fetch(base + path, { method, headers, body, signal, cache: "no-store" });
  } catch (err) {
    if (err.name === "AbortError") {
      throw err;
    }
    throw new Problem(0, "The service cannot be reached", "Is it running, and is this computer connected to it?");
  }
}

async function keyFromPerson(refused) {
  asking ??= askKey(refused).finally(() => { asking = null; });
  return asking;
}

// authorised sends until the service takes the key or the person gives up.
async function authorised(method, path, body, signal) {
  for (;;) {
    const before = sessionStorage.getItem(drawer);
    const response = await send(method, path, body, signal);
    if (response.status !== 401 || !askKey) {
      return response;
    }
    // Another question may have brought a new key while this one was on its way.
    if (sessionStorage.getItem(drawer) === before) {
      const key = await keyFromPerson(before !== null);
      if (key === null) {
        return response;
      }
      sessionStorage.setItem(drawer, key);
    }
    signal?.throwIfAborted();
  }
}

async function ask(method, path, body, signal) {
  const response = await authorised(method, path, body, signal);
  if (!response.ok) {
    throw await problemOf(response);
  }
  try {
    return await response.json();
  } catch (err) {
    if (err.name === "AbortError") {
      throw err;
    }
    throw new Problem(response.status, "The service sent something else than JSON", `${method} ${path}`);
  }
}

function list(path, values, signal) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (value !== "" && value !== undefined) {
      query.set(name, value);
    }
  }
  return ask("GET", `${path}?${query}`, undefined, signal);
}

/** recommend asks where a person goes next. */
export const recommend = (request, signal) => ask("POST", "/v1/recommend", request, signal);

/** explain asks why a place, and what if. */
export const explain = (request, signal) => ask("POST", "/v1/explain", request, signal);

/** users lists people with stored actions whose names begin with a prefix. */
export const users = (prefix, cursor, signal) => list("/v1/users", { limit: 20, prefix, cursor }, signal);

/** actions lists what a person did. */
export const actions = (user, cursor, signal) =>
  list(`/v1/users/${encodeURIComponent(user)}/actions`, { limit: 1000, cursor }, signal);

/** pois lists places inside a box {south, west, north, east} of degrees. */
export const pois = (box, cursor, signal) =>
  list("/v1/pois", { limit: 1000, bbox: [box.west, box.south, box.east, box.north].map((x) => x.toFixed(5)).join(","), cursor }, signal);

/** poi returns one place. */
export const poi = (id, signal) => ask("GET", `/v1/pois/${encodeURIComponent(id)}`, undefined, signal);

/** status says how the service is. */
export const status = (signal) => ask("GET", "/v1/status", undefined, signal);
