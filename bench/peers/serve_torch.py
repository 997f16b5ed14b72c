"""The network of spacetime/ in PyTorch behind a plain Python HTTP server.

It exists to compare the speed of serving. It answers POST /v1/recommend with the ten
likeliest places in the shape of whereto's answers, and the few lists that
`whereto bench serve` reads before it begins. It is spared everything but the network:
requests are taken in turn from batches that `whereto bench train RECIPE --export DIR`
wrote, windows and evidence ready made, so that reading the request, the person's past,
the evidence, limits and distances cost it nothing.

The vectors of all places depend on the weights alone and are made once. Each request
runs the whole window: a plain server keeps no past.
"""

import argparse
import itertools
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch

from spacetime_torch import Spacetime, apart, load

USERS = 50
OF_REQUESTS = {"request", "weight", "label", "candidate", "feature", "context", "chosen"}  # [B, M, ...]; the rest is [B, ...]


def requests(batches):
    """One window with one request each, of all batches."""
    out = []
    for x in batches:
        rows, many = x["weight"].shape
        for i, m in itertools.product(range(rows), range(many)):
            if x["weight"][i, m] > 0:
                out.append({k: (v[i : i + 1, m : m + 1] if k in OF_REQUESTS else v[i : i + 1]).contiguous() for k, v in x.items()})
    return out


class Network:
    def __init__(self, folder):
        manifest, tables, weights, batches = load(folder)
        self.net = Spacetime(manifest, tables, weights, "matmul").eval()
        if self.net.t["hier"]:
            raise SystemExit("only networks with a flat index: this one would need a beam")
        off = apart(self.net, manifest, batches)
        if not off <= 1e-4:
            raise SystemExit(f"not the same network: losses differ by {off:.1e}")
        with torch.no_grad():
            self.places = self.net.embed_places()
        self.turn = itertools.cycle(requests(batches))
        self.lock = threading.Lock()

    def answer(self, k):
        with self.lock:
            x = next(self.turn)
        net = self.net
        with torch.inference_mode():
            tokens = net.tokens(x, self.places)
            hidden = net.decoder(tokens, net.bias(x, tokens.shape[1]))
            h = net.requests(hidden, x, 0)
            probs = net.output("flat", h, self.places).softmax(-1)[0]
            if net.c["copy_head"]:
                copied, gate = net.copy_head(h, x, self.places)
                gate = gate.sigmoid()
                probs = (probs * (1 - gate)).index_add_(0, x["candidate"].flatten(), (copied.exp() * gate)[0])
            best = probs.topk(k)
            return list(zip(best.indices.tolist(), best.values.tolist()))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else head and body, two writes, wait 40 ms for each other
    network = None

    def log_message(self, *_):
        pass

    def send(self, value):
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        path = self.path.split("?")[0]
        if path == "/v1/users":
            self.send({"items": [{"user": str(u), "actions": 2, "last": "2013-01-01T12:00:00-05:00"} for u in range(USERS)]})
        elif path.startswith("/v1/users/"):
            self.send({"items": [{"poi": str(p), "time": f"2013-01-01T{9 + 3 * p:02d}:00:00-05:00", "type": "checkin"} for p in range(2)]})
        elif path == "/v1/pois":
            self.send({"items": [{"id": str(p), "lat": 40.7 + p / 100, "lng": -74} for p in range(20)]})
        else:
            self.send({})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        places = [{"rank": i + 1, "poi": str(p), "lat": 40.7, "lng": -74.0, "probability": x, "source": "generate"}
                  for i, (p, x) in enumerate(self.network.answer(asked.get("k", 10)))]
        self.send({"places": places, "source": {"kind": "model"}, "version": {"model": "torch", "index": ""}, "time": asked.get("time"), "history": 0})


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("export", help="folder written by `whereto bench train --export`")
    p.add_argument("--port", type=int, default=8090)
    p.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    Handler.network = Network(args.export)
    Handler.network.answer(10)
    print(f"ready on 127.0.0.1:{args.port}", flush=True)
    ThreadingHTTPServer(("127.0.0.1", args.port), Handler).serve_forever()


if __name__ == "__main__":
    main()
