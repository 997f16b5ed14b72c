"""Puts the rounds of run.sh together: WORK ROUNDS RECIPE OUT."""

import datetime
import json
import os
import platform
import statistics
import sys


def cpu_model():
    try:
        with open("/proc/cpuinfo") as f:
            return next(line.split(":", 1)[1].strip() for line in f if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def read(path):
    with open(path) as f:
        return json.load(f)


def main():
    work, rounds, recipe, out = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    go = [read(f"{work}/go.{i + 1}.json") for i in range(rounds)]
    torch = [read(f"{work}/torch.{i + 1}.json") for i in range(rounds)]
    for g, t in zip(go, torch):
        if (g["tokens_per_pass"], g["targets_per_pass"]) != (t["tokens_per_pass"], t["targets_per_pass"]):
            sys.exit("the two sides did not train on the same batches")
    ratios = [g["tokens_per_second"] / t["tokens_per_second"] for g, t in zip(go, torch)]
    with open(f"{work}/load") as f:
        load = f.read().strip()
    print(f"{'round':>6} {'whereto tokens/s':>17} {'PyTorch tokens/s':>17} {'ratio':>6}")
    for i, (g, t, r) in enumerate(zip(go, torch, ratios)):
        print(f"{i + 1:>6} {g['tokens_per_second']:>17.0f} {t['tokens_per_second']:>17.0f} {r:>6.2f}")
    middle = statistics.median(ratios)
    print(f"ratio: median {middle:.2f}, {min(ratios):.2f} to {max(ratios):.2f}; {torch[0]['engine']}, {torch[0]['threads']} threads; load before: {load}")
    report = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "machine": {"cpu": cpu_model(), "logical_cpus": os.cpu_count(), "os": platform.platform(), "load_before": load},
        "recipe": recipe, "ratio": {"median": middle, "min": min(ratios), "max": max(ratios), "rounds": ratios}, "whereto": go, "peer": torch,
    }
    temporary = out + ".tmp"
    with open(temporary, "w") as f:
        json.dump(report, f, indent=2)
        f.write("\n")
    os.replace(temporary, out)
    print(f"written to {out}")


if __name__ == "__main__":
    main()
