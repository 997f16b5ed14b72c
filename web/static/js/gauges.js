// The gauges of the status page in words: what a number means and in which unit.

import { count, megabytes, percent } from "./words.js";

const memory = (bytes) => megabytes(bytes / 1e6);

// In the order in which they are read: is it good, is it used well, is it busy.
const known = [
  ["whereto_expected_hit_ratio", "first place right, as the model expects", percent],
  ["whereto_calibration_error", "expected minus observed share of first places", (x) => `${Number((x * 100).toPrecision(2))} points`],
  ["whereto_answers_ratio_copy", "answers from the past", percent],
  ["whereto_answers_ratio_generate", "answers from the generator", percent],
  ["whereto_answers_ratio_cold", "answers new to the model", percent],
  ["whereto_answers_ratio_fallback", "answers without the model", percent],
  ["whereto_kv_users", "people whose past is kept", count],
  ["whereto_kv_bytes", "memory of kept pasts", memory],
  ["whereto_kv_hits_total", "requests that found a kept past", count],
  ["whereto_kv_misses_total", "requests that had to read it anew", count],
  ["whereto_kv_evictions_total", "kept pasts dropped for room", count],
  ["whereto_requests_running", "requests running", count],
  ["whereto_requests_waiting", "requests waiting", count],
  ["whereto_online_actions_total", "actions that followed an answer", count],
  ["whereto_shadow_compared_total", "requests compared with the shadow", count],
  ["whereto_shadow_same_first_total", "of them with the same first place", count],
  ["whereto_shadow_dropped_total", "requests the shadow had no time for", count],
  ["whereto_beam_invalid_total", "results that name no place (0 is right)", count],
];
const order = new Map(known.map(([name], i) => [name, i]));

/** gaugeWords gives a gauge a text, a value with its unit and its place in the order; one
    that is not known keeps its name. */
export function gaugeWords(name, value) {
  const i = order.get(name);
  if (i === undefined) {
    return { text: name, value: String(Number(value.toPrecision(4))), order: known.length };
  }
  return { text: known[i][1], value: known[i][2](value), order: i };
}
