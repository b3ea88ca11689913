import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { ResponseCache } from '../../src/serving/cache/response-cache.ts'
import { MemoryStore } from '../../src/serving/cache/store.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { answerTo, FakeRun } from './fake-run.ts'
import type { SlipwayError } from '../../src/core/errors.ts'
import type { CacheableRequest } from '../../src/serving/cache/response-cache.ts'
import type { CachedAnswer, CacheStore } from '../../src/serving/cache/store.ts'
import type { WorkResult } from '../../src/serving/scheduler/scheduler.ts'

export const NEVER = Number.POSITIVE_INFINITY

/** A store as one elsewhere would be: it answers in a later turn. */
export class LateStore implements CacheStore {
  readonly #store: CacheStore

  constructor(store: CacheStore) {
    this.#store = store
  }

  async get(digest: string, key: Buffer): Promise<CachedAnswer | undefined> {
    await turn()
    return this.#store.get(digest, key)
  }

  set(digest: string, key: Buffer, answer: CachedAnswer, bytes: number): void {
    this.#store.set(digest, key, answer, bytes)
  }

  get entries(): number {
    return this.#store.entries
  }

  get bytes(): number {
    return this.#store.bytes
  }

  get evictions(): number {
    return this.#store.evictions
  }
}

export interface Settings {
  readonly maxBytes?: number
  readonly ttlMs?: number
  readonly wrap?: (store: CacheStore) => CacheStore
  readonly digestOf?: (key: Buffer) => string
}

export function setUp({ maxBytes = 1_000_000, ttlMs = 1000, wrap = (store) => store, digestOf }: Settings = {}) {
  const clock = new ManualClock()
  const fake = new FakeRun(clock)
  const store = wrap(new MemoryStore({ maxBytes, ttlMs, clock }))
  return { clock, fake, store, cache: new ResponseCache(store, clock, fake.run, digestOf) }
}

export function request(values: readonly number[], more: Partial<CacheableRequest> = {}): CacheableRequest {
  return {
    inputs: [{ name: 'x', datatype: 'FP32', shape: [1, values.length], data: Float32Array.from(values) }],
    outputs: ['y'],
    deadlineMs: NEVER,
    ...more,
  }
}

export interface Outcome {
  settled: number
  error: SlipwayError | undefined
  result: WorkResult | undefined
  cancel: () => void
}

export function ask(cache: ResponseCache<CacheableRequest>, asked: CacheableRequest): Outcome {
  const outcome: Outcome = { settled: 0, error: undefined, result: undefined, cancel: () => {} }
  outcome.cancel = cache.submit(asked, (error, result) => {
    outcome.settled++
    outcome.error = error
    outcome.result = result
  })
  return outcome
}

export function assertAnswered(outcome: Outcome, asked: CacheableRequest, how?: WorkResult['cache']): void {
  assert.deepEqual([outcome.settled, outcome.error], [1, undefined])
  assert.deepEqual(outcome.result?.outputs, answerTo(asked))
  if (how !== undefined) assert.equal(outcome.result?.cache, how)
}

export function assertFailed(outcome: Outcome, code: string): void {
  assert.deepEqual([outcome.settled, outcome.error?.code, outcome.result], [1, code, undefined])
}

/** Long enough for a store that answers later, and for what follows from it. */
export async function turns(): Promise<void> {
  for (let left = 4; left > 0; left--) await turn()
}
