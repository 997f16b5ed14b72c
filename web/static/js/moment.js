// Moments as people live them: a wall clock and its offset from UTC. The network reads
// local time, so that a moment is kept as {wall, offset}: wall is what the clock shows,
// in milliseconds as if it stood at UTC; offset is in minutes, east positive.

const dayMS = 86_400_000;
const shape = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)$/;

/** weekdays begin with Monday, as in the log. */
export const weekdays = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];
const longDays = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (n) => String(n).padStart(2, "0");

/** parse reads RFC 3339; null for anything else. */
export function parse(text) {
  const m = shape.exec(text ?? "");
  if (!m) {
    return null;
  }
  const wall = Date.UTC(m[1], m[2] - 1, m[3], m[4], m[5], m[6]);
  let offset = 0;
  if (m[8] !== "Z") {
    offset = Number(m[8].slice(1, 3)) * 60 + Number(m[8].slice(4));
    offset = m[8][0] === "-" ? -offset : offset;
  }
  return { wall, offset };
}

/** format writes RFC 3339 with the offset. */
export function format(m) {
  return new Date(m.wall).toISOString().slice(0, 19) + zone(m.offset);
}

function zone(offset) {
  const abs = Math.abs(offset);
  return `${offset < 0 ? "-" : "+"}${two(Math.floor(abs / 60))}:${two(abs % 60)}`;
}

/** instant is the moment in milliseconds since 1970, UTC. */
export function instant(m) {
  return m.wall - m.offset * 60_000;
}

/** now is this moment on the clock of the browser. */
export function now() {
  const date = new Date();
  const offset = -date.getTimezoneOffset();
  return { wall: date.getTime() + offset * 60_000, offset };
}

/** weekday counts from Monday, 0 to 6. */
export function weekday(m) {
  return (new Date(m.wall).getUTCDay() + 6) % 7;
}

/** minutes since midnight. */
export function minutes(m) {
  return Math.floor((m.wall % dayMS + dayMS) % dayMS / 60_000);
}

/** next is the first moment after another that has a weekday and minutes of the day. */
export function next(after, day, minute) {
  const midnight = after.wall - (after.wall % dayMS + dayMS) % dayMS;
  const ahead = (day - weekday(after) + 7) % 7;
  let wall = midnight + ahead * dayMS + minute * 60_000;
  if (wall <= after.wall) {
    wall += 7 * dayMS;
  }
  return { wall, offset: after.offset };
}

/** later is a moment some minutes on, at the next half hour. */
export function onTheHalf(m, ahead) {
  const half = 30 * 60_000;
  return { wall: Math.ceil((m.wall + ahead * 60_000) / half) * half, offset: m.offset };
}

/** clock writes minutes of a day as 18:30. */
export function clock(minute) {
  return `${two(Math.floor(minute / 60))}:${two(minute % 60)}`;
}

/** dayName is the long name of a weekday. */
export function dayName(day) {
  return longDays[day];
}

/** words writes a moment for people: Fri 1 Feb 2013, 18:30. */
export function words(m) {
  const d = new Date(m.wall);
  return `${weekdays[weekday(m)]} ${d.getUTCDate()} ${months[d.getUTCMonth()]} ${d.getUTCFullYear()}, ${clock(minutes(m))}`;
}

/** dateWords writes the day of a moment: 1 Feb 2013. */
export function dateWords(m) {
  const d = new Date(m.wall);
  return `${d.getUTCDate()} ${months[d.getUTCMonth()]} ${d.getUTCFullYear()}`;
}

/** zoneWords writes the offset: UTC-05:00. */
export function zoneWords(m) {
  return m.offset === 0 ? "UTC" : "UTC" + zone(m.offset);
}
