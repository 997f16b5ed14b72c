"""Puts the results of serve.sh into one table: medians over rounds, and ratios."""

import json
import os
import statistics
import sys


def main():
    folder = sys.argv[1]
    rows = {}
    for name in sorted(os.listdir(folder)):
        if name.endswith(".json"):
            side, load, _ = name[:-5].rsplit("-", 2)
            with open(os.path.join(folder, name)) as f:
                text = f.read()
            if text:
                rows.setdefault(load, {}).setdefault(side, []).append(json.loads(text))
    key = lambda load: (0, 0) if load == "1client" else (1, int(load))
    print("| load | side | answered a second | p50 ms | p99 ms | failed |")
    print("|---|---|---|---|---|---|")
    best = {}
    for load in sorted(rows, key=key):
        for side, results in sorted(rows[load].items(), reverse=True):
            of = lambda get: statistics.median(get(r["total"]) for r in results)
            rate, p50, p99 = of(lambda t: t["answered_per_second"]), of(lambda t: t["p50_ms"]["value"]), of(lambda t: t["p99_ms"]["value"])
            failed = sum(sum(r["total"]["errors"].values()) for r in results)
            print(f"| {load} | {side} | {rate:.1f} | {p50:.2f} | {p99:.1f} | {failed} |")
            best[side] = max(best.get(side, 0), rate)
            rows[load][side] = (rate, p50, p99)
    print()
    for load in sorted(rows, key=key):
        if len(rows[load]) == 2 and not rows[load]["torch"][0]:
            print(f"{load}: only whereto answers")
        elif len(rows[load]) == 2:
            a, b = rows[load]["whereto"], rows[load]["torch"]
            print(f"{load}: whereto answers {a[0] / b[0]:.2f} times as many a second, its p99 is {b[2] / a[2]:.2f} times lower")
    if len(best) == 2:
        print(f"most answered a second: whereto {best['whereto']:.1f}, torch {best['torch']:.1f}, ratio {best['whereto'] / best['torch']:.2f}")


if __name__ == "__main__":
    main()
