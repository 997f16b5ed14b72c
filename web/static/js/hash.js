// The state of the map page in the part of its address after #, so that a view can be
// sent to somebody. What cannot be read is left at its default: an address is typed and
// cut off by people.

/** emptyPane is a pane that nobody has touched: the next moment, the last place. */
export function emptyPane() {
  return { day: null, minute: null, at: null, model: "", poi: "" };
}

/** emptyState is the page as it opens. */
export function emptyState() {
  return { user: "", history: [], k: 10, compare: false, view: null, panes: [emptyPane(), emptyPane()] };
}

function numbers(text, separator, limits) {
  const parts = (text ?? "").split(separator).map((p) => (p.trim() === "" ? NaN : Number(p)));
  const good = parts.length === limits.length && parts.every((p, i) => p >= limits[i][0] && p <= limits[i][1]);
  return good ? parts : null;
}

function readPane(query, name) {
  const pane = emptyPane();
  const when = numbers(query.get(name + "t"), "-", [[0, 6], [0, 1439]]);
  if (when && when.every(Number.isInteger)) {
    [pane.day, pane.minute] = when;
  }
  const at = numbers(query.get(name + "p"), ",", [[-90, 90], [-180, 180]]);
  if (at) {
    pane.at = { lat: at[0], lng: at[1] };
  }
  pane.model = query.get(name + "m") ?? "";
  pane.poi = query.get(name + "s") ?? "";
  return pane;
}

/** read makes a state of the text after #. */
export function read(text) {
  const query = new URLSearchParams(text.replace(/^#/, ""));
  const state = emptyState();
  state.user = query.get("u") ?? "";
  for (const step of query.getAll("h")) {
    const cut = step.lastIndexOf("@");
    if (cut > 0) {
      state.history.push({ poi: step.slice(0, cut), time: step.slice(cut + 1) });
    }
  }
  const k = Number(query.get("k"));
  if (Number.isInteger(k) && k >= 1 && k <= 50) {
    state.k = k;
  }
  state.compare = query.get("c") === "1";
  const view = numbers(query.get("v"), "/", [[0, 24], [-90, 90], [-180, 180]]);
  if (view) {
    state.view = { zoom: view[0], lat: view[1], lng: view[2] };
  }
  state.panes = [readPane(query, "a"), readPane(query, "b")];
  return state;
}

/** write makes the text after # of a state; read brings the same state back. */
export function write(state) {
  const query = new URLSearchParams();
  if (state.user) {
    query.set("u", state.user);
  }
  for (const step of state.history) {
    query.append("h", `${step.poi}@${step.time}`);
  }
  if (state.k !== 10) {
    query.set("k", state.k);
  }
  if (state.compare) {
    query.set("c", "1");
  }
  if (state.view) {
    const { zoom, lat, lng } = state.view;
    query.set("v", `${round(zoom, 2)}/${round(lat, 5)}/${round(lng, 5)}`);
  }
  state.panes.slice(0, state.compare ? 2 : 1).forEach((pane, i) => writePane(query, "ab"[i], pane));
  return query.toString();
}

function writePane(query, name, pane) {
  if (pane.day !== null && pane.minute !== null) {
    query.set(name + "t", `${pane.day}-${pane.minute}`);
  }
  if (pane.at) {
    query.set(name + "p", `${round(pane.at.lat, 5)},${round(pane.at.lng, 5)}`);
  }
  if (pane.model) {
    query.set(name + "m", pane.model);
  }
  if (pane.poi) {
    query.set(name + "s", pane.poi);
  }
}

function round(x, digits) {
  return Number(x.toFixed(digits));
}
