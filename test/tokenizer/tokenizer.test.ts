import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readTokenizer } from '../../src/tokenizer/tokenizer.ts'

const WORDS = { type: 'WordLevel', vocab: { '[UNK]': 0, a: 1, b: 2, '[PAD]': 3 }, unk_token: '[UNK]' }

function jsonOf(parts: Record<string, unknown>): string {
  return JSON.stringify({ model: WORDS, pre_tokenizer: { type: 'WhitespaceSplit' }, ...parts })
}

describe('reading a tokenizer.json', () => {
  for (const [what, parts, message] of [
    ['a normalizer', { normalizer: { type: 'Sequence', normalizers: [{ type: 'Unheard' }] } }, /the normalizer Unheard is not supported/],
    ['a pre-tokenizer', { pre_tokenizer: { type: 'UnicodeScripts' } }, /the pre-tokenizer UnicodeScripts is not supported/],
    ['a model', { model: { type: 'Lattice', vocab: {} } }, /the model Lattice is not supported/],
    ['a post-processor', { post_processor: { type: 'Chat' } }, /the post-processor Chat is not supported/],
    [
      'dropout',
      { model: { type: 'BPE', vocab: {}, merges: [], dropout: 0.1 } },
      /BPE with dropout, which answers at random, is not supported/,
    ],
    ['an expression', { pre_tokenizer: split('a++') }, /the regular expression a\+\+: the quantifier \+\+ is not supported/],
    ['an expression with a class in a class', { pre_tokenizer: split('[a[b]]') }, /\[a\[b\]\]: a class inside a class is not supported/],
    ['an expression with a group of another kind', { pre_tokenizer: split('(?>a)') }, /\(\?>a\): this kind of group is not supported/],
    ['an expression with an escape of another kind', { pre_tokenizer: split(String.raw`\Ra`) }, /\\R is not supported/],
  ] as const)
    it(`refuses ${what} that it does not know, by name`, () => {
      assert.throws(() => readTokenizer(jsonOf(parts)), { code: 'SLW_MODEL_UNSUPPORTED', message })
    })

  for (const [what, json, message] of [
    ['no JSON', '{', /tokenizer\.json: /],
    ['no object', '[]', /expected an object/],
    ['no model', '{}', /model: expected an object/],
    ['a vocabulary of texts', jsonOf({ model: { ...WORDS, vocab: { a: 'b' } } }), /the id of "a" is no number/],
    [
      'merges of nothing',
      jsonOf({ model: { type: 'BPE', vocab: { a: 0 }, merges: ['a b'] } }),
      /merges: "a b" has a part that is not in vocab/,
    ],
    ['a map that is cut off', jsonOf({ normalizer: { type: 'Precompiled', precompiled_charsmap: '/////w==' } }), /precompiled_charsmap/],
    ['a length of no tokens', jsonOf({ truncation: { max_length: 0 } }), /max_length: expected an integer from 1/],
  ] as const)
    it(`refuses ${what}`, () => {
      assert.throws(() => readTokenizer(json), { code: 'SLW_PACKAGE_INVALID', message })
    })

  it('says what the file says of truncation and padding', () => {
    const { truncation, padding } = readTokenizer(
      jsonOf({
        truncation: { max_length: 9, strategy: 'OnlySecond', direction: 'Left', stride: 0 },
        padding: { strategy: 'BatchLongest', direction: 'Left', pad_id: 3, pad_type_id: 0, pad_token: '[PAD]' },
      }),
    )
    assert.deepEqual(truncation, { maxLength: 9, strategy: 'only_second', side: 'left' })
    assert.deepEqual(padding, { id: 3, typeId: 0, side: 'left' })
  })

  it('a text for which there is no token is refused where there is none for the unknown either', () => {
    const tokenizer = readTokenizer(jsonOf({ model: { ...WORDS, vocab: { a: 0 } } }))
    assert.deepEqual(tokenizer.encode('a a').ids, [0, 0])
    assert.throws(() => tokenizer.encode('a zebra'), { code: 'SLW_INPUT_INVALID', message: /no token for "zebra"/ })
  })

  it('time grows as the text does, for one word of a megabyte too', () => {
    const letters = Object.fromEntries(
      'abcdefgh'.split('').flatMap((a, index) => [
        [a, index],
        [a + a, 8 + index],
        [a + a + a + a, 16 + index],
      ]),
    )
    const merges = 'abcdefgh'.split('').flatMap((a) => [
      [a, a],
      [a + a, a + a],
    ])
    const tokenizer = readTokenizer(JSON.stringify({ model: { type: 'BPE', vocab: letters, merges } }))
    const timeOf = (length: number): number => {
      const text = 'abcddddeffgg'.repeat(length / 12)
      const started = performance.now()
      assert.ok(tokenizer.encode(text).ids.length > length / 3)
      return performance.now() - started
    }
    timeOf(12_000)
    const [few, many] = [timeOf(60_000), timeOf(960_000)]
    assert.ok(many < 16 * 8 * few + 200, `sixteen times the text took ${(many / few).toFixed(1)} times as long`)
  })

  it('of a text that is cut no more is made into tokens than is kept', () => {
    const tokenizer = readTokenizer(jsonOf({}))
    const truncation = { maxLength: 4, strategy: 'longest_first', side: 'right' } as const
    assert.deepEqual(tokenizer.encode('a b '.repeat(50_000), undefined, truncation), {
      ids: [1, 2, 1, 2],
      typeIds: [0, 0, 0, 0],
      truncated: true,
    })
    assert.deepEqual(tokenizer.encode('a b a b', undefined, truncation).truncated, false)
  })
})

function split(regex: string): object {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated' }
}
