// Asking for an API key when the service wants one.

import { byId } from "./dom.js";
import { forgetKey, hasKey, onMissingKey } from "./service.js";

/** setUpKey wires the dialog and the button that forgets the key. */
export function setUpKey() {
  const dialog = byId("key-dialog");
  const field = byId("key");
  const forget = byId("forget");

  onMissingKey((refused) => new Promise((resolve) => {
    byId("key-refused").hidden = !refused;
    field.value = "";
    let given = null;
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      given = field.value.trim() || null;
      dialog.close();
    };
    byId("key-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      field.value = "";
      forget.hidden = given === null && !hasKey();
      resolve(given);
    };
    if (!dialog.open) {
      dialog.showModal();
    }
  }));

  forget.hidden = !hasKey();
  forget.addEventListener("click", () => {
    forgetKey();
    forget.hidden = true;
  });
}
