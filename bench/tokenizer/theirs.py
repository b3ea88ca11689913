"""trains three tokenizers on sentences made of the words of this Python's own documentation, and times them: one text at a time, on one core.

    python theirs.py FOLDER

FOLDER gets NAME.json; what was measured goes to standard output as JSON.
"""
import json
import pydoc_data.topics
import random
import sys
import time
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

folder = Path(sys.argv[1])
draw = random.Random(3)
paragraphs = [" ".join(part.split()) for topic in pydoc_data.topics.topics.values() for part in topic.split("\n\n")]
paragraphs = [part for part in paragraphs if 40 < len(part) < 2000]
# Some that are not ASCII, as people write.
accents = str.maketrans("aeou", "áéöü")
texts = [part.translate(accents) if draw.random() < 0.2 else part for part in draw.sample(paragraphs, min(2000, len(paragraphs)))]


def trained(model, trainer, normalizer, pre_tokenizer):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


bert = trained(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=8000, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False), normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer())
bert.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
byte_level = trained(models.BPE(), trainers.BpeTrainer(vocab_size=8000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False), None, pre_tokenizers.ByteLevel(add_prefix_space=False))
unigram = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=6000, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False), normalizers.NFKC(), pre_tokenizers.Metaspace())

results = []
for name, tokenizer in {"wordpiece (BERT)": bert, "byte-level BPE": byte_level, "unigram": unigram}.items():
    (folder / f"{name}.json").write_text(tokenizer.to_str())
    for _ in range(2):
        begun = time.perf_counter()
        ids = [tokenizer.encode(text).ids for text in texts]
        ms = 1000 * (time.perf_counter() - begun)
    checksum = 0
    for each in ids:
        for one in each:
            checksum = (checksum * 31 + one) % 1_000_003
    results.append({"name": name, "texts": texts, "tokens": sum(map(len, ids)), "ms": ms, "checksum": checksum})
print(json.dumps(results))
