"""The network of spacetime/ in PyTorch: same weights, same batches, same losses.

It exists to compare the speed of training. It reads what
`whereto bench train RECIPE --export DIR` writes, first proves that it computes
the same loss without dropout (to 1e-4), then times full training steps: forward,
backward, clipping, AdamW, averaged weights.

Axes as in spacetime/: B windows, N actions, K tokens of an action, T tokens,
M requests of a window, R = B*M, C candidates, V places + 1, D hidden size.
"""

import argparse
import json
import math
import os
import platform
import statistics
import struct
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

LOW = -1e9  # logit of what cannot be chosen, score of a hidden key
SAFETENSORS = {"F32": np.float32, "I32": np.int32, "I64": np.int64, "F64": np.float64}


def indices(array):
    """A tensor of an array; int32 becomes int64, as PyTorch's indices are."""
    return torch.from_numpy(array.astype(np.int64) if array.dtype == np.int32 else array)


def read_weights(path):
    """Variables of a safetensors file by path, without the leading slash."""
    with open(path, "rb") as f:
        header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
        data = f.read()
    out = {}
    for name, info in header.items():
        if name != "__metadata__":
            start, end = info["data_offsets"]
            array = np.frombuffer(data[start:end], SAFETENSORS[info["dtype"]]).reshape(info["shape"])
            out[name.lstrip("/")] = torch.from_numpy(array.copy())
    return out


def read_arrays(folder):
    names = [n for n in sorted(os.listdir(folder)) if n.endswith(".npy")]
    return {n[:-4]: indices(np.load(os.path.join(folder, n))) for n in names}


def rms_norm(x, weight, eps):
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + eps) * weight


def rotate(x, cos, sin):
    lo, hi = x.chunk(2, -1)
    return x * cos + torch.cat((-hi, lo), -1) * sin


class Spacetime(torch.nn.Module):
    def __init__(self, manifest, tables, weights, attention):
        super().__init__()
        self.c, self.t = manifest["recipe"]["model"], manifest["tables"]
        self.d = self.c["decoder"]["dim"]
        self.sdpa = attention == "sdpa"
        self.per_action = 2 + self.t["hier"] + self.c["action_token"]
        self.names = sorted(weights)
        self.index = {n: str(i) for i, n in enumerate(self.names)}
        self.weights = torch.nn.ParameterDict({self.index[n]: torch.nn.Parameter(weights[n].clone()) for n in self.names})
        for name, value in tables.items():
            self.register_buffer(name, value)
        levels = self.cells.shape[1]
        self.register_buffer("shift", torch.arange(levels) * self.t["geo_table"])
        first = torch.zeros(1)
        first[0] = LOW
        self.register_buffer("first", first)
        self.patterns = {}

    def w(self, name):
        return self.weights[self.index["spacetime/" + name]]

    def drop(self, x):
        return F.dropout(x, self.c["dropout"], self.training)

    def gate(self, name, *parts):
        if len(parts) == 1:
            return parts[0]
        logits = self.w(f"gate/{name}/bias")
        if self.c["gate"] == "input":
            logits = torch.cat(parts, -1) @ self.w(f"gate/{name}/weight") + logits
        weights = torch.softmax(logits, -1) * len(parts)
        total = parts[0] * weights[..., 0:1]
        for i in range(1, len(parts)):
            total = torch.addcmul(total, parts[i], weights[..., i : i + 1])
        return total

    def embed_cells(self, cells):
        return F.embedding(cells + self.shift, self.w("geo/cells")).flatten(-2)

    def embed_places(self):
        own = F.embedding(self.place, self.w("place"))
        cats = F.embedding_bag(self.cats, self.w("category"), mode="sum", padding_idx=0)
        return self.gate("place", own, cats, self.embed_cells(self.cells))

    def embed_time(self, times):
        names = ("month", "weekday", "day", "hour")
        return torch.cat([F.embedding(times[..., i], self.w("time/" + n)) for i, n in enumerate(names)], -1)

    def tokens(self, x, places):
        parts = [self.embed_time(x["times"])]
        if self.t["located"]:
            parts.append(self.embed_cells(x["cells"]))
        u = self.gate("request", *parts)
        if self.c["user_embedding"]:
            u = u + F.embedding(x["user"], self.w("user"), padding_idx=0).mul((x["user"] > 0).unsqueeze(-1)).unsqueeze(1)
        tokens = [u]
        if self.t["hier"]:
            tokens.append(F.embedding(self.block[x["place"]], self.w("block")))
        tokens.append(F.embedding(x["place"], places))
        if self.c["action_token"]:
            tokens.append(F.embedding(x["type"], self.w("action")))
        out = (torch.stack(tokens, 2) + self.w("kind")).flatten(1, 2)
        if self.t["profile"]:
            out = torch.cat((F.embedding(x["profile"], self.w("profile")), out), 1)
        return self.drop(out)

    def pattern(self, t):
        """True where the key may be seen whatever the batch, [T, T], and the diagonal."""
        if t not in self.patterns:
            p, k = self.t["profile"], self.per_action
            at = torch.arange(t)
            action, first = torch.div(at - p, k, rounding_mode="floor"), (at >= p) & ((at - p) % k == 0)
            seen = at[:, None] > at[None, :]
            if self.c["hide_requests"]:
                seen &= ~(first[None, :] & (action[:, None] != action[None, :]))
            self.patterns[t] = seen, torch.eye(t, dtype=torch.bool)
        return self.patterns[t]

    def per_token(self, x, fill):
        y = x.repeat_interleave(self.per_action, 1)
        return F.pad(y, (self.t["profile"], 0), value=fill) if self.t["profile"] else y

    def bias(self, x, t):
        """What is added to the scores: hidden keys and the spacetime bias, [B, H or 1, T, T]."""
        seen, diagonal = self.pattern(t)
        visible = seen & self.per_token(x["place"] > 0, True).unsqueeze(1)
        if not self.c["whole_history"]:
            segment = self.per_token(x["segment"], -1.0)
            visible = visible & (segment.unsqueeze(2) == segment.unsqueeze(1))
        mask = torch.zeros(visible.shape).masked_fill_(~(visible | diagonal), LOW).unsqueeze(1)
        if not self.c["spacetime_bias"]:
            return mask
        clock = x["clock"]
        gap = (clock.unsqueeze(1) - clock.unsqueeze(2)).abs()
        daily = gap * (2 * math.pi / 24)
        delta = x["from"].unsqueeze(2) - x["at"].unsqueeze(1)
        km = (delta.square().sum(-1) + 1e-6).sqrt().tril(-1)
        phi = torch.stack((0.3 * gap.log1p(), (gap / -6).exp(), daily.cos(), (2 * daily).cos(), (daily / 7).cos(), 0.5 * km.log1p(), (-km).exp()), -1)
        bias = (phi @ self.w("bias")).permute(0, 3, 1, 2)
        k, p = self.per_action, self.t["profile"]
        b, h, n, _ = bias.shape
        bias = bias[:, :, :, None, :, None].expand(b, h, n, k, n, k).reshape(b, h, n * k, n * k)
        if p:
            bias = F.pad(bias, (p, 0, p, 0))
        return bias + mask

    def attention(self, i, x, cos, sin, bias):
        c = self.c["decoder"]
        b, t, _ = x.shape
        h, kvh = c["heads"], c["kv_heads"] or c["heads"]
        hd = c["head_dim"] or c["dim"] // h
        prefix = f"decoder/layers_{i}/self_attn/"
        names = ("q_proj", "k_proj", "v_proj")
        q, k, v = (x @ self.w(prefix + n) for n in names)
        q, k, v = (y.view(b, t, -1, hd).transpose(1, 2) for y in (q, k, v))
        if c["qk_norm"]:
            q = rms_norm(q, self.w(prefix + "q_norm"), c["norm_eps"])
            k = rms_norm(k, self.w(prefix + "k_norm"), c["norm_eps"])
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        if kvh != h:
            k, v = k.repeat_interleave(h // kvh, 1), v.repeat_interleave(h // kvh, 1)
        if self.sdpa:
            out = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(b, h, t, t))
        else:
            flat = lambda y: y.reshape(b * h, t, hd)
            scores = torch.baddbmm(bias.expand(b, h, t, t).reshape(b * h, t, t), flat(q), flat(k).transpose(1, 2), alpha=1 / math.sqrt(hd))
            out = (scores.softmax(-1) @ flat(v)).view(b, h, t, hd)
        return out.transpose(1, 2).reshape(b, t, h * hd) @ self.w(prefix + "o_proj")

    def decoder(self, x, bias):
        c = self.c["decoder"]
        t = x.shape[1]
        hd = c["head_dim"] or c["dim"] // c["heads"]
        freq = c["rope_theta"] ** (-2 * (torch.arange(hd) % (hd // 2)).double() / hd)
        angle = torch.arange(t).float().unsqueeze(1) * freq.float()
        cos, sin = angle.cos(), angle.sin()
        drop = lambda y: F.dropout(y, c["dropout"], self.training)
        for i in range(c["layers"]):
            layer = f"decoder/layers_{i}/"
            h = rms_norm(x, self.w(layer + "input_layernorm"), c["norm_eps"])
            x = x + drop(self.attention(i, h, cos, sin, bias))
            h = rms_norm(x, self.w(layer + "post_attention_layernorm"), c["norm_eps"])
            h = F.silu(h @ self.w(layer + "mlp/gate_proj")) * (h @ self.w(layer + "mlp/up_proj"))
            x = x + drop(h @ self.w(layer + "mlp/down_proj"))
        return rms_norm(x, self.w("decoder/norm"), c["norm_eps"])

    def requests(self, hidden, x, offset):
        at = x["request"] * self.per_action + (self.t["profile"] + offset)
        return hidden.gather(1, at.unsqueeze(-1).expand(-1, -1, self.d)).flatten(0, 1)

    def output(self, name, h, table):
        h = self.drop(h)
        bias = self.w(name + "/bias") + F.pad(self.first, (0, self.w(name + "/bias").numel() - 1))
        if self.c["tied_embeddings"]:
            return torch.addmm(bias, h @ self.w(name + "/map"), table.t())
        return torch.addmm(bias, h, self.w(name + "/out"))

    def generated(self, hidden, h, x, places):
        """Log-probability of each target by generation, [R]."""
        label = x["label"].flatten()
        if not self.t["hier"]:
            return -F.cross_entropy(self.output("flat", h, places), label, reduction="none")
        blocks = self.output("blocks", h, self.w("block") if self.c["tied_embeddings"] else None)
        inners = self.output("inners", self.requests(hidden, x, 1), self.w("place") if self.c["tied_embeddings"] else None)
        return -F.cross_entropy(blocks, self.block[label], reduction="none") - F.cross_entropy(inners, self.place[label], reduction="none")

    def hide_state(self, h):
        """The copy head goes without the hidden state in a share of training requests."""
        rate = self.c["state_dropout"]
        if rate == 1:
            return torch.zeros_like(h)
        if rate == 0 or not self.training:
            return h
        return h * (torch.rand(len(h), 1) >= rate)

    def copy_head(self, h, x, places):
        """Log-probabilities of copying each candidate [R, C] and the logit of copying [R]."""
        candidate = x["candidate"].flatten(0, 1)
        about = self.drop(torch.cat((self.hide_state(h), x["context"].flatten(0, 1)), -1))
        logits = 0
        if self.c["pointer"]:
            logits = ((about @ self.w("copy/query")) @ places.t()).gather(1, candidate)
        if self.c["evidence"]:
            y = ((x["feature"].flatten(0, 1) - self.mean) * self.scale).clamp_(-6, 6) @ self.w("copy/evidence")
            side = torch.addmm(self.w("copy/bias1"), about, self.w("copy/about")).unsqueeze(1)
            y = F.silu(y + side)
            if self.training:  # one mask for all candidates of a request
                y = y * self.drop(torch.ones_like(side))
            y = F.silu(F.linear(y, self.w("copy/hidden").t(), self.w("copy/bias2")))
            logits = logits + (y @ self.w("copy/out")).squeeze(-1)
        logits = logits.masked_fill(candidate == 0, LOW)
        return logits.log_softmax(-1), (about @ self.w("copy/gate") + self.w("copy/gate_bias")).squeeze(-1)

    def forward(self, x):
        places = self.embed_places()
        tokens = self.tokens(x, places)
        hidden = self.decoder(tokens, self.bias(x, tokens.shape[1]))
        h = self.requests(hidden, x, 0)
        generated = self.generated(hidden, h, x, places)
        weight = x["weight"].flatten()
        weight = weight / (weight.sum() + 1e-6)
        nll = -(generated * weight).sum()
        if not self.c["copy_head"]:
            return nll
        copied, gate = self.copy_head(h, x, places)
        chosen = x["chosen"].flatten()
        at = copied.gather(1, chosen.clamp(min=0).unsqueeze(1)).squeeze(1)
        alone = generated + F.logsigmoid(-gate)
        both = torch.logaddexp(at + F.logsigmoid(gate), alone)
        loss = -(torch.where(chosen < 0, alone, both) * weight).sum()
        return loss + self.c["generate_weight"] * nll


class Trainer:
    """AdamW with warm-up and cosine, clipping, averaged weights: training/ in PyTorch."""

    def __init__(self, net, cfg, total):
        self.net, self.cfg, self.total, self.step_number = net, cfg, total, 0
        self.params = list(net.parameters())
        plain = lambda n: net.weights[net.index[n]].ndim < 2 or any(part in "/" + n for part in cfg.get("no_decay") or [])
        groups = [{"params": [net.weights[net.index[n]] for n in net.names if plain(n) == p], "weight_decay": 0.0 if p else cfg["weight_decay"]} for p in (False, True)]
        self.optimizer = torch.optim.AdamW(groups, lr=cfg["lr"], betas=(cfg["beta1"], cfg["beta2"]), eps=cfg["eps"], foreach=True)
        self.average = [p.detach().clone() for p in self.params] if cfg["ema_decay"] > 0 else None

    def rate(self):
        c, step = self.cfg, self.step_number
        if step <= c["warmup_steps"]:
            return c["lr"] * step / c["warmup_steps"]
        done = min(1.0, (step - c["warmup_steps"]) / max(1, self.total - c["warmup_steps"]))
        return c["min_lr"] + (c["lr"] - c["min_lr"]) * (1 + math.cos(math.pi * done)) / 2

    def step(self, x):
        self.step_number += 1
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate()
        self.optimizer.zero_grad(set_to_none=True)
        loss = self.net(x)
        loss.backward()
        if self.cfg["clip_norm"] > 0:
            torch.nn.utils.clip_grad_norm_(self.params, self.cfg["clip_norm"])
        self.optimizer.step()
        if self.average:
            decay = min(self.cfg["ema_decay"], (self.step_number - 1) / (self.step_number + 9))
            with torch.no_grad():
                torch._foreach_mul_(self.average, decay)
                torch._foreach_add_(self.average, [p.detach() for p in self.params], alpha=1 - decay)
        return loss.item()


def load(folder):
    with open(os.path.join(folder, "manifest.json")) as f:
        manifest = json.load(f)
    tables = read_arrays(os.path.join(folder, "tables"))
    weights = read_weights(os.path.join(folder, manifest["weights"]))
    batches = [read_arrays(os.path.join(folder, b["folder"])) for b in manifest["batches"]]
    return manifest, tables, weights, batches


def apart(net, manifest, batches):
    """The largest difference of the losses without dropout from those of whereto."""
    net.eval()
    with torch.no_grad():
        return max(abs(net(x).item() - b["loss"]) for x, b in zip(batches, manifest["batches"]))


def passes(net, manifest, batches, count):
    """Seconds of each pass over the batches, after one that warms up, and the last loss."""
    trainer = Trainer(net.train(), manifest["recipe"]["training"], (count + 1) * len(batches))
    times = []
    for _ in range(count + 1):
        start = time.perf_counter()
        for x in batches:
            loss = trainer.step(x)
        times.append(time.perf_counter() - start)
    return times[1:], loss


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("export", help="folder written by `whereto bench train --export`")
    p.add_argument("--steps", type=int, default=30, help="steps to measure (whole passes over the batches)")
    p.add_argument("--threads", type=int, default=int(os.environ.get("OMP_NUM_THREADS", "2")))
    p.add_argument("--attention", choices=("auto", "matmul", "sdpa"), default="auto", help="auto: the faster one here")
    p.add_argument("--check", action="store_true", help="compare the losses and stop")
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    manifest, tables, weights, batches = load(args.export)
    build = lambda kind: Spacetime(manifest, tables, weights, kind)

    off = apart(build("matmul"), manifest, batches)
    print(f"losses of {len(batches)} batches without dropout: at most {off:.1e} from those of whereto", file=sys.stderr)
    if not off <= 1e-4:
        sys.exit("not the same network: losses differ by more than 1e-4")
    if args.check:
        return
    kind = args.attention
    if kind == "auto":
        kind = "matmul"
        if hasattr(F, "scaled_dot_product_attention"):
            speed = {k: min(passes(build(k), manifest, batches, 2)[0]) for k in ("matmul", "sdpa")}
            kind = min(speed, key=speed.get)
    count = math.ceil(args.steps / len(batches))
    cpu, wall = time.process_time(), time.perf_counter()
    times, loss = passes(build(kind), manifest, batches, count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    seconds = statistics.median(times)
    tokens, targets = (sum(b[k] for b in manifest["batches"]) for k in ("tokens", "targets"))
    print(json.dumps({
        "engine": f"PyTorch {torch.__version__}", "python": platform.python_version(), "threads": torch.get_num_threads(), "attention": kind,
        "batches": len(batches), "passes": count, "tokens_per_pass": tokens, "targets_per_pass": targets, "seconds_per_pass": seconds,
        "slowest_pass_seconds": max(times), "step_ms": 1e3 * seconds / len(batches), "tokens_per_second": tokens / seconds,
        "targets_per_second": targets / seconds, "loss_apart": off, "last_loss": loss, "cpu_per_wall": cpu / wall,
    }))


if __name__ == "__main__":
    main()
