/** The client for TypeScript does what clients/behaviour.json says. */
import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pauseMs, retryAfterOf } from '../../src/client/backoff.ts'
import { createBreaker } from '../../src/client/breaker.ts'
import { createBudget } from '../../src/client/budget.ts'
import { ARRAYS } from '../../src/client/datatypes.ts'
import { connect, fromBf16, fromFp16, SlipwayClientError, toBf16, toFp16 } from '../../src/client/index.ts'
import { parseExact, writeExact } from '../../src/client/json.ts'
import { bytesOf, tensorOf } from '../../src/client/tensors.ts'
import { freePort, ROOT, until } from '../fixtures.ts'
import { scriptedServer } from './scripted-server.ts'
import type { Permit } from '../../src/client/breaker.ts'
import type { Client, ClientOptions, Datatype, Predicted, Tensor } from '../../src/client/index.ts'
import type { BreakerRules, BudgetRules, RetryRules } from '../../src/client/options.ts'
import type { ScriptedServer, Step } from './scripted-server.ts'

interface Row {
  readonly x: number
}
interface Answer {
  readonly prediction: unknown
}

interface Expected {
  readonly answer?: string
  readonly answers?: readonly string[]
  readonly fallback?: string
  readonly fallbacks?: readonly string[]
  readonly code?: string
  readonly status?: number | null
  readonly retryable?: boolean
  readonly requestId?: string
  readonly message?: string
  readonly issues?: readonly string[]
  readonly attempts?: number
  readonly hedged?: boolean
  readonly breaker?: string
  readonly atLeastMs?: number
  readonly atMostMs?: number
  readonly provenance?: Readonly<Record<string, string>>
}

interface Call {
  readonly waitMs?: number
  readonly deadlineMs?: number
  readonly many?: number
  readonly fallback?: string
  readonly expect: Expected
}

interface Case {
  readonly name: string
  readonly options?: ClientOptions
  readonly server?: readonly Step[]
  readonly refuses?: boolean
  readonly calls: readonly Call[]
  readonly requests: number
  readonly givenUp?: number
  readonly oneRequestId?: boolean
  readonly timeoutsFallFromMs?: number
}

interface BreakerStep {
  readonly atMs?: number
  readonly ask?: number
  readonly refused?: number
  readonly succeed?: number
  readonly fail?: number
  readonly release?: number
  readonly state?: string
}

interface Behaviour {
  readonly backoff: readonly (Omit<RetryRules, 'attempts'> & {
    readonly attempt: number
    readonly random: number
    readonly retryAfterMs?: number
    readonly pauseMs: number
  })[]
  readonly retryAfter: readonly { readonly header: string | null; readonly epochMs?: number; readonly retryAfterMs: number | null }[]
  readonly budget: readonly {
    readonly name: string
    readonly rules: BudgetRules
    readonly steps: readonly { readonly atMs?: number; readonly earn?: number; readonly take?: boolean }[]
  }[]
  readonly breaker: readonly { readonly name: string; readonly rules: BreakerRules; readonly steps: readonly BreakerStep[] }[]
  readonly tensors: readonly {
    readonly datatype: Datatype
    readonly shape: readonly number[]
    readonly values: readonly (number | string)[]
    readonly hex: string
  }[]
  readonly halves: readonly { readonly value: number; readonly fp16: number; readonly bf16: number }[]
  readonly calls: readonly Case[]
}

const behaviour = JSON.parse(await readFile(join(ROOT, 'clients/behaviour.json'), 'utf8')) as Behaviour

describe('pauses', () => {
  for (const { attempt, random, retryAfterMs, pauseMs: expected, ...rules } of behaviour.backoff)
    it(`after request ${attempt} chance ${random} waits ${expected} ms`, () =>
      assert.equal(pauseMs(attempt, random, { attempts: 3, ...rules }, retryAfterMs), expected))
  for (const { header, epochMs = 0, retryAfterMs } of behaviour.retryAfter)
    it(`Retry-After "${header}" is ${retryAfterMs} ms`, () => assert.equal(retryAfterOf(header, epochMs) ?? null, retryAfterMs))
})

describe('the budget of repeats', () => {
  for (const { name, rules, steps } of behaviour.budget)
    it(name, () => {
      const budget = createBudget(rules, 0)
      let nowMs = 0
      for (const [index, { atMs = nowMs, earn = 0, take }] of steps.entries()) {
        nowMs = atMs
        for (let count = 0; count < earn; count++) budget.earn(nowMs)
        if (take !== undefined) assert.equal(budget.take(nowMs), take, `step ${index}`)
      }
    })
})

describe('the breaker', () => {
  for (const { name, rules, steps } of behaviour.breaker)
    it(name, () => {
      const breaker = createBreaker(rules)
      const sent: Permit[] = []
      let nowMs = 0
      for (const [index, { atMs = nowMs, ask = 0, refused = 0, succeed = 0, fail = 0, release = 0, state }] of steps.entries()) {
        nowMs = atMs
        for (let count = 0; count < ask; count++) {
          const permit = breaker.permit(nowMs)
          assert.ok(permit, `step ${index}`)
          sent.push(permit)
        }
        for (let count = 0; count < refused; count++) assert.equal(breaker.permit(nowMs), undefined, `step ${index}`)
        for (let count = 0; count < succeed; count++) sent.shift()!.succeeded(nowMs)
        for (let count = 0; count < fail; count++) sent.shift()!.failed(nowMs)
        for (let count = 0; count < release; count++) sent.shift()!.released()
        if (state !== undefined) assert.equal(breaker.state(nowMs), state, `step ${index}`)
      }
    })
})

describe('tensors in binary', () => {
  for (const { datatype, shape, values, hex } of behaviour.tensors)
    it(`${datatype} [${shape.join(', ')}]`, () => {
      const array = ARRAYS[datatype]
      const data =
        array === undefined
          ? values
          : (array as unknown as { from(values: readonly unknown[]): unknown }).from(
              values.map((value) => (typeof value === 'string' ? BigInt(value) : value)),
            )
      const tensor = { name: 'x', datatype, shape, data } as Tensor
      const bytes = bytesOf(tensor)
      assert.equal(Buffer.from(bytes).toString('hex'), hex)
      assert.deepEqual(tensorOf({ name: 'x', datatype, shape }, bytes), tensor)
      const shifted = new Uint8Array([9, ...bytes]).subarray(1)
      assert.deepEqual(tensorOf({ name: 'x', datatype, shape }, shifted), tensor, 'also where it does not lie well')
    })

  it('halves of floats are rounded to nearest, ties to even', () => {
    for (const { value, fp16, bf16 } of behaviour.halves) {
      assert.deepEqual([...toFp16([value, -value])], [fp16, fp16 ^ 0x8000], `FP16 of ${value}`)
      assert.deepEqual([...toBf16([value])], [bf16], `BF16 of ${value}`)
    }
    for (let bits = 0; bits < 65_536; bits++) {
      const half = Uint16Array.of(bits)
      const [number] = fromFp16(half)
      if (!Number.isNaN(number)) assert.deepEqual(toFp16([number!]), half)
      const [brain] = fromBf16(half)
      if (!Number.isNaN(brain)) assert.deepEqual(toBf16([brain!]), half)
    }
    assert.deepEqual([...fromFp16(toFp16([Number.NaN])), ...fromBf16(toBf16([Number.NaN]))], [Number.NaN, Number.NaN])
  })
})

describe('JSON', () => {
  it('keeps numbers that JSON has no form for beside texts of any length', () => {
    const text = 'x'.repeat(20_000_000)
    assert.deepEqual(parseExact(`{"text": "${text}", "score": NaN, "id": 12345678901234567890, "quoted": "a \\" NaN"}`), {
      text,
      score: Number.NaN,
      id: 12345678901234567890n,
      quoted: 'a " NaN',
    })
  })

  it('has no text become values of the row', () => {
    assert.equal(writeExact(['\ud800n:1,999', 2n]), String.raw`["\ud800n:1,999",2]`)
  })
})

describe('calls', () => {
  let server: ScriptedServer
  let nowhere = ''
  before(async () => {
    server = await scriptedServer()
    nowhere = `http://127.0.0.1:${await freePort()}`
  })
  after(() => server[Symbol.asyncDispose]())

  for (const one of behaviour.calls)
    it(one.name, async () => {
      server.script(one.server ?? [])
      const { retry, ...options } = one.options ?? {}
      const quick = retry === false ? retry : { baseMs: 2, ...retry }
      const client = connect(one.refuses === true ? nowhere : server.url, { apiKey: 'k', random: () => 0.5, retry: quick, ...options })
      for (const [index, call] of one.calls.entries()) await checked(client, call, `call ${index}`)
      const { seen } = server
      assert.equal(seen.length, one.requests)
      assert.ok(seen.every(({ authorization }) => authorization === 'Bearer k'))
      if (one.oneRequestId === true) assert.equal(new Set(seen.map(({ requestId }) => requestId)).size, 1)
      if (one.givenUp !== undefined)
        await until(() => seen.filter(({ givenUp }) => givenUp).length === one.givenUp, 'what nobody waits for is given up')
      let last = one.timeoutsFallFromMs
      for (const { timeoutMs } of last === undefined ? [] : seen) {
        assert.ok(timeoutMs > 0 && timeoutMs <= last!, `${timeoutMs} after ${last}`)
        last = timeoutMs - 1
      }
    })
})

async function checked(client: Client, { waitMs = 0, deadlineMs, many, fallback, expect }: Call, where: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, waitMs))
  const model = client.model<Row, Answer>('churn', {
    fallback:
      fallback === 'function'
        ? (error, row) => ({ prediction: `${error.code} of ${row.x}` })
        : fallback === undefined
          ? undefined
          : { prediction: fallback },
  })
  const startedMs = performance.now()
  const rows = Array.from({ length: many ?? 0 }, (_, x) => ({ x }))
  const result: Predicted<Answer | Answer[]> | SlipwayClientError = await (
    many === undefined ? model.predict({ x: 5 }, { deadlineMs }) : model.predictMany(rows, { deadlineMs })
  ).catch((error: unknown) => {
    assert.ok(error instanceof SlipwayClientError, `${where}: ${String(error)}`)
    return error
  })
  const tookMs = performance.now() - startedMs
  const error = result instanceof SlipwayClientError ? result : result.reason
  const answer = result instanceof SlipwayClientError ? undefined : result.answer
  const texts = answer === undefined ? undefined : [answer].flat().map(({ prediction }) => String(prediction))
  const wanted = expect.answers ?? expect.fallbacks ?? [expect.answer ?? expect.fallback].filter((text) => text !== undefined)
  assert.deepEqual(texts ?? [], wanted, `${where}: ${String(error)}`)
  assert.equal(
    result instanceof SlipwayClientError ? false : result.fallback,
    expect.fallback !== undefined || expect.fallbacks !== undefined,
    where,
  )
  assert.equal(error?.code, expect.code, where)
  if (expect.status !== undefined) assert.equal(error?.status ?? null, expect.status, where)
  if (expect.retryable !== undefined) assert.equal(error?.retryable, expect.retryable, where)
  if (expect.requestId !== undefined) assert.equal(error?.requestId, expect.requestId, where)
  if (expect.message !== undefined) assert.ok(error?.message.includes(expect.message), `${where}: ${error?.message}`)
  if (expect.issues !== undefined)
    assert.deepEqual(
      error?.issues.map(({ path, message }) => `${path}: ${message}`),
      expect.issues,
    )
  if (expect.attempts !== undefined) assert.equal(result.attempts, expect.attempts, where)
  if (expect.hedged !== undefined) assert.equal(!(result instanceof SlipwayClientError) && result.hedged, expect.hedged, where)
  if (expect.breaker !== undefined) assert.equal(client.breakerOf('churn'), expect.breaker, where)
  if (expect.atLeastMs !== undefined) assert.ok(tookMs >= expect.atLeastMs, `${where}: ${tookMs} ms`)
  if (expect.atMostMs !== undefined) assert.ok(tookMs <= expect.atMostMs, `${where}: ${tookMs} ms`)
  for (const [name, value] of Object.entries(expect.provenance ?? {}))
    assert.equal((result as unknown as Record<string, unknown>)[name], value, `${where}: ${name}`)
}
