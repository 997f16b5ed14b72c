// One map: what it draws, the marker of the person, and what a pointer does on it.

import { Map as Canvas, Marker, NavigationControl, Popup, ScaleControl, setWorkerCount, setWorkerUrl } from "../vendor/maplibre-gl-6.17.0/maplibre-gl.mjs";
import { el } from "./dom.js";
import { answerPoints, around, beamLines, blockAreas, catalogPoints, graticule, pastLine } from "./geometry.js";
import { mapStyle } from "./mapstyle.js";
import { percent, position } from "./words.js";

setWorkerUrl(new URL("../vendor/maplibre-gl-6.17.0/maplibre-gl-worker.mjs", import.meta.url).href);
setWorkerCount(1); // there is little to compute, and two maps share it

const step = 10; // pixels that an arrow key moves the marker

/** MapView draws on an element. Its listeners are onMove(view), onPosition(at), onPick(id). */
export class MapView {
  constructor(element, name, view, basemap) {
    this.data = {};
    this.basemap = basemap;
    this.onMove = () => {};
    this.onPosition = () => {};
    this.onPick = () => {};
    this.map = new Canvas({
      container: element, style: mapStyle(basemap), center: [view.lng, view.lat], zoom: view.zoom,
      attributionControl: basemap ? { compact: true } : false,
      dragRotate: false, pitchWithRotate: false, touchPitch: false, maxPitch: 0, renderWorldCopies: true,
      locale: { "Map.Title": `${name}: arrow keys move it, plus and minus zoom` },
    });
    this.map.touchZoomRotate.disableRotation();
    this.map.addControl(new NavigationControl({ showCompass: false }), "top-left");
    this.map.addControl(new ScaleControl({ unit: "metric" }), "bottom-right");
    this.map.on("style.load", () => this.restore());
    this.map.on("moveend", () => this.drawGrid());
    this.map.on("move", () => this.onMove(this.view()));
    this.map.on("click", (event) => this.pick(event));
    this.map.on("mousemove", (event) => this.tell(event));
    this.map.on("mouseout", () => this.popup.remove());
    this.popup = new Popup({ closeButton: false, closeOnClick: false, offset: 12, maxWidth: "260px" });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.map.setStyle(mapStyle(basemap), { diff: false });
    });
    this.addMarker(name);
    this.drawGrid();
  }

  addMarker(name) {
    this.handle = el("div", {
      class: "me", tabindex: "0", role: "button", onkeydown: (event) => this.nudge(event),
    });
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
    if (!at) {
      this.marker.remove();
      return;
    }
    this.marker.setLngLat([at.lng, at.lat]).addTo(this.map);
    this.handle.setAttribute("aria-label", `Position of the person, ${position(at)}; arrow keys move it`);
  }

  setAnswers(places, chosen) { this.set("places", answerPoints(places, chosen)); }

  setBlocks(blocks) {
    this.set("blocks", blockAreas(blocks));
    this.set("beam", beamLines(this.at, blocks));
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
    this.map.fitBounds([[b.west, b.south], [b.east, b.north]], { padding: { top: 64, bottom: 44, left: 44, right: 44 }, maxZoom: 15, animate: false });
  }

  // found returns the places under a pointer: an answer lies above all others.
  found(point) {
    const layers = ["places", "past", "catalog"].filter((id) => this.map.getLayer(id));
    const box = [[point.x - 6, point.y - 6], [point.x + 6, point.y + 6]];
    return this.map.queryRenderedFeatures(box, { layers });
  }

  pick(event) {
    const hit = this.found(event.point)[0];
    if (hit) {
      this.onPick(hit.properties.poi, hit.layer.id);
    }
  }

  tell(event) {
    const hit = this.found(event.point)[0];
    const area = hit || !this.map.getLayer("heat") ? null : this.map.queryRenderedFeatures(event.point, { layers: ["heat"] })[0];
    this.map.getCanvas().style.cursor = hit ? "pointer" : "";
    if (!hit && !area) {
      this.popup.remove();
      return;
    }
    const text = hit ? hit.properties.name : `this area: ${percent(area.properties.probability)}`;
    this.popup.setLngLat(event.lngLat).setText(text).addTo(this.map);
  }
}
