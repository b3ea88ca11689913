/**
 * Schemathesis reads /openapi.json and attacks every route in it with data that fits the schema and data that does not.
 * What it must never find: a 5xx, an answer that the description does not mention, a server that is worse for it.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { pythonEnv } from '../../scripts/python-env.ts'
import { startServer } from '../../src/server/start-server.ts'

const SEED = 8470
const MAX_EXAMPLES = 15
const TIMEOUT_MS = 60_000
/** A run takes some 700 requests; half of them gone would mean that routes have vanished from the description. */
const REQUESTS_MIN = 350
const GROWTH_MAX_BYTES = 200 * 1024 * 1024
/**
 * A schema says less than a model asks for: that all inputs have as many rows, that as many values come as the shape says,
 * which model /predict means. So its notion of what must be accepted, and of what must be refused, is not the server's.
 */
const NOT_CHECKED = 'positive_data_acceptance,negative_data_rejection'

interface Report {
  readonly complete: boolean
  readonly operations: { readonly total: number; readonly tested: number }
  readonly test_cases: { readonly generated: number; readonly errored: number }
  readonly failures: readonly unknown[]
  readonly errors: readonly unknown[]
}

let python: string
let folder: string

before(async () => {
  python = await pythonEnv('conformance')
  folder = await mkdtemp(join(tmpdir(), 'slipway-fuzz-'))
  const made = await run([join(import.meta.dirname, 'triton_client.py'), 'models', folder])
  assert.equal(made.code, 0, made.output)
})
after(() => rm(folder, { recursive: true }))

describe('the routes of /openapi.json', () => {
  it('answer generated requests as described, without a 5xx, and the server is as ready and as small as before', async (t) => {
    const models = ['arithmetic', 'echo_bytes'].map((name) => ({ path: join(folder, `${name}.onnx`) }))
    await using server = await startServer({ models, port: 0, serving: { instances: 1 } })
    const described = await fetch(`${server.url}/openapi.json`)
    assert.equal(described.status, 200)
    await described.arrayBuffer()
    const residentBefore = process.memoryUsage.rss()
    const reportPath = join(folder, 'report.json')
    const { code, output } = await run([
      '-m',
      'schemathesis.cli',
      'run',
      `${server.url}/openapi.json`,
      '--no-color',
      '--seed',
      String(SEED),
      '--max-examples',
      String(MAX_EXAMPLES),
      '--generation-database',
      'none',
      '--checks',
      'all',
      '--exclude-checks',
      NOT_CHECKED,
      '--continue-on-failure',
      '--request-timeout',
      '10',
      '--report',
      'json',
      '--report-json-path',
      reportPath,
    ])
    assert.equal(code, 0, output)
    const report = JSON.parse(await readFile(reportPath, 'utf8')) as Report
    const grownBytes = process.memoryUsage.rss() - residentBefore
    t.diagnostic(
      `${report.test_cases.generated} requests to ${report.operations.tested} operations; memory grew by ${Math.round(grownBytes / 1024 / 1024)} MB`,
    )
    assert.deepEqual([report.complete, report.failures, report.errors, report.test_cases.errored], [true, [], [], 0])
    assert.equal(report.operations.tested, report.operations.total)
    assert.ok(report.test_cases.generated >= REQUESTS_MIN, `${report.test_cases.generated} requests`)
    assert.ok(grownBytes < GROWTH_MAX_BYTES, `memory grew by ${grownBytes} bytes`)
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

/** Python in the temporary folder, as Schemathesis leaves a cache where it runs. */
async function run(args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(python, args, {
    cwd: folder,
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, output }))
  })
}
