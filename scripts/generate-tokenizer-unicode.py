"""Writes src/tokenizer/unicode-tables.ts: what the Python package tokenizers takes for a letter, a mark, a punctuation, asked of the package
itself, character by character. Its tables are of several releases of Unicode, none of them that of Node.

    $(scripts/node scripts/python-env.ts text) scripts/generate-tokenizer-unicode.py > src/tokenizer/unicode-tables.ts
"""
import subprocess
import json
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

CODES = [code for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
clean = normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False)
accents = normalizers.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False)
marks = normalizers.StripAccents()


def gone(normalizer):
    return lambda char: normalizer.normalize_str("a" + char + "b") == "ab"


def splits(pre_tokenizer, around="ab"):
    parts = lambda char: [part for part, _ in pre_tokenizer.pre_tokenize_str(around[0] + char + around[1])]
    return lambda char: parts(char) == [around[0], char, around[1]]


word = pre_tokenizers.Whitespace()
SETS = {
    "CONTROL": ("Left out by BertNormalizer.", gone(clean)),
    "MARK_NONSPACING": ("Accents to BertNormalizer.", gone(accents)),
    "MARK": ("Accents to StripAccents.", gone(marks)),
    "PUNCTUATION": ("Split by BertPreTokenizer and Punctuation.", splits(pre_tokenizers.Punctuation())),
    "NUMERIC": ("Split by Digits.", splits(pre_tokenizers.Digits(individual_digits=True))),
    "WORD": ("`\\w` of Whitespace.", lambda char: [p for p, _ in word.pre_tokenize_str("a" + char + "b")] == ["a" + char + "b"]),
    "LETTER": ("`\\p{L}`.", splits(pre_tokenizers.Split(Regex(r"\p{L}"), "isolated"), "!!")),
    "NUMBER": ("`\\p{N}`.", splits(pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"))),
}


def ranges(codes):
    found = []
    for code in codes:
        if found and found[-1][1] == code - 1:
            found[-1][1] = code
        else:
            found.append([code, code])
    return " ".join(f"{a:x}" if a == b else f"{a:x}-{b:x}" for a, b in found)


def unknown(form):
    """Characters that Node normalises, decomposes or reorders, and the package does not know."""
    normalizer = getattr(normalizers, form)()
    texts = [text for code in CODES for text in (chr(code), chr(code) + "\u0316")]
    program = f"const texts = JSON.parse(require('fs').readFileSync(0, 'utf8')); console.log(JSON.stringify(texts.map((t) => t.normalize('{form}'))))"
    theirs = json.loads(subprocess.run(["node", "-e", program], input=json.dumps(texts), capture_output=True, text=True, check=True).stdout)
    codes = {ord(text[0]) for text, other in zip(texts, theirs) if normalizer.normalize_str(text) != other}
    # What begins a pair that only Node composes.
    codes |= {ord(other[0]) for text, other in zip(texts, theirs) if form == "NFD" and len(text) == 1 and ord(text) in codes and len(other) > 1}
    return codes


print("/**")
print(f" * Characters as the Python package tokenizers {tokenizers.__version__} takes them: ranges of code points.")
print(" * Written by scripts/generate-tokenizer-unicode.py.")
print(" */")
for name, (what, holds) in SETS.items():
    print(f"\n/** {what} */")
    print(f"export const {name} =\n  '{ranges(code for code in CODES if holds(chr(code)))}'")
decomposed = unknown("NFD")
compatible = unknown("NFKD")
print("\n/** Left as they are by NFC and NFD. */")
print(f"export const NOT_NORMALISED =\n  '{ranges(sorted(decomposed | unknown('NFC')))}'")
print("\n/** Left as they are by NFKC and NFKD. */")
print(f"export const NOT_NORMALISED_COMPATIBLY =\n  '{ranges(sorted(compatible | decomposed | unknown('NFKC')))}'")
