/** The client for TypeScript runs where there is nothing of Node, and in the oldest Node that it is for. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { createContext, Script } from 'node:vm'
import { promisify } from 'node:util'
import { rolldown } from 'rolldown'
import { ROOT } from '../fixtures.ts'
import { nodeFolder } from '../node-release.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { scriptedServer } from './scripted-server.ts'
import type { ScriptedServer } from './scripted-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const NODE_20 = '20.19.5'

/** What it uses of a browser. */
const WEB = {
  AbortController,
  AbortSignal,
  Headers,
  Response,
  TextDecoder,
  TextEncoder,
  clearTimeout,
  crypto,
  fetch,
  performance,
  setTimeout,
}

const PROGRAM = `
const model = slipway.connect(url, { retry: { baseMs: 1 } }).model('churn', { fallback: { prediction: 'unknown' } })
const one = await model.predict({ x: 1n })
const two = await model.predict({ x: Number.NaN })
const tensor = { name: 'x', datatype: 'FP16', shape: [1], data: slipway.toFp16([0.5]) }
const three = await model.infer({ inputs: [tensor] })
return JSON.stringify([one.answer.prediction, one.attempts, two.answer.prediction, two.fallback, two.reason.code, slipway.fromFp16(three.answer.x.data)[0]])
`

/** The last answer is that of tensors: half of 1 in FP16. */
function inferAnswer(): { readonly text: string; readonly headers: Record<string, string> } {
  const output = { name: 'x', datatype: 'FP16', shape: [1], parameters: { binary_data_size: 2 } }
  const head = JSON.stringify({ model_name: 'churn', model_version: '1', outputs: [output] })
  return { text: `${head}\0\x38`, headers: { 'inference-header-content-length': String(head.length) } }
}

describe('the client for TypeScript', () => {
  let server: ScriptedServer
  let folder: TemporaryFolder
  let bundle = ''
  before(async () => {
    server = await scriptedServer()
    folder = await temporaryFolder()
    const built = await rolldown({ input: join(ROOT, 'src/client/index.ts'), platform: 'browser' })
    bundle = join(folder.path, 'client.cjs')
    const { output } = await built.write({ file: bundle, format: 'iife', name: 'slipway' })
    assert.deepEqual(output[0].imports, [], 'it needs nothing beside it')
  })
  after(async () => {
    await server[Symbol.asyncDispose]()
    await folder[Symbol.asyncDispose]()
  })

  const script = (): void => server.script([{ status: 503 }, {}, { status: 500 }, inferAnswer()])
  const said = '["stays",2,"unknown",true,"SLW_INTERNAL",0.5]'

  it('runs with what browsers have', async () => {
    script()
    const context = createContext({ ...WEB, url: server.url })
    new Script(await readFile(bundle, 'utf8')).runInContext(context)
    assert.equal(await (new Script(`(async () => {${PROGRAM}})()`).runInContext(context) as Promise<string>), said)
  })

  it('runs in Node 20', { timeout: 300_000 }, async () => {
    script()
    const text = `${await readFile(bundle, 'utf8')}\nconst url = process.argv[2]\n;(async () => {${PROGRAM}})().then(console.log)\n`
    const file = await folder.write('program.cjs', text)
    const { stdout } = await promisify(execFile)(join(nodeFolder(NODE_20), 'node'), [file, server.url])
    assert.equal(stdout.trim(), said)
  })
})
