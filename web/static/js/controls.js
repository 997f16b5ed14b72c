// The controls of one pane: day, hour, position, model.

import { el } from "./dom.js";
import { clock, dateWords, dayName, minutes, weekday, weekdays, zoneWords } from "./moment.js";
import { position, readPosition } from "./words.js";

/** Controls wires what stands above the answers. on.when(day, minute), on.play(),
    on.at(position or null), on.model(version). */
export class Controls {
  constructor(root, name, on) {
    this.days = root.querySelector(".days");
    this.hour = root.querySelector(".hour input");
    this.clock = root.querySelector(".clock");
    this.date = root.querySelector(".date");
    this.playing = root.querySelector(".play");
    this.at = root.querySelector(".at");
    this.model = root.querySelector(".models");
    this.choice = this.model.querySelector("select");
    root.querySelector(".more").open = matchMedia("(min-width: 801px)").matches; // a phone has the answers first
    this.days.append(...weekdays.map((day, i) => el("label", {},
      el("input", { type: "radio", name: `day-${name}`, value: i, "aria-label": dayName(i) }),
      el("span", { "aria-hidden": "true" }, day))));
    const when = () => {
      this.showClock();
      on.when(this.day(), Number(this.hour.value));
    };
    this.days.addEventListener("change", when);
    this.hour.addEventListener("input", when);
    this.playing.addEventListener("click", () => on.play());
    this.at.addEventListener("change", () => this.typed(on));
    root.querySelector(".home").addEventListener("click", () => on.at(null));
    this.choice.addEventListener("change", () => on.model(this.choice.value));
  }

  day() { return Number(this.days.querySelector("input:checked")?.value ?? 0); }

  typed(on) {
    const at = readPosition(this.at.value);
    this.at.setCustomValidity(at ? "" : "Want latitude and longitude in degrees, such as 40.7301, -73.9950");
    if (this.at.reportValidity()) {
      on.at(at);
    }
  }

  showClock() {
    const text = clock(Number(this.hour.value));
    this.clock.textContent = text;
    this.hour.setAttribute("aria-valuetext", text);
  }

  /** showWhen sets day and hour without telling anybody. */
  showWhen(m, afterLast) {
    this.days.querySelectorAll("input")[weekday(m)].checked = true;
    this.hour.value = minutes(m);
    this.date.textContent = dateWords(m);
    this.date.title = `${zoneWords(m)}; the next such moment after ${afterLast ? "the last action" : "now"}`;
    this.showClock();
  }

  /** setMinute moves the slider as a hand would. */
  setMinute(minute) {
    this.hour.value = minute;
    this.hour.dispatchEvent(new Event("input"));
  }

  /** showPlaying says what the button does next. */
  showPlaying(yes) {
    this.playing.textContent = yes ? "■ Stop" : "▶ Play the day";
  }

  /** showAt writes the position. */
  showAt(at) {
    this.at.setCustomValidity("");
    this.at.value = at ? position(at) : "";
  }

  /** showModels lists the versions; the choice appears where there is one. One that is not
      loaded cannot be asked, and is named so that nobody misses it. */
  showModels(versions, chosen) {
    const known = chosen && !versions.some((v) => v.version === chosen) ? [...versions, { version: chosen, state: "unknown" }] : versions;
    this.model.hidden = known.length < 2;
    this.choice.replaceChildren(el("option", { value: "" }, "the active one"),
      ...known.map((v) => el("option", {
        value: v.version, selected: v.version === chosen, disabled: v.state === "available",
      }, `${v.version} (${v.state === "available" ? "not loaded" : v.state})`)));
  }
}
