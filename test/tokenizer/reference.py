"""Trains tokenizers of every kind on sentences of many scripts, and writes what the package tokenizers makes of texts that are hard.

    python reference.py FOLDER SEED

FOLDER gets NAME.json (a tokenizer.json) and NAME.ids.json for each.
"""
import base64
import io
import json
import random
import sys
from pathlib import Path

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

folder, seed = Path(sys.argv[1]), int(sys.argv[2])
draw = random.Random(seed)

SENTENCES = [
    "The quick brown fox jumps over the lazy dog, doesn't it? We'll see; they've run 1,234.5 miles!",
    "Zażółć gęślą jaźń. Příliš žluťoučký kůň. Ünïcödé façade naïve Œuvre ŒUVRE ẞ straße STRASSE ﬁne ﬂow",
    "Съешь ещё этих мягких французских булок, да выпей чаю. Їжак ґанок ў",
    "Ο Σωκράτης ΟΔΥΣΣΕΥΣ ΣΑΣ σοφός Ἀχιλλεύς ᾳ ᾼ ΐ",
    "שלום עולם, מה שלומך? בְּרֵאשִׁית בָּרָא אֱלֹהִים",
    "مرحبا بالعالم، كيف حالك؟ ٱلْعَرَبِيَّةُ ﷺ ١٢٣٤",
    "我能吞下玻璃而不伤身体。㐀𠀀𪜀𫝀𫠠豈丽",
    "私はガラスを食べられます。ガギグ ｶﾞｷﾞ カ゛㍿ ㌔ Ｆｕｌｌ　ｗｉｄｔｈ１２３",
    "나는 유리를 먹을 수 있어요. 한국어 ㅎㅏㄴ 각각",
    "मैं काँच खा सकता हूँ। क्षि ज़ நான் கண்ணாடி సాప ಕನ್ನಡ മലയാളം සිංහල",
    "ฉันกินกระจกได้ กำ น้ำ ລາວ ខ្មែរ မြန်မာ བོད་",
    "🙂👍🏽👨‍👩‍👧‍👦🏳️‍🌈🇩🇪🇯🇵 1️⃣ ☃️ ✈ ❤️‍🔥 👩🏾‍🚀 🫠🪿",
    "e\u0301 o\u0308\u0304 a\u0323\u0302 Z\u0351\u036b\u0343a\u0300\u0301\u0302\u0303 \u0301lonely ﬃ ½ ² ℌ Å Å Ω",
    "tab\there\nline\r\nreturn\rvt\x0bff\x0cnel\x85ls\u2028ps\u2029nbsp\u00a0thin\u2009zw\u200bsp\u200czwj\u200dlrm\u200ebom\ufeffend",
    "\x01\x02bell\x07 \x7fdel \u00ad soft \ufffd replaced \ue000 private \U000f0000 \U0010ffff \ufdd0",
    "https://example.org/a_b?c=d&e=%20#f user@example.com C++ C# $5.00 €10 £3 ¥7 ~`!@#$%^&*()-_=+[]{}\\|;:'\",.<>/? “quoted” ‘single’ — – … · ¿ ¡ « » § ¶ † ‡",
    "def f(x):\n    return x**2  # comment\n\n\n  indented   spaces     many",
    "ᏣᎳᎩ ᏣᎳᎩ Ꮳꮳ 𐐀𐐨 Ⅷ ⅷ ǅ ŉ İ ı I i ǰ ß ſ K",
    "𞤀𞤢 𑄀𑅅 𝔘𝔫𝔦 𝟙𝟚 \U0001e030 \u1acf \U00011f00 \ua7c0",
]

HARD = [
    "", " ", "  ", "\n", "\t \t", "a", "A", ".", "...", "\u0301", "\u200d", "\ufeff", "\x00", "a\x00b", "İ", "Σ", "ΑΣ", "ΑΣ Β", "'", "'s", "''s",
    "[CLS]", "[SEP] in the text", "x[MASK]y", "<s>", " </s>", "<mask>", "  <mask>  ", "hello<mask>world", "[UNK]", "<unk>", "newtoken", "a newtoken b", "anewtokenb", "Newtoken",
    "unaffable" * 30, "a" * 101, "é" * 100, "é" * 101, "😀" * 100, "😀" * 101, "x" * 5000, "ab " * 300, " " * 500 + "end", "\n" * 300, "가" * 300, "\u0301" * 300,
    "don't won't I'LL they'Ve", "1234567890 ١٢٣ ⅫⅣ ¾", "_under_score_ __x__", "\u2581already\u2581 \u2581 spaced", "a\u2581b", "e\u0301" * 40, "각" * 20,
]


def noise():
    kinds = [
        lambda: draw.choice(SENTENCES),
        lambda: "".join(draw.sample(draw.choice(SENTENCES), 3)),
        lambda: chr(draw.choice([draw.randrange(1, 0x250), draw.randrange(0x300, 0x370), draw.randrange(0x2000, 0x2100), draw.randrange(0x1F000, 0x1FB00), draw.randrange(0x3000, 0x9FFF), draw.randrange(0xF900, 0xFFFF), draw.randrange(0xAC00, 0xD7A4)])),
        lambda: draw.choice([" ", "  ", "\n", "\u00a0", "\u3000", "", "-", "'"]),
    ]
    return "".join(draw.choice(kinds)() for _ in range(draw.randrange(1, 8)))


LONG = "".join(noise() for _ in range(4000)).encode()[:100_000].decode(errors="ignore")
IDEOGRAPHS = [(0x3400, 0x9FFF), (0xAC00, 0xD7A3), (0xE000, 0xF8FF), (0x17000, 0x18D00), (0x20000, 0x3134F)]
CHARACTERS = [chr(code) for code in range(1, 0x31350) if not 0xD800 <= code < 0xE000 and (code % 97 == 0 or not any(a < code < b for a, b in IDEOGRAPHS))]
texts = SENTENCES + HARD + [noise() for _ in range(400)] + [LONG]
# Every character but most ideographs, in groups: alone between letters, beside a mark.
characters = ["".join("a" + char + "b " + char + "\u0316" for char in CHARACTERS[at : at + 500]) for at in range(0, len(CHARACTERS), 500)]
corpus = SENTENCES * 5 + [noise() for _ in range(300)]

spoken = io.BytesIO()
sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(SENTENCES * 3), model_writer=spoken, vocab_size=600, hard_vocab_limit=False, minloglevel=2)


def field(message, number):
    """The bytes of a field of a message in protobuf; later ones win."""
    at, found = 0, None

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            varint()
        elif kind == 5:
            at += 4
        elif kind == 1:
            at += 8
        else:
            size = varint()
            if key >> 3 == number:
                found = message[at : at + size]
            at += size
    return found


charsmap = field(field(spoken.getvalue(), 3), 2)


def trained(model, trainer, normalizer=None, pre_tokenizer=None):
    tokenizer = Tokenizer(model)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.train_from_iterator(corpus, trainer)
    return tokenizer


BERT = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def bert(**settings):
    tokenizer = trained(models.WordPiece(unk_token="[UNK]"), trainers.WordPieceTrainer(vocab_size=1500, special_tokens=BERT, show_progress=False), normalizers.BertNormalizer(**settings), pre_tokenizers.BertPreTokenizer())
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer


def byte_level(prefixed, post):
    tokenizer = trained(models.BPE(), trainers.BpeTrainer(vocab_size=1200, special_tokens=ROBERTA, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False), None, pre_tokenizers.ByteLevel(add_prefix_space=prefixed))
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    tokenizer.add_tokens([AddedToken("newtoken", single_word=True)])
    tokenizer.post_processor = post
    return tokenizer


def unigram(normalizer, pre_tokenizer, **settings):
    tokenizer = trained(models.Unigram(), trainers.UnigramTrainer(vocab_size=900, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"], unk_token="<unk>", show_progress=False), normalizer, pre_tokenizer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)])
    return tokenizer


def clip():
    tokenizer = trained(
        models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"),
        trainers.BpeTrainer(vocab_size=1200, special_tokens=["<unk>", "<|startoftext|>", "<|endoftext|>"], end_of_word_suffix="</w>", initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False),
        normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]),
        pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
    )
    tokenizer.post_processor = processors.RobertaProcessing(("<|endoftext|>", 2), ("<|startoftext|>", 1), trim_offsets=False, add_prefix_space=False)
    return tokenizer


def llama():
    tokenizer = trained(
        models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True),
        trainers.BpeTrainer(vocab_size=1500, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)], limit_alphabet=300, show_progress=False),
        normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]),
    )
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s>:1 $B:1", special_tokens=[("<s>", 1)])
    return tokenizer


def words(pre_tokenizer, normalizer=None):
    tokenizer = trained(models.WordLevel(unk_token="[UNK]"), trainers.WordLevelTrainer(vocab_size=3000, special_tokens=["[UNK]"], show_progress=False), normalizer, pre_tokenizer)
    return tokenizer


def unknown_bpe():
    return trained(models.BPE(unk_token="[UNK]", continuing_subword_prefix="##"), trainers.BpeTrainer(vocab_size=800, special_tokens=["[UNK]"], limit_alphabet=60, continuing_subword_prefix="##", show_progress=False), normalizers.NFKD(), pre_tokenizers.Whitespace())


GPT4 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TOKENIZERS = {
    "bert-uncased": bert(),
    "bert-cased": bert(lowercase=False, strip_accents=False),
    "bert-accents": bert(lowercase=True, strip_accents=False, handle_chinese_chars=False, clean_text=False),
    "gpt2": byte_level(False, processors.ByteLevel(trim_offsets=False)),
    "roberta": byte_level(True, processors.RobertaProcessing(("</s>", 2), ("<s>", 0))),
    "unigram-xlmr": unigram(normalizers.Sequence([normalizers.Precompiled(charsmap), normalizers.Replace(Regex(" {2,}"), " ")]), pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])),
    "unigram-deberta": unigram(normalizers.Sequence([normalizers.Strip(), normalizers.Precompiled(charsmap)]), pre_tokenizers.Metaspace(prepend_scheme="always")),
    "unigram-nfkc": unigram(normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC()]), pre_tokenizers.Metaspace(prepend_scheme="first", split=False)),
    "unigram-plain": unigram(normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]), pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.Metaspace(prepend_scheme="never")])),
    "clip": clip(),
    "llama": llama(),
    "gpt4": trained(models.BPE(ignore_merges=True), trainers.BpeTrainer(vocab_size=1200, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False), None, pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(GPT4), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])),
    "words": words(pre_tokenizers.Whitespace(), normalizers.NFC()),
    "words-digits": words(pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation("merged_with_previous"), pre_tokenizers.Digits(individual_digits=True)]), normalizers.Strip(left=True, right=False)),
    "unknown-bpe": unknown_bpe(),
}


# Those that between them have every part that looks at single characters.
ALL_CHARACTERS = {"bert-uncased", "gpt2", "unigram-xlmr", "unigram-nfkc", "unigram-plain", "words", "words-digits"}

for name, tokenizer in TOKENIZERS.items():
    (folder / f"{name}.json").write_text(tokenizer.to_str())
    pairs = [(draw.choice(texts[:-1]), draw.choice(texts[:-1])) for _ in range(60)]
    pairs = [(a[:300], b[:300]) for a, b in pairs]
    asked = texts + (characters if name in ALL_CHARACTERS else [])
    told = {"texts": asked, "ids": [tokenizer.encode(text).ids for text in asked], "pairs": []}
    for a, b in pairs:
        whole = tokenizer.encode(a, b)
        told["pairs"].append({"text": a, "pair": b, "ids": whole.ids, "types": whole.type_ids})
    told["cut"] = []
    for length in (6, 7, 12, 33):
        for strategy in ("longest_first", "only_first", "only_second"):
            for side in ("right", "left"):
                tokenizer.enable_truncation(length, strategy=strategy, direction=side)
                for a, b in draw.sample(pairs, 6):
                    for second in ((b,) if strategy == "only_second" else (b, None)):
                        try:
                            ids = (tokenizer.encode(a) if second is None else tokenizer.encode(a, second)).ids
                        except Exception:
                            ids = None
                        told["cut"].append({"text": a, "pair": second, "length": length, "strategy": strategy, "side": side, "ids": ids})
    tokenizer.no_truncation()
    (folder / f"{name}.ids.json").write_text(json.dumps(told))
