// The basemap, one PMTiles file served beside the page and read in parts. Vector tiles
// differ in how they name their layers; the names of the common schemes are known here.

import { addProtocol } from "../vendor/maplibre-gl-6.17.0/maplibre-gl.mjs";
import { labelStyle } from "./mapstyle.js";

const roles = {
  land: ["earth", "land"],
  green: ["landuse", "landcover", "park", "natural"],
  water: ["water", "ocean", "water_polygons"],
  buildings: ["buildings", "building"],
  roads: ["roads", "transportation", "streets", "road"],
  borders: ["boundaries", "boundary"],
  names: ["places", "place", "place_labels"],
};

const vectorTiles = 1; // of the file's header; the other kinds are pictures

/** openBasemap reads the head of the file; the answer goes into mapStyle. */
export async function openBasemap() {
  const url = new URL("../basemap.pmtiles", import.meta.url).href;
  const archive = new globalThis.pmtiles.PMTiles(url);
  const protocol = new globalThis.pmtiles.Protocol();
  protocol.add(archive);
  addProtocol("pmtiles", protocol.tile);
  const [header, metadata] = await Promise.all([archive.getHeader(), archive.getMetadata()]);
  const names = (metadata?.vector_layers ?? []).map((l) => l.id);
  const picture = header.tileType !== vectorTiles;
  const source = {
    type: picture ? "raster" : "vector", url: `pmtiles://${url}`,
    attribution: plain(metadata?.attribution ?? ""),
    ...(picture ? { tileSize: 256 } : {}),
  };
  return {
    sources: { basemap: source },
    layers: (c) => (picture ? [{ id: "base", type: "raster", source: "basemap" }] : ground(c, names)),
    labels: (c) => (picture ? [] : placeNames(c, names)),
    bounds: { south: header.minLat, west: header.minLon, north: header.maxLat, east: header.maxLon },
  };
}

// plain leaves the text of an attribution, which may be markup.
function plain(markup) {
  return new DOMParser().parseFromString(markup, "text/html").body.textContent.replaceAll("<", "");
}

function layersOf(role, names, make) {
  return names.filter((name) => roles[role].includes(name)).map((name) => ({
    id: `base-${role}-${name}`, source: "basemap", "source-layer": name, ...make(name),
  }));
}

const shapeIs = (shape) => ["match", ["geometry-type"], [shape, `Multi${shape}`], true, false];

function ground(c, names) {
  const area = (colour) => () => ({ type: "fill", filter: shapeIs("Polygon"), paint: { "fill-color": colour } });
  const line = (colour, width, dash) => () => ({
    type: "line", filter: shapeIs("LineString"),
    paint: { "line-color": colour, "line-width": width, ...(dash ? { "line-dasharray": dash } : {}) },
  });
  const growing = ["interpolate", ["exponential", 1.5], ["zoom"], 8, 0.4, 14, 1.6, 18, 10];
  return [
    ...layersOf("land", names, area(c.land)),
    ...layersOf("green", names, area(c.green)),
    ...layersOf("water", names, area(c.water)),
    ...layersOf("buildings", names, () => ({ ...area(c.line)(), minzoom: 13 })),
    ...layersOf("roads", names, line(c.road, growing)),
    ...layersOf("borders", names, line(c.muted, 0.8, [4, 2])),
  ];
}

function placeNames(c, names) {
  const l = labelStyle(c, 12);
  return layersOf("names", names, () => ({
    type: "symbol", filter: shapeIs("Point"),
    layout: { ...l.layout, "text-field": ["coalesce", ["get", "name"], ["get", "name:en"], ""] },
    paint: { ...l.paint, "text-color": c.muted },
  }));
}
