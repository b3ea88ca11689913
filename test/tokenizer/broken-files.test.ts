import assert from 'node:assert/strict'
import { it } from 'node:test'
import { isSlipwayError } from '../../src/core/errors.ts'
import { readTokenizer } from '../../src/tokenizer/tokenizer.ts'
import { randomFrom } from '../soak/random.ts'
import type { Random } from '../soak/random.ts'

const TEMPLATE = {
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: '<s>', type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
  special_tokens: { '<s>': { id: '<s>', ids: [0], tokens: ['<s>'] } },
}
const ADDED = [{ id: 3, content: '<m>', single_word: false, lstrip: true, rstrip: false, normalized: false, special: true }]
const FILES: readonly object[] = [
  {
    truncation: { max_length: 5, strategy: 'LongestFirst', direction: 'Right', stride: 0 },
    padding: { strategy: 'BatchLongest', direction: 'Right', pad_id: 0, pad_type_id: 0, pad_token: '<s>' },
    added_tokens: ADDED,
    normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: TEMPLATE,
    model: {
      type: 'WordPiece',
      unk_token: 'u',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 9,
      vocab: { u: 0, a: 1, '##b': 2 },
    },
  },
  {
    added_tokens: ADDED,
    normalizer: {
      type: 'Sequence',
      normalizers: [{ type: 'Replace', pattern: { Regex: ' {2,}' }, content: ' ' }, { type: 'Prepend', prepend: 'a' }, { type: 'NFKC' }],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { String: 'b' }, behavior: 'MergedWithNext', invert: false },
        { type: 'Digits', individual_digits: true },
        { type: 'ByteLevel', add_prefix_space: false, use_regex: true },
      ],
    },
    post_processor: { type: 'RobertaProcessing', sep: ['</s>', 1], cls: ['<s>', 0] },
    model: {
      type: 'BPE',
      vocab: { a: 0, b: 1, ab: 2, abab: 3 },
      merges: [['a', 'b'], 'ab ab'],
      unk_token: 'a',
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
    },
  },
  {
    normalizer: { type: 'Precompiled', precompiled_charsmap: Buffer.from([4, 0, 0, 0, 1, 2, 3, 4, 97, 0]).toString('base64') },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
    post_processor: { type: 'Sequence', processors: [TEMPLATE, { type: 'ByteLevel' }] },
    model: {
      type: 'Unigram',
      unk_id: 0,
      byte_fallback: false,
      vocab: [
        ['u', -1],
        ['▁a', -2.5],
        ['b', -3],
      ],
    },
  },
]

const ODD: readonly unknown[] = [
  null,
  true,
  -1,
  1.5,
  1e300,
  2 ** 53,
  0,
  '',
  'a',
  '[',
  '(',
  '\\',
  '__proto__',
  [],
  {},
  [null],
  { String: 3 },
  '\ud800',
  'x'.repeat(300),
]

/** One value of a document, anywhere in it, becomes another or goes. */
function bent(value: unknown, chance: Random): unknown {
  if (value === null || typeof value !== 'object' || chance.next() < 0.1) return chance.pick(ODD)
  const keys = Object.keys(value)
  if (keys.length === 0) return chance.pick(ODD)
  const key = chance.pick(keys)
  const copy: Record<string, unknown> | unknown[] = Array.isArray(value) ? [...(value as unknown[])] : { ...value }
  if (chance.next() < 0.05) delete (copy as Record<string, unknown>)[key]
  else (copy as Record<string, unknown>)[key] = bent((value as Record<string, unknown>)[key], chance)
  return copy
}

it('a tokenizer.json of any content is read or refused, and what was read makes whole token ids', () => {
  const seed = Number(process.env['SLIPWAY_SEED'] ?? Math.floor(Math.random() * 1e6))
  const chance = randomFrom(seed)
  let read = 0
  for (let round = 0; round < 12_000; round++) {
    let document: unknown = chance.pick(FILES)
    for (let times = 1 + chance.below(2); times > 0; times--) document = bent(document, chance)
    const json = JSON.stringify(document)
    try {
      const tokenizer = readTokenizer(json)
      for (const text of ['', 'ab ab <m>', 'äb 1  字\r\n', '\0'])
        for (const { ids, typeIds } of [tokenizer.encode(text), tokenizer.encode(text, 'b a', tokenizer.truncation)]) {
          assert.equal(ids.length, typeIds.length)
          for (const id of [...ids, ...typeIds, tokenizer.padding?.id ?? 0, tokenizer.padding?.typeId ?? 0])
            assert.ok(Number.isSafeInteger(id) && id >= 0, `SLIPWAY_SEED=${seed}: id ${id} from ${json}`)
        }
      read++
    } catch (error) {
      assert.ok(isSlipwayError(error), `SLIPWAY_SEED=${seed}: ${String(error)} from ${json}`)
    }
  }
  assert.ok(read > 1000 && read < 11_500, `${read} were read`)
})
