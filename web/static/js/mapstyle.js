// How the map looks. Colours come from style.css, so that light and dark are decided in
// one place; text is drawn with fonts of the browser's own machine.

import { nothing } from "./geometry.js";

const fonts = ["Noto Sans", "Helvetica Neue", "Arial", "sans-serif"];
const shadeColours = ["far1", "far2", "far3", "far4", "far5"];

/** colours reads the palette of the page as it is now. */
export function colours() {
  const css = getComputedStyle(document.documentElement);
  const names = ["paper", "card", "ink", "muted", "line", "grid", "accent", "sea", "land", "water", "green", "road", "s1", "s2", "s3", "s4", ...shadeColours];
  return Object.fromEntries(names.map((name) => [name, css.getPropertyValue(`--${name}`).trim()]));
}

/** sourceNames are the sources whose data the page sets. */
export const sourceNames = ["graticule", "catalog", "blocks", "glow", "beam", "past", "me", "places"];

/** mapStyle is the style object of a map, over a basemap where there is one. */
export function mapStyle(basemap) {
  const c = colours();
  const own = Object.fromEntries(sourceNames.map((name) => [name, { type: "geojson", data: nothing }]));
  return {
    version: 8,
    sources: { ...own, ...(basemap ? basemap.sources : {}) },
    layers: [
      { id: "ground", type: "background", paint: { "background-color": c.sea } },
      ...(basemap ? basemap.layers(c) : []),
      ...gridLayers(c),
      ...heatLayers(c),
      ...placeLayers(c),
      ...(basemap ? basemap.labels(c) : []),
      ...answerLayers(c),
    ],
  };
}

function label(c, size = 12) {
  return {
    layout: { "text-font": fonts, "text-size": size, "text-optional": true },
    paint: { "text-color": c.ink, "text-halo-color": c.sea, "text-halo-width": 1.5 },
  };
}

/** labelStyle gives layers of a basemap the same letters. */
export const labelStyle = label;

function gridLayers(c) {
  const edge = (side, anchor) => {
    const l = label(c, 11);
    return {
      id: `grid-${side}`, type: "symbol", source: "graticule", filter: ["==", ["get", "side"], side],
      layout: { ...l.layout, "text-field": ["get", "label"], "text-anchor": anchor, "text-offset": side === "right" ? [-0.3, -0.6] : [0.3, -0.3] },
      paint: { ...l.paint, "text-color": c.muted },
    };
  };
  return [
    { id: "grid", type: "line", source: "graticule", filter: ["==", ["geometry-type"], "LineString"], paint: { "line-color": c.line, "line-width": 1 } },
    edge("right", "right"),
    edge("bottom", "bottom-left"),
  ];
}

// likelier grows with the probability of a feature, fast at first: most are small.
function likelier(least, most) {
  return ["interpolate", ["linear"], ["sqrt", ["get", "probability"]], 0, least, 1, most];
}

function heatLayers(c) {
  const colour = ["match", ["get", "shade"], ...shadeColours.flatMap((name, i) => [i, c[name]]), c.far1];
  return [
    { id: "heat", type: "fill", source: "blocks", paint: { "fill-color": colour, "fill-opacity": likelier(0.04, 0.28) } },
    { id: "heat-edge", type: "line", source: "blocks", paint: { "line-color": colour, "line-width": 1, "line-opacity": likelier(0.3, 1) } },
    {
      id: "glow", type: "circle", source: "glow",
      paint: { "circle-color": colour, "circle-opacity": 0.55, "circle-blur": 1, "circle-radius": likelier(6, 70) },
    },
    {
      id: "heat-near", type: "line", source: "blocks", filter: ["==", ["get", "block"], ""],
      paint: { "line-color": c.ink, "line-width": 3 },
    },
    {
      id: "beam", type: "line", source: "beam", layout: { "line-cap": "round" },
      paint: { "line-color": c.s2, "line-width": likelier(0.6, 5), "line-opacity": 0.6 },
    },
  ];
}

function placeLayers(c) {
  return [
    {
      id: "catalog", type: "circle", source: "catalog",
      paint: { "circle-color": c.muted, "circle-opacity": 0.35, "circle-radius": ["interpolate", ["linear"], ["zoom"], 9, 1.2, 14, 3.5, 17, 6] },
    },
    {
      id: "past-line", type: "line", source: "past", filter: ["==", ["geometry-type"], "LineString"],
      paint: { "line-color": c.s3, "line-width": 1.2, "line-opacity": 0.55, "line-dasharray": [3, 2] },
    },
    {
      id: "past", type: "circle", source: "past", filter: ["==", ["geometry-type"], "Point"],
      paint: {
        "circle-color": c.card, "circle-stroke-color": c.s3, "circle-stroke-width": 1.5,
        "circle-radius": ["interpolate", ["linear"], ["sqrt", ["get", "visits"]], 1, 3.5, 6, 9],
      },
    },
  ];
}

function answerLayers(c) {
  const l = label(c, 12);
  const chosen = ["==", ["get", "chosen"], true];
  const colour = ["match", ["get", "sort"], "before", c.s3, "cold", c.s4, c.s1];
  const circles = ["==", ["geometry-type"], "Point"];
  return [
    {
      id: "stalks", type: "line", source: "places", filter: ["==", ["geometry-type"], "LineString"], layout: { "line-cap": "round" },
      paint: { "line-color": c.ink, "line-width": 2 },
    },
    {
      id: "places", type: "circle", source: "places", filter: circles,
      layout: { "circle-sort-key": ["get", "order"] },
      paint: {
        "circle-color": colour,
        "circle-radius": ["get", "radius"],
        "circle-stroke-color": ["case", chosen, c.ink, c.card],
        "circle-stroke-width": ["case", chosen, 3, 1.5],
      },
    },
    {
      id: "names", type: "symbol", source: "places", filter: circles,
      layout: {
        ...l.layout, "text-field": ["get", "name"], "text-max-width": 9, "symbol-sort-key": ["-", 0, ["get", "order"]],
        "text-variable-anchor": ["top", "bottom", "left", "right"], "text-radial-offset": ["+", 0.3, ["/", ["get", "radius"], 12]], "text-justify": "auto",
      },
      paint: l.paint,
    },
    {
      // Above the names and first in the search for room, so that no name lies on a rank.
      id: "ranks", type: "symbol", source: "places", filter: circles,
      layout: { ...l.layout, "text-field": ["get", "rank"], "text-allow-overlap": true, "text-padding": 8, "symbol-sort-key": ["get", "order"] },
      paint: { "text-color": c.card },
    },
    {
      // The marker of the person is no part of the drawing; this keeps names away from it.
      id: "me", type: "symbol", source: "me",
      layout: { "text-font": fonts, "text-field": "●", "text-size": 40, "text-allow-overlap": true },
      paint: { "text-opacity": 0 },
    },
  ];
}
