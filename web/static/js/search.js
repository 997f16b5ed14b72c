// The field that finds people by the first letters of their names: a combobox with a
// list, used by keyboard or pointer.

import { byId, el, later } from "./dom.js";
import { users } from "./service.js";
import { plural } from "./words.js";

/** SearchField wires the field; onChoose gets a name, onProblem a failure. */
export class SearchField {
  constructor(onChoose, onProblem) {
    this.field = byId("person");
    this.list = byId("people");
    this.onChoose = onChoose;
    this.onProblem = onProblem;
    this.found = [];
    this.active = -1;
    this.cursor = "";
    this.stop = new AbortController();
    this.field.addEventListener("input", later(() => this.ask(""), 150));
    this.field.addEventListener("focus", () => { this.field.select(); this.ask(""); });
    this.field.addEventListener("blur", () => this.close());
    this.field.addEventListener("keydown", (event) => this.key(event));
  }

  /** show puts a name into the field. */
  show(user) { this.field.value = user; }

  async ask(cursor) {
    this.stop.abort();
    this.stop = new AbortController();
    const { signal } = this.stop;
    // The whole name of a person who is chosen already would find only him.
    const prefix = this.field.selectionStart === 0 && this.field.selectionEnd === this.field.value.length ? "" : this.field.value.trim();
    try {
      const page = await users(prefix, cursor, signal);
      signal.throwIfAborted();
      if (document.activeElement !== this.field) {
        return; // the person has gone on
      }
      this.found = cursor ? [...this.found, ...(page.items ?? [])] : page.items ?? [];
      this.cursor = page.next ?? "";
      this.render();
    } catch (err) {
      if (err.name !== "AbortError") {
        this.onProblem(err);
      }
    }
  }

  rows() { return this.found.length + (this.cursor === "" ? 0 : 1); }

  render() {
    const options = this.found.map((u, i) => this.option(i, u.user, plural(u.actions, "action")));
    if (this.cursor !== "") {
      options.push(this.option(this.found.length, "More people"));
    }
    if (options.length === 0) {
      options.push(el("li", { role: "option", "aria-disabled": "true" }, el("span", {}, "Nobody with this name")));
    }
    this.list.replaceChildren(...options);
    this.list.hidden = false;
    this.field.setAttribute("aria-expanded", "true");
    this.mark(-1);
  }

  option(i, ...texts) {
    return el("li", {
      role: "option", id: `person-${i}`, "aria-selected": "false",
      // A click would come after the field has lost the focus and closed the list.
      onpointerdown: (event) => { event.preventDefault(); this.choose(i); },
    }, texts.map((t) => el("span", {}, t)));
  }

  mark(i) {
    this.active = i;
    [...this.list.children].forEach((li, at) => li.setAttribute("aria-selected", String(at === i)));
    if (i < 0) {
      this.field.removeAttribute("aria-activedescendant");
      return;
    }
    this.field.setAttribute("aria-activedescendant", this.list.children[i].id);
    this.list.children[i].scrollIntoView({ block: "nearest" });
  }

  choose(i) {
    if (i === this.found.length) {
      this.ask(this.cursor);
      return;
    }
    this.take(this.found[i].user);
  }

  take(user) {
    this.show(user);
    this.field.select(); // the next letters are another name
    this.close();
    this.onChoose(user);
  }

  close() {
    this.stop.abort();
    this.list.hidden = true;
    this.field.setAttribute("aria-expanded", "false");
    this.mark(-1);
  }

  key(event) {
    const rows = this.rows();
    if (event.key === "Escape") {
      event.preventDefault(); // the browser would empty the field and so ask for everybody
      this.close();
    } else if (event.key === "Enter") {
      event.preventDefault();
      const typed = this.field.value.trim();
      if (!this.list.hidden && this.active >= 0) {
        this.choose(this.active);
      } else if (typed !== "") {
        this.take(typed);
      }
    } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (this.list.hidden) {
        this.ask("");
      } else if (rows > 0) {
        this.mark(event.key === "ArrowDown" ? (this.active + 1) % rows : (Math.max(this.active, 0) + rows - 1) % rows);
      }
    }
  }
}
