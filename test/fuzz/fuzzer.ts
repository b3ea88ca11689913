/**
 * A fuzzer that is led by coverage: inputs that reach new code, or old code more often, are kept and changed further. What a target may
 * throw is a SlipwayError; everything else is a find, and so is an input that takes long.
 */
import { Session } from 'node:inspector/promises'
import { isSlipwayError } from '../../src/core/errors.ts'
import { randomFrom } from '../soak/random.ts'
import type { Random } from '../soak/random.ts'

export interface Target {
  readonly seeds: readonly Uint8Array[]
  /** Words that are put into inputs. */
  readonly words: readonly (string | Uint8Array)[]
  run(input: Buffer): void | Promise<void>
}

export interface Find {
  readonly input: Buffer
  readonly error: unknown
}

export interface Fuzzed {
  readonly runs: number
  readonly corpus: number
  readonly covered: number
  readonly finds: readonly Find[]
}

const SLOW_MS = 2000
const INPUT_MAX = 16 * 1024
/** Inputs between two looks at the coverage, which takes a few milliseconds. */
const BATCH = 16
const FINDS_MAX = 5

/** @param ms how long */
export async function fuzz(target: Target, { ms, seed }: { readonly ms: number; readonly seed: number }): Promise<Fuzzed> {
  const random = randomFrom(seed)
  const corpus: Buffer[] = target.seeds.map((bytes) => Buffer.from(bytes))
  const finds: Find[] = []
  const until = performance.now() + ms
  let runs = 0
  await using coverage = await Coverage.start()
  const attempt = async (input: Buffer): Promise<void> => {
    runs++
    const began = performance.now()
    try {
      await target.run(Buffer.from(input))
    } catch (error) {
      if (!isSlipwayError(error) || error.code === 'SLW_INTERNAL') finds.push({ input, error })
    }
    const took = performance.now() - began
    if (took > SLOW_MS) finds.push({ input, error: new Error(`took ${took.toFixed(0)} ms`) })
  }
  for (const bytes of corpus) await attempt(bytes)
  await coverage.isNew()
  while (performance.now() < until && finds.length < FINDS_MAX) {
    const batch = Array.from({ length: BATCH }, () => mutated(random, corpus, target.words))
    for (const input of batch) await attempt(input)
    if (!(await coverage.isNew())) continue
    corpus.push(...batch)
    // Old inputs give way to new ones, so that the newest paths are followed further.
    if (corpus.length > 4096) corpus.splice(target.seeds.length, corpus.length - 4096)
  }
  return { runs, corpus: corpus.length, covered: coverage.size, finds }
}

/** Blocks of our sources that have run, and how often by powers of two. */
class Coverage implements AsyncDisposable {
  readonly #session = new Session()
  readonly #seen = new Set<string>()

  static async start(): Promise<Coverage> {
    const coverage = new Coverage()
    coverage.#session.connect()
    await coverage.#session.post('Profiler.enable')
    await coverage.#session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
    return coverage
  }

  get size(): number {
    return this.#seen.size
  }

  /** Whether something ran since the last call that had never run before. */
  async isNew(): Promise<boolean> {
    const { result } = await this.#session.post('Profiler.takePreciseCoverage')
    const before = this.#seen.size
    for (const { scriptId, url, functions } of result) {
      if (!url.includes('/src/')) continue
      for (const { ranges } of functions)
        for (const { startOffset, count } of ranges)
          if (count > 0) this.#seen.add(`${scriptId}:${startOffset}:${Math.floor(Math.log2(count))}`)
    }
    return this.#seen.size > before
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#session.post('Profiler.stopPreciseCoverage')
    this.#session.disconnect()
  }
}

function mutated(random: Random, corpus: readonly Buffer[], words: Target['words']): Buffer {
  // The newest inputs are the most likely to lead further.
  const recent = random.below(2) === 0 ? corpus.slice(-64) : corpus
  let bytes: Buffer = Buffer.from(random.pick(recent))
  for (let times = 1 + random.below(4); times > 0; times--) bytes = changed(bytes, random, corpus, words)
  return bytes.subarray(0, INPUT_MAX)
}

const NUMBERS = ['0', '-1', '1e999', '-0', '9007199254740993', '18446744073709551616', '1e-400', '0.1', '2147483648', 'NaN', 'null']

function changed(bytes: Buffer, random: Random, corpus: readonly Buffer[], words: Target['words']): Buffer {
  const at = random.below(bytes.length + 1)
  const to = Math.min(bytes.length, at + 1 + random.below(16))
  const splice = (insert: string | Uint8Array, until = at): Buffer =>
    Buffer.concat([bytes.subarray(0, at), Buffer.from(insert as string), bytes.subarray(until)])
  switch (random.below(9)) {
    case 0: {
      const copy = Buffer.from(bytes)
      if (copy.length > 0) copy[random.below(copy.length)]! ^= 1 << random.below(8)
      return copy
    }
    case 1: {
      const copy = Buffer.from(bytes)
      if (copy.length > 0) copy[random.below(copy.length)] = random.below(256)
      return copy
    }
    case 2:
      return splice('', to)
    case 3:
      return splice(bytes.subarray(at, to))
    case 4:
      return words.length === 0 ? bytes : splice(random.pick(words))
    case 5:
      return words.length === 0 ? bytes : splice(random.pick(words), to)
    case 6:
      return splice(random.pick(NUMBERS), to)
    case 7: {
      const other = random.pick(corpus)
      const from = random.below(other.length + 1)
      return splice(other.subarray(from, from + 1 + random.below(64)))
    }
    default:
      return splice(
        bytes
          .subarray(at, to)
          .toString('latin1')
          .repeat(1 + random.below(8)),
      )
  }
}
