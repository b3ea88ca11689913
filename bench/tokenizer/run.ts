/**
 * Tokens a second of our tokenizers beside the Python package `tokenizers`, on the same texts and files, in turns. It prints one table and
 * asserts nothing but that the ids are equal; docs/benchmarks.md says how to read it.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { readTokenizer } from '../../src/tokenizer/tokenizer.ts'
import { median } from '../table.ts'
import { temporaryFolder } from '../temporary.ts'

const USAGE = `sh scripts/node bench/tokenizer/run.ts [options]
  --rounds N   turns of each (default 3)
`

interface Theirs {
  readonly name: string
  readonly texts: readonly string[]
  readonly tokens: number
  /** Milliseconds that each turn took, one text at a time. */
  readonly ms: number
  readonly checksum: number
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '3' }, help: { type: 'boolean' } } })
if (values.help === true) process.stdout.write(USAGE)
else await measure(Number(values.rounds))

async function measure(rounds: number): Promise<void> {
  const python = await pythonEnv('text')
  const folder = temporaryFolder('slipway-tokenizers')
  const ratios = new Map<string, number[]>()
  const speeds = new Map<string, readonly [own: number, theirs: number]>()
  for (let round = 0; round < rounds; round++) {
    const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'theirs.py'), folder], {
      maxBuffer: 256 * 1024 * 1024,
      env: { ...process.env, TOKENIZERS_PARALLELISM: 'false' },
    })
    for (const theirs of JSON.parse(stdout) as Theirs[]) {
      const ms = await ours(join(folder, `${theirs.name}.json`), theirs)
      ratios.set(theirs.name, [...(ratios.get(theirs.name) ?? []), theirs.ms / ms])
      speeds.set(theirs.name, [theirs.tokens / ms, theirs.tokens / theirs.ms])
    }
  }
  const thousands = (speed: number): string => String(Math.round(speed)).padStart(6)
  for (const [name, all] of ratios) {
    const [own, other] = speeds.get(name)!
    process.stdout.write(
      `${name.padEnd(18)} ${thousands(own)} thousand tokens a second, tokenizers ${thousands(other)}, ratio ${median(all).toFixed(2)}\n`,
    )
  }
}

/** Milliseconds for all texts, warm, as theirs are. @throws where an id differs */
async function ours(path: string, { name, texts, checksum }: Theirs): Promise<number> {
  const tokenizer = readTokenizer(await readFile(path, 'utf8'))
  let ms = 0
  for (const counts of [false, true]) {
    let sum = 0
    const begun = performance.now()
    for (const text of texts) for (const id of tokenizer.encode(text).ids) sum = (sum * 31 + id) % 1_000_003
    if (counts) ms = performance.now() - begun
    if (sum !== checksum) throw new Error(`${name}: the ids are not those of Python`)
  }
  return ms
}
