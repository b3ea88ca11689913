/**
 * Schemathesis reads /openapi.json and attacks every route in it with data that fits the schema and data that does not.
 * What it must never find: a 5xx, an answer that the description does not mention, a server that is worse for it.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { startServer } from '../../src/server/start-server.ts'
import { liveMemory } from '../live-memory.ts'
import { slopeOf } from '../memory-slope.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { attack, python } from './schemathesis.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const MAX_EXAMPLES = 8
/** A run takes some 1100 requests; half of them gone would mean that routes have vanished from the description. */
const REQUESTS_MIN = 550
const READ_EVERY_MS = 500
/** Of live memory, from one reading to the next, in which there are some tens of requests. */
const SLOPE_MAX_MB = 0.3

let folder: TemporaryFolder

before(async () => {
  folder = await temporaryFolder()
  const made = await python(folder.path, [join(import.meta.dirname, 'triton_client.py'), 'models', folder.path])
  assert.equal(made.code, 0, made.output)
})
after(() => folder[Symbol.asyncDispose]())

describe('the routes of /openapi.json', () => {
  it('answer generated requests as described, without a 5xx, and the server is as ready and as small as before', async (t) => {
    const models = ['arithmetic', 'echo_bytes'].map((name) => ({ path: join(folder.path, `${name}.onnx`) }))
    await using server = await startServer({ models, port: 0, serving: { instances: 1 } })
    const described = await fetch(`${server.url}/openapi.json`)
    assert.equal(described.status, 200)
    await described.arrayBuffer()
    const live: number[] = []
    const reading = setInterval(() => live.push(liveMemory().live), READ_EVERY_MS)
    const { code, output, report } = await attack({ url: `${server.url}/openapi.json`, folder: folder.path, examples: MAX_EXAMPLES })
    clearInterval(reading)
    assert.equal(code, 0, output)
    const { median, atLeast } = slopeOf(live.slice(live.length >> 1))
    t.diagnostic(
      `${report.test_cases.generated} requests to ${report.operations.tested} operations; ${median.toFixed(2)} MB more from one reading to the next`,
    )
    assert.deepEqual([report.complete, report.failures, report.errors, report.test_cases.errored], [true, [], [], 0])
    assert.equal(report.operations.tested, report.operations.total)
    assert.ok(report.test_cases.generated >= REQUESTS_MIN, `${report.test_cases.generated} requests`)
    assert.ok(atLeast < SLOPE_MAX_MB, `${median} MB more from one reading to the next: ${live.map((mb) => mb.toFixed(1)).join(', ')}`)
    assert.ok(live.length >= 8, 'it was read often enough')
    assert.equal((await fetch(`${server.url}/v2/health/ready`)).status, 200)
    for (const slot of [...server.dataPlane.variants()].flatMap((variant) => variant.status().instances))
      assert.equal(slot.failures, 0, `${slot.name} ended`)
    const answer = await fetch(`${server.url}/v2/models/echo_bytes/infer`, {
      method: 'POST',
      body: '{"inputs":[{"name":"IN","datatype":"BYTES","shape":[1],"data":["still here"]}]}',
    })
    assert.deepEqual(((await answer.json()) as { outputs: { data: string[] }[] }).outputs[0]?.data, ['still here'])
  })
})
