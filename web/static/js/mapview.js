// One map: what it draws, the marker of the person, and what a pointer does on it.

import { Map as Canvas, Marker, NavigationControl, Popup, ScaleControl, setWorkerCount, setWorkerUrl } from "../vendor/maplibre-gl-6.17.0/maplibre-gl.mjs";
import { el, svg } from "./dom.js";
import { answerPoints, around, beamLines, blockAreas, catalogPoints, glow, graticule, nothing, pastLine, point, radius } from "./geometry.js";
import { mapStyle } from "./mapstyle.js";
import { spread } from "./spread.js";
import { percent, position } from "./words.js";

setWorkerUrl(new URL("../vendor/maplibre-gl-6.17.0/maplibre-gl-worker.mjs", import.meta.url).href);
setWorkerCount(1); // there is little to compute, and two maps share it

const personRadius = 21;
const step = 10; // pixels that an arrow key moves the marker

const reach = 6; // pixels around a pointer that count as hit
const farReach = 22; // while places are chosen for a history: dots are small

// showAll is a button of the map.
const showAll = (onClick) => ({
  onAdd() {
    this.node = el("div", { class: "maplibregl-ctrl maplibregl-ctrl-group" },
      el("button", { type: "button", class: "all", title: "Show the answers", "aria-label": "Show the answers", onclick: onClick },
        svg("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, svg("path", { d: "M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4M10 7.5a2.5 2.5 0 1 0 .01 0Z" }))));
    return this.node;
  },
  onRemove() { this.node.remove(); },
});

/** MapView draws on an element. Its listeners are onMove(view), onPosition(at), onAll() and
    onPick(id, layer). */
export class MapView {
  constructor(element, name, view, basemap) {
    this.data = {};
    this.answers = { places: [], chosen: "" };
    this.patient = false; // a click also counts for a place that is only near
    this.basemap = basemap;
    this.onMove = () => {};
    this.onPosition = () => {};
    this.onPick = () => {};
    this.onAll = () => {};
    this.map = new Canvas({
      container: element, style: mapStyle(basemap), center: [view.lng, view.lat], zoom: view.zoom,
      attributionControl: basemap ? { compact: true } : false,
      fadeDuration: 0, dragRotate: false, pitchWithRotate: false, touchPitch: false, maxPitch: 0, renderWorldCopies: true,
      locale: { "Map.Title": `${name}: arrow keys move it, plus and minus zoom` },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new NavigationControl({ showCompass: false }), "top-left");
    this.map.addControl(showAll(() => this.onAll()), "top-left");
    this.map.addControl(new ScaleControl({ unit: "metric" }), "bottom-right");
    this.map.on("style.load", () => this.restore());
    this.map.on("moveend", () => this.drawGrid());
    this.map.on("zoomend", () => this.drawAnswers());
    this.map.on("move", () => this.onMove(this.view()));
    this.map.on("click", (event) => this.pick(event));
    this.map.on("mousemove", (event) => this.tell(event));
    this.map.on("mouseout", () => this.popup.remove());
    this.popup = new Popup({ closeButton: false, closeOnClick: false, offset: 12, maxWidth: "260px" });
    this.missed = new Popup({ closeButton: false, closeOnClick: false, closeOnMove: true, offset: 12, className: "missed" });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.map.setStyle(mapStyle(basemap), { diff: false });
    });
    this.addMarker(name);
    this.drawGrid();
  }

  addMarker(name) {
    this.handle = el("div", {
      class: "me", tabindex: "0", role: "button", onkeydown: (event) => this.nudge(event),
    }, el("span", { "aria-hidden": "true" }, "here"));
    this.name = name;
    this.marker = new Marker({ element: this.handle, draggable: true });
    this.marker.on("dragend", () => this.moved(this.marker.getLngLat()));
  }

  moved(lngLat) {
    const at = lngLat.wrap();
    this.setPosition(at);
    this.onPosition({ lat: at.lat, lng: at.lng });
  }

  nudge(event) {
    const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!way) {
      return;
    }
    event.preventDefault();
    event.stopPropagation(); // the map would move, too
    const p = this.map.project(this.marker.getLngLat());
    const far = event.shiftKey ? 5 * step : step;
    this.moved(this.map.unproject([p.x + way[0] * far, p.y + way[1] * far]));
  }

  restore() {
    for (const [name, data] of Object.entries(this.data)) {
      this.map.getSource(name)?.setData(data);
    }
  }

  set(name, data) {
    this.data[name] = data;
    this.map.getSource(name)?.setData(data);
  }

  drawGrid() {
    this.set("graticule", graticule(this.box()));
  }

  setPosition(at) {
    this.at = at;
    this.set("me", at ? point(at) : nothing);
    this.drawAnswers();
    if (!at) {
      this.marker.remove();
      return;
    }
    this.marker.setLngLat([at.lng, at.lat]).addTo(this.map);
    this.handle.setAttribute("aria-label", `Position of the person, ${position(at)}; arrow keys move it`);
  }

  /** setAnswers takes places with a line below their names. */
  setAnswers(places, chosen) {
    this.answers = { places, chosen };
    this.drawAnswers();
  }

  // drawAnswers leaves room around each circle, and around the person, who often stands at
  // the likeliest place. Room is counted in pixels, so that it changes with the zoom.
  drawAnswers() {
    const { places, chosen } = this.answers;
    const circle = (p, r) => ({ ...this.map.project([p.lng, p.lat]), r });
    const person = this.at ? [{ ...circle(this.at, personRadius), fixed: true }] : [];
    const free = spread([...person, ...places.map((p) => circle(p, radius(p.probability)))]).slice(person.length);
    const at = new Map(places.map((p, i) => [p.poi, this.map.unproject([free[i].x, free[i].y])]));
    this.set("places", answerPoints(places, chosen, (p) => at.get(p.poi)));
  }

  setBlocks(blocks) {
    this.set("blocks", blockAreas(blocks));
    this.set("glow", glow(blocks));
  }

  /** setBranches draws the parts of the tree that are open. */
  setBranches(blocks) { this.set("beam", beamLines(this.at, blocks)); }

  /** setPatient lets a click count for a place that is only near, and two clicks for two
      visits rather than for a zoom. */
  setPatient(yes) {
    this.patient = yes;
    this.map.doubleClickZoom[yes ? "disable" : "enable"]();
  }

  setPast(steps) { this.set("past", pastLine(steps)); }

  setCatalog(pois) { this.set("catalog", catalogPoints(pois)); }

  /** near draws a frame around one area; none for "". */
  near(block) {
    if (this.map.getLayer("heat-near")) {
      this.map.setFilter("heat-near", ["==", ["get", "block"], block]);
    }
  }

  view() {
    const { lat, lng } = this.map.getCenter();
    return { zoom: this.map.getZoom(), lat, lng };
  }

  box() {
    const b = this.map.getBounds();
    return { south: b.getSouth(), west: b.getWest(), north: b.getNorth(), east: b.getEast() };
  }

  jump(view) { this.map.jumpTo({ center: [view.lng, view.lat], zoom: view.zoom }); }

  fit(points) {
    if (points.length === 0) {
      return;
    }
    const b = around(points);
    this.map.resize(); // the layout may have changed in this very moment
    this.map.fitBounds([[b.west, b.south], [b.east, b.north]], { padding: { top: 72, bottom: 44, left: 64, right: 64 }, maxZoom: 15, animate: false });
  }

  // found returns the place under a pointer: an answer lies above all others. Of dots
  // in a wider reach it is the nearest.
  found(point, far = reach) {
    const layers = ["places", "past", "catalog"].filter((id) => this.map.getLayer(id));
    const box = (d) => [[point.x - d, point.y - d], [point.x + d, point.y + d]];
    const hits = this.map.queryRenderedFeatures(box(reach), { layers });
    if (hits.length > 0 || far === reach) {
      return hits[0];
    }
    const away = (f) => {
      const p = this.map.project(f.geometry.coordinates);
      return Math.hypot(p.x - point.x, p.y - point.y);
    };
    return this.map.queryRenderedFeatures(box(far), { layers }).filter((f) => f.geometry.type === "Point").sort((a, b) => away(a) - away(b))[0];
  }

  pick(event) {
    this.missed.remove();
    const hit = this.found(event.point, this.patient ? farReach : reach);
    if (hit) {
      this.onPick(hit.properties.poi, hit.layer.id);
    } else if (this.patient) {
      this.missed.setLngLat(event.lngLat).setDOMContent(el("div", { role: "status" }, "No place here: click nearer to a dot, or zoom in.")).addTo(this.map);
    }
  }

  tell(event) {
    const hit = this.found(event.point);
    const area = hit || !this.map.getLayer("heat") ? null : this.map.queryRenderedFeatures(event.point, { layers: ["heat"] })[0];
    this.map.getCanvas().style.cursor = hit ? "pointer" : "";
    if (!hit && !area) {
      this.popup.remove();
      return;
    }
    const { name, below } = hit?.properties ?? { name: "this area", below: `${percent(area.properties.probability)} of what the generator expects` };
    this.popup.setLngLat(event.lngLat).setDOMContent(el("div", {}, el("strong", {}, name), below ? el("div", { class: "muted" }, below) : null)).addTo(this.map);
  }
}
