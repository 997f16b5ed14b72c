// Moving circles apart: answers are often next door to each other, and a rank that is
// covered by another cannot be read.

const rounds = 60;
const golden = 2.4; // radians between two that lie on the same spot, so that they form a flower

/** spread returns circles [{x, y, r}] in pixels, none over another; the earlier of two
    gives way least, and one with fixed not at all. */
export function spread(circles, gap = 2) {
  const out = circles.map((c) => ({ ...c }));
  for (let round = 0; round < rounds; round++) {
    let moved = false;
    for (let i = 0; i < out.length; i++) {
      for (let j = i + 1; j < out.length; j++) {
        moved = apart(out[i], out[j], j * golden, gap) || moved;
      }
    }
    if (!moved) {
      break;
    }
  }
  return out;
}

function apart(a, b, angle, gap) {
  let dx = b.x - a.x;
  let dy = b.y - a.y;
  let far = Math.hypot(dx, dy);
  const missing = a.r + b.r + gap - far;
  if (missing <= 0.01) {
    return false;
  }
  if (far < 0.01) {
    [dx, dy, far] = [Math.cos(angle), Math.sin(angle), 1];
  }
  const gives = a.fixed ? 0 : 0.2;
  a.x -= dx / far * missing * gives;
  a.y -= dy / far * missing * gives;
  b.x += dx / far * missing * (1 - gives);
  b.y += dy / far * missing * (1 - gives);
  return true;
}
