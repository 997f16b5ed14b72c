// Numbers and names as people read them. A number and its unit stay on one line.

const gap = "\u00a0";

/** percent writes a share of 1 with two digits that matter: 31 %, 4.2 %, 0.08 %. */
export function percent(share) {
  const p = share * 100;
  if (!Number.isFinite(p)) {
    return "-";
  }
  if (p > 0 && p < 0.01) {
    return `<${gap}0.01${gap}%`;
  }
  if (p > 99.5 && p < 100) {
    return `>${gap}99${gap}%`;
  }
  return `${Number(p.toPrecision(2))}${gap}%`;
}

/** points writes a difference of two shares with its sign: +3.1 points. */
export function points(delta) {
  const p = Number((delta * 100).toPrecision(2));
  if (Math.abs(p) < 0.01) {
    return "no change";
  }
  return `${p < 0 ? "-" : "+"}${Math.abs(p)}${gap}points`;
}

/** distance writes metres: 80 m, 1.2 km, 14 km. */
export function distance(m) {
  if (!Number.isFinite(m)) {
    return "";
  }
  if (m < 995) {
    return `${m < 10 ? Math.round(m) : Math.round(m / 10) * 10}${gap}m`;
  }
  return m < 9950 ? `${(m / 1000).toFixed(1)}${gap}km` : `${count(Math.round(m / 1000))}${gap}km`;
}

/** count writes a whole number in groups of three. */
export function count(n) {
  return String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** plural writes a number with its noun. */
export function plural(n, one, many = one + "s") {
  return `${count(n)} ${n === 1 ? one : many}`;
}

/** leaf is the last level of a category path. */
export function leaf(category) {
  return (category ?? "").split(" > ").at(-1);
}

/** kind is the last level of a category path; empty where the data knows none. */
export function kind(category) {
  const last = leaf(category);
  return last.toLowerCase() === "unknown" ? "" : last;
}

const longKind = 24; // letters

/** title is what people call a place: its name, or its kind where the data has no names,
    without the explanation in brackets of a long one. */
export function title(place) {
  const of = kind(place.category);
  return place.name || (of.length > longKind ? of.replace(/ \([^)]*\)$/, "") : of) || "Place of unknown kind";
}

/** megabytes writes memory: 0.07 MB, 12 MB, 1,400 MB. */
export function megabytes(mb) {
  return `${mb < 100 ? Number(mb.toPrecision(2)) : count(mb)}${gap}MB`;
}

/** position writes degrees to about 10 m. */
export function position(at) {
  return `${at.lat.toFixed(4)}, ${at.lng.toFixed(4)}`;
}

/** readPosition reads "lat, lng"; null for anything else. */
export function readPosition(text) {
  const m = /^\s*(-?\d+(?:\.\d+)?)\s*[,; ]\s*(-?\d+(?:\.\d+)?)\s*$/.exec(text);
  const at = m && { lat: Number(m[1]), lng: Number(m[2]) };
  return at && Math.abs(at.lat) <= 90 && Math.abs(at.lng) <= 180 ? at : null;
}

/** milliseconds writes a latency: 0.8 ms, 12 ms, 1.4 s; a dash for none. */
export function milliseconds(ms) {
  if (!Number.isFinite(ms) || ms <= 0) {
    return "-";
  }
  if (ms >= 1000) {
    return `${Number((ms / 1000).toPrecision(2))}${gap}s`;
  }
  return `${Number(ms.toPrecision(2))}${gap}ms`;
}

/** duration writes seconds in the two largest units that fit: 3 d 4 h, 12 min 5 s. */
export function duration(seconds) {
  const units = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  let left = Math.max(0, Math.round(seconds));
  const parts = [];
  for (const [name, size] of units) {
    const n = Math.floor(left / size);
    left -= n * size;
    if (n > 0 || (parts.length > 0 && parts.length < 2)) {
      parts.push(`${n} ${name}`);
    }
    if (parts.length === 2) {
      break;
    }
  }
  return parts.filter((p) => !p.startsWith("0 ")).join(" ") || "0 s";
}
