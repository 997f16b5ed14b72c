"""Writes the tiny BERT of testdata/bert and the vectors that the reference
implementation gives, for the tests of the local encoder. Run once, with

    pip install torch==1.13.1 transformers==4.30.2 tokenizers==0.13.3 'safetensors<0.5' 'numpy<2'
    python make_bert.py

The weights are random (seed below): only that both implementations agree counts.
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertConfig, BertModel

SEED = 20240917
HERE = pathlib.Path(__file__).parent / "bert"
TEXTS = [
    "Hot spring restaurant",
    "a",
    "Café Zürich, naïve!  The best   noodles; really.",
    "unseenword xylophone ünïcödé 42nd-street",
    "北京火锅 hot pot 很好吃",
    "the quiet garden and the old bath near the river with tea and music " * 3,
    "review: \"don't go\" (closed) … it's 5 stars??",
    "Cafe\u0301 with combining accent \u200b and zero\u00a0width \u2014 dash",
]

words = """the a an and of with near old new hot cold spring bath tea noodle noodles garden river quiet
loud music restaurant cafe zurich naive best really review go closed it s 5 stars don t street pot""".split()
letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + list("0123456789")
marks = list("!\"'(),-.:;?…—") + list("北京火很好")
vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
for piece in words + letters + marks + ["##" + x for x in letters] + ["##ing", "##word", "##nd", "##ed"]:
    if piece not in vocab:
        vocab.append(piece)

tok = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocab)}, unk_token="[UNK]", max_input_chars_per_word=100))
tok.normalizer = normalizers.BertNormalizer(lowercase=True)
tok.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
tok.post_processor = processors.TemplateProcessing(
    single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
tok.decoder = decoders.WordPiece()
tok.add_special_tokens(vocab[:5])

torch.manual_seed(SEED)
config = BertConfig(vocab_size=len(vocab), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
                    max_position_embeddings=48, initializer_range=0.3, attention_probs_dropout_prob=0, hidden_dropout_prob=0)
model = BertModel(config, add_pooling_layer=False).eval()
with torch.no_grad():  # fresh norms are ones and zeros, which would hide a swap
    for name, p in model.named_parameters():
        if "LayerNorm" in name or name.endswith("bias"):
            p.add_(0.2 * torch.randn_like(p))

HERE.mkdir(exist_ok=True)
tok.save(str(HERE / "tokenizer.json"))
(HERE / "config.json").write_text(json.dumps(config.to_dict(), indent=1, sort_keys=True) + "\n")
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, str(HERE / "model.safetensors"))

cases = []
for text in TEXTS:
    ids = tok.encode(text).ids
    if len(ids) > config.max_position_embeddings:
        ids = ids[: config.max_position_embeddings - 1] + ids[-1:]
    with torch.no_grad():
        states = model(torch.tensor([ids])).last_hidden_state[0]
    mean = torch.nn.functional.normalize(states.mean(0), dim=0)
    first = torch.nn.functional.normalize(states[0], dim=0)
    cases.append({"text": text, "ids": ids, "mean": [round(x, 7) for x in mean.tolist()], "first": [round(x, 7) for x in first.tolist()]})
(HERE / "expected.json").write_text(json.dumps(cases, ensure_ascii=False, indent=0) + "\n")
