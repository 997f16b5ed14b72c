// Shapes of the map as GeoJSON: the grid of degrees, areas of the beam, lines, places.
// GeoJSON puts the longitude first.

import { kind, plural, title } from "./words.js";

const kmPerDegree = 111.195;

export const nothing = { type: "FeatureCollection", features: [] };

function feature(type, coordinates, properties) {
  return { type: "Feature", geometry: { type, coordinates }, properties };
}

/** point draws one position. */
export const point = (at) => feature("Point", [at.lng, at.lat], {});

const collection = (features) => ({ type: "FeatureCollection", features });

/** gridStep is the width of the grid, in degrees, that cuts a view into about six. */
export function gridStep(width) {
  const raw = width / 6;
  const ten = 10 ** Math.floor(Math.log10(raw));
  return Math.min(30, [1, 2, 5, 10].find((m) => m * ten >= raw * (1 - 1e-9)) * ten);
}

/** degrees writes a coordinate with its letter and as many digits as the grid needs. */
export function degrees(x, step, letters) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return `${Math.abs(x).toFixed(digits)}° ${x < 0 ? letters[1] : letters[0]}`;
}

/** graticule draws the grid of a view {south, west, north, east}. Its labels stand at the
    right and the lower edge, away from the corners, where controls and the legend are. */
export function graticule(view) {
  const step = gridStep(Math.max(view.east - view.west, 1e-4));
  const features = [];
  const south = Math.max(-85, view.south - step);
  const north = Math.min(85, view.north + step);
  const inside = (x, from, to) => x > from + (to - from) * 0.02 && x < to - (to - from) * 0.3;
  for (let i = Math.ceil((view.west - step) / step); i * step <= view.east + step; i++) {
    const lng = i * step;
    features.push(feature("LineString", [[lng, south], [lng, north]], {}));
    if (inside(lng, view.west, view.east)) {
      const around = ((lng + 180) % 360 + 360) % 360 - 180;
      features.push(feature("Point", [lng, Math.max(view.south, -85)], { label: degrees(around, step, "EW"), side: "bottom" }));
    }
  }
  for (let i = Math.ceil(south / step); i * step <= north; i++) {
    const lat = i * step;
    features.push(feature("LineString", [[view.west - step, lat], [view.east + step, lat]], {}));
    const up = (lat - view.south) / (view.north - view.south);
    if (up > 0.2 && up < 0.8) {
      features.push(feature("Point", [view.east, lat], { label: degrees(lat, step, "NS"), side: "right" }));
    }
  }
  return collection(features);
}

/** shade is the class of a probability, 0 to 4: the five colours of the heat. */
export function shade(probability) {
  return [0.01, 0.05, 0.15, 0.4].filter((limit) => probability >= limit).length;
}

/** blockAreas draws the areas of the beam as rectangles. */
export function blockAreas(blocks) {
  return collection(blocks.map((b) => {
    const east = b.east < b.west ? b.east + 360 : b.east;
    const ring = [[b.west, b.south], [east, b.south], [east, b.north], [b.west, b.north], [b.west, b.south]];
    return feature("Polygon", [ring], { block: b.block, probability: b.probability, shade: shade(b.probability) });
  }));
}

/** heart of an area of the beam: the middle of its places, each as heavy as it is likely;
    of an area without places its middle. */
export function heart(b) {
  const all = b.inners.reduce((sum, p) => sum + p.probability, 0);
  if (all > 0) {
    const mean = (of) => b.inners.reduce((sum, p) => sum + p.probability * of(p), 0) / all;
    return { lat: mean((p) => p.lat), lng: mean((p) => p.lng) };
  }
  const east = b.east < b.west ? b.east + 360 : b.east;
  return { lat: (b.south + b.north) / 2, lng: (b.west + east) / 2 };
}

/** beamLines draws branches of the tree: from a person to areas, and from areas to their
    places. */
export function beamLines(from, blocks, leaves = 6) {
  const features = [];
  for (const b of blocks) {
    const m = heart(b);
    if (from) {
      features.push(feature("LineString", [[from.lng, from.lat], [m.lng, m.lat]], { probability: b.probability, level: 0 }));
    }
    for (const p of b.inners.slice(0, leaves)) {
      features.push(feature("LineString", [[m.lng, m.lat], [p.lng, p.lat]], { probability: b.probability * p.probability, level: 1 }));
    }
  }
  return collection(features);
}

/** glow draws the heat inside the areas: each place by what it gets of its area. */
export function glow(blocks) {
  return collection(blocks.flatMap((b) => b.inners.map((p) => {
    const probability = b.probability * p.probability;
    return feature("Point", [p.lng, p.lat], { probability, shade: shade(probability * 4) }); // a place has less than an area
  })));
}

/** radius of the circle of an answer in pixels: the likelier, the larger. */
export function radius(probability) {
  return 9 + 13 * Math.sqrt(Math.max(0, Math.min(1, probability)));
}

/** answerPoints draws the places of an answer, the first one last, so that it lies on top.
    at(place) is where its circle is drawn, {lat, lng}; a stalk leads to where it is. */
export function answerPoints(places, chosen, at) {
  return collection(places.flatMap((p) => {
    const there = at(p);
    const stalk = [[p.lng, p.lat], [there.lng, there.lat]];
    return [
      feature("LineString", stalk, {}),
      feature("Point", [there.lng, there.lat], {
        poi: p.poi, name: title(p), below: p.below, rank: p.rank > 0 ? String(p.rank) : "", order: -p.rank,
        radius: radius(p.probability), sort: p.sort, chosen: p.poi === chosen,
      }),
    ];
  }));
}

/** pastLine draws where a person was, in order, and each place once with its visits. */
export function pastLine(steps) {
  const seen = new Map();
  for (const s of steps) {
    seen.set(s.poi, { ...s, visits: (seen.get(s.poi)?.visits ?? 0) + 1 });
  }
  const points = [...seen.values()].map((s) => feature("Point", [s.lng, s.lat], { poi: s.poi, name: title(s), below: plural(s.visits, "visit"), visits: s.visits }));
  const line = steps.slice(-20).map((s) => [s.lng, s.lat]);
  return collection(line.length > 1 ? [feature("LineString", line, {}), ...points] : points);
}

/** catalogPoints draws places of the catalog. */
export function catalogPoints(pois) {
  return collection(pois.map((p) => feature("Point", [p.lng, p.lat], { poi: p.id, name: title(p), below: p.name ? kind(p.category) : p.id })));
}

/** around is the box of a list of positions with a margin, at least two kilometres wide. */
export function around(points) {
  const lats = points.map((p) => p.lat);
  const lngs = points.map((p) => p.lng);
  const box = { south: Math.min(...lats), north: Math.max(...lats), west: Math.min(...lngs), east: Math.max(...lngs) };
  const lat = (box.south + box.north) / 2;
  const high = Math.max((box.north - box.south) * 0.12, 1 / kmPerDegree);
  const wide = Math.max((box.east - box.west) * 0.12, 1 / (kmPerDegree * Math.max(0.05, Math.cos(lat * Math.PI / 180))));
  return { south: box.south - high, north: box.north + high, west: box.west - wide, east: box.east + wide };
}
