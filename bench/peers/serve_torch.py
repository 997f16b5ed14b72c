"""The network of spacetime/ in PyTorch behind a plain Python HTTP server.

It exists to compare the speed of serving. It answers POST /v1/recommend with the ten
likeliest places in the shape of whereto's answers, and the few lists that
`whereto bench serve` reads before it begins. It is spared everything but the network:
requests are taken in turn from batches that `whereto bench train RECIPE --export DIR`
wrote, windows and evidence ready made, so that reading the request, the person's past,
the evidence, limits and distances cost it nothing.

The vectors of all places depend on the weights alone and are made once. Each request
runs the whole window: a plain server keeps no past. With a hierarchical index the keys
and values of that run are kept for the second step, ten blocks at once, as whoever
serves a decoder in PyTorch would. One request runs at a time, on all threads: more at
once only took the cores from each other.
"""

import argparse
import itertools
import json
import math
import os
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import torch
import torch.nn.functional as F

from spacetime_torch import Spacetime, apart, load, rms_norm, rotate

USERS = 50
BEAM = 10  # blocks, and inner tokens of each
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


class Served(Spacetime):
    """Spacetime that keeps the keys and values of a run and goes on from them."""

    def project(self, i, x, cos, sin):
        c = self.c["decoder"]
        h, kvh = c["heads"], c["kv_heads"] or c["heads"]
        prefix = f"decoder/layers_{i}/self_attn/"
        q, k, v = ((x @ self.w(prefix + n)).view(*x.shape[:2], -1, c["head_dim"] or c["dim"] // h).transpose(1, 2) for n in ("q_proj", "k_proj", "v_proj"))
        if c["qk_norm"]:
            q, k = rms_norm(q, self.w(prefix + "q_norm"), c["norm_eps"]), rms_norm(k, self.w(prefix + "k_norm"), c["norm_eps"])
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if kvh != h:
            k, v = k.repeat_interleave(h // kvh, 1), v.repeat_interleave(h // kvh, 1)
        return q, k, v, prefix

    def attention(self, i, x, cos, sin, bias):
        q, k, v, prefix = self.project(i, x, cos, sin)
        if self.seen is not None:
            out = self.alone(q, k, v, *self.kept[i], bias)
        else:
            self.kept.append((k, v))
            out = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias).softmax(-1) @ v
        return out.transpose(1, 2).flatten(2) @ self.w(prefix + "o_proj")

    def alone(self, q, k, v, old_k, old_v, bias):
        """Each token sees the first tokens that were kept, and itself; bias [1, H or 1, 1, seen+1]."""
        n, root = self.seen, math.sqrt(q.shape[-1])
        own = (q * k).sum(-1, keepdim=True) / root
        weights = (torch.cat((q @ old_k[:, :, :n].transpose(-1, -2) / root, own), -1) + bias).softmax(-1)
        return weights[..., :n] @ old_v[:, :, :n] + weights[..., n:] * v

    def rotation(self, positions):
        c = self.c["decoder"]
        hd = c["head_dim"] or c["dim"] // c["heads"]
        freq = c["rope_theta"] ** (-2 * (torch.arange(hd) % (hd // 2)).double() / hd)
        angle = positions.float().unsqueeze(1) * freq.float()
        return angle.cos(), angle.sin()

    def layers(self, x, positions, bias):
        c = self.c["decoder"]
        cos, sin = self.rotation(positions)
        for i in range(c["layers"]):
            layer = f"decoder/layers_{i}/"
            x = x + self.attention(i, rms_norm(x, self.w(layer + "input_layernorm"), c["norm_eps"]), cos, sin, bias)
            h = rms_norm(x, self.w(layer + "post_attention_layernorm"), c["norm_eps"])
            x = x + (F.silu(h @ self.w(layer + "mlp/gate_proj")) * (h @ self.w(layer + "mlp/up_proj"))) @ self.w(layer + "mlp/down_proj")
        return rms_norm(x, self.w("decoder/norm"), c["norm_eps"])

    def decoder(self, x, bias):
        self.kept, self.seen = [], None
        return self.layers(x, torch.arange(x.shape[1]), bias)

    def inner_of(self, blocks, at, bias):
        """Log-probabilities of the inner tokens of each block tried at token at, [S, inner]."""
        x = (F.embedding(blocks, self.w("block")) + self.w("kind")[1]).unsqueeze(0)
        self.seen = at
        hidden = self.layers(x, torch.full((len(blocks),), at), bias[:, :, at : at + 1, : at + 1])
        return self.output("inners", hidden[0], self.w("place") if self.c["tied_embeddings"] else None).log_softmax(-1)


class Network:
    def __init__(self, folder):
        manifest, tables, weights, batches = load(folder)
        self.net = Served(manifest, tables, weights, "matmul").eval()
        off = apart(self.net, manifest, batches)
        if not off <= 1e-4:
            raise SystemExit(f"not the same network: losses differ by {off:.1e}")
        with torch.no_grad():
            self.places = self.net.embed_places()
        self.turn = itertools.cycle(requests(batches))
        self.lock = threading.Lock()
        if self.net.t["hier"]:  # the place of each block and inner token, 0 where there is none
            t = self.net.t
            self.place_of = torch.zeros(t["blocks"] + 1, t["tokens"] + 1, dtype=torch.int64)
            self.place_of[self.net.block, self.net.place] = torch.arange(len(self.net.place))
            self.place_of[0] = 0

    def answer(self, k):
        with self.lock:
            x = next(self.turn)
            with torch.inference_mode():
                return self.run(x, k)

    def run(self, x, k):
        net = self.net
        tokens = net.tokens(x, self.places)
        bias = net.bias(x, tokens.shape[1])
        h = net.requests(net.decoder(tokens, bias), x, 0)
        generated = self.beam(x, h, bias) if net.t["hier"] else net.output("flat", h, self.places).softmax(-1)[0]
        if net.c["copy_head"]:
            copied, gate = net.copy_head(h, x, self.places)
            gate = gate.sigmoid()
            generated = (generated * (1 - gate)).index_add_(0, x["candidate"].flatten(), (copied.exp() * gate)[0])
        best = generated.topk(k)
        return list(zip(best.indices.tolist(), best.values.tolist()))

    def beam(self, x, h, bias):
        """Probabilities of the places that a beam of 10 x 10 reaches, 0 of the others, [V]."""
        net = self.net
        blocks = net.output("blocks", h, net.w("block") if net.c["tied_embeddings"] else None).log_softmax(-1)[0]
        best = blocks.topk(BEAM)
        at = int(x["request"]) * net.per_action + net.t["profile"] + 1
        inner = net.inner_of(best.indices, at, bias)
        place = self.place_of[best.indices, : inner.shape[1]]
        inner = inner.masked_fill(place == 0, -1e9).topk(BEAM)
        reached = place.gather(1, inner.indices).flatten()
        out = torch.zeros(len(net.place))
        out[reached] = (best.values.unsqueeze(1) + inner.values).exp().flatten()
        out[0] = 0
        return out


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
