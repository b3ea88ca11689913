/** Token ids beside those of the Python package `tokenizers`, for tokenizers that it trains here. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { readTokenizer } from '../../src/tokenizer/tokenizer.ts'
import type { TruncationStrategy } from '../../src/tokenizer/tokenizer.ts'

interface Told {
  readonly texts: readonly string[]
  readonly ids: readonly (readonly number[])[]
  readonly pairs: readonly { text: string; pair: string; ids: number[]; types: number[] }[]
  readonly cut: readonly {
    readonly text: string
    readonly pair: string | null
    readonly length: number
    readonly strategy: TruncationStrategy
    readonly side: 'left' | 'right'
    /** null: it was refused. */
    readonly ids: readonly number[] | null
  }[]
}

const seed = Number(process.env['SLIPWAY_SEED'] ?? Math.floor(Math.random() * 1e6))

describe(`token ids equal those of Python (SLIPWAY_SEED=${seed})`, () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'slipway-tokenizers-'))
    const script = join(import.meta.dirname, 'reference.py')
    await promisify(execFile)(await pythonEnv('text'), [script, folder, String(seed)])
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const told = async (name: string): Promise<Told> => JSON.parse(await readFile(join(folder, `${name}.ids.json`), 'utf8')) as Told
  const tokenizerOf = async (name: string): Promise<ReturnType<typeof readTokenizer>> =>
    readTokenizer(await readFile(join(folder, `${name}.json`), 'utf8'))

  for (const name of [
    'bert-uncased',
    'bert-cased',
    'bert-accents',
    'gpt2',
    'roberta',
    'unigram-xlmr',
    'unigram-deberta',
    'unigram-nfkc',
    'unigram-plain',
    'clip',
    'llama',
    'gpt4',
    'words',
    'words-digits',
    'unknown-bpe',
  ])
    it(`${name}: single texts, pairs, and texts that are cut`, async () => {
      const tokenizer = await tokenizerOf(name)
      const { texts, ids, pairs, cut } = await told(name)
      assert.ok(texts.length > 450 && pairs.length > 50 && cut.length > 200)
      for (const [index, text] of texts.entries())
        assert.deepEqual(tokenizer.encode(text).ids, ids[index], JSON.stringify(text.slice(0, 500)))
      for (const { text, pair, ids: wanted, types } of pairs)
        assert.deepEqual(tokenizer.encode(text, pair), { ids: wanted, typeIds: types, truncated: false }, JSON.stringify([text, pair]))
      for (const one of cut) {
        const { text, pair, length: maxLength, strategy, side } = one
        const encode = (): readonly number[] => tokenizer.encode(text, pair ?? undefined, { maxLength, strategy, side }).ids
        if (one.ids === null) assert.throws(encode, { code: 'SLW_INPUT_INVALID' }, JSON.stringify(one))
        else assert.deepEqual(encode(), one.ids, JSON.stringify(one))
      }
    })

  it('every tokenizer that was trained is compared', async () => {
    const made = (await readdir(folder)).filter((name) => name.endsWith('.ids.json'))
    assert.equal(made.length, 15)
  })
})
