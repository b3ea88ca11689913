/**
 * Triton's own client of gRPC, the general ones of health checks and reflection, and grpcurl, as they come from their registries. What the
 * first check stands in grpc_clients.py; each fact there is a test here.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { grpcurl } from '../../scripts/grpc-tools.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { silentLogger } from '../../src/core/log.ts'
import { startServer } from '../../src/server/start-server.ts'
import { told } from './told.ts'
import { DATATYPES } from '../../src/tensor/datatype.ts'
import { authority } from '../certificates.ts'
import { grpcClient } from '../grpc-client.ts'
import { ROOT, serveExamples, until } from '../fixtures.ts'
import { buildModel, node, value, weights } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const SCRIPT = join(import.meta.dirname, 'grpc_clients.py')
const CHECKS_TIMEOUT_MS = 120_000
const TOKEN = 'admin-token-0123456789'
const SIDE = 512
const LAYERS = 24

let python: string
let folder: TemporaryFolder

before(async () => {
  python = await pythonEnv('grpc')
  folder = await temporaryFolder()
  for (const datatype of Object.keys(DATATYPES) as (keyof typeof DATATYPES)[]) {
    const [input, output] = [value('IN', datatype, ['n']), value('OUT', datatype, ['n'])]
    const model = buildModel({ input: [input], output: [output], node: [node('Identity', ['IN'], ['OUT'])] })
    await folder.write(`models/echo_${datatype.toLowerCase()}/model.onnx`, model)
  }
  for (const datatype of ['FP32', 'BYTES'] as const) {
    const [input, output] = [value('IN', datatype, ['n', 'width']), value('OUT', datatype, ['n', 'width'])]
    await folder.write(
      `models/wide_${datatype.toLowerCase()}/model.onnx`,
      buildModel({ input: [input], output: [output], node: [node('Identity', ['IN'], ['OUT'])] }),
    )
  }
  const pair = (...names: readonly string[]) => names.map((name) => value(name, 'FP32', ['n', 4]))
  const arithmetic = buildModel({
    input: pair('A', 'B'),
    output: pair('SUM', 'DIFFERENCE'),
    node: [node('Add', ['A', 'B'], ['SUM']), node('Sub', ['A', 'B'], ['DIFFERENCE'])],
  })
  await folder.write('models/arithmetic/model.onnx', arithmetic)
  const names = ['X', ...Array.from({ length: LAYERS - 1 }, (_, index) => `layer_${index}`), 'Y']
  const slow = buildModel({
    input: [value('X', 'FP32', [SIDE, SIDE])],
    output: [value('Y', 'FP32', [SIDE, SIDE])],
    node: names.slice(1).map((name, index) => node('MatMul', [names[index]!, 'weight'], [name])),
    initializer: [weights('weight', 'FP32', [SIDE, SIDE], new Float32Array(SIDE * SIDE).fill(1 / SIDE))],
  })
  await folder.write('models/slow/model.onnx', slow)
})
after(() => folder[Symbol.asyncDispose]())

describe('clients of gRPC, unmodified', () => {
  it('find the server to be as Triton is', async (t) => {
    await using server = await startServer({
      models: [{ path: join(folder.path, 'models') }],
      port: 0,
      serving: { instances: 1 },
      logger: { ...silentLogger, level: 'info' },
      environment: { SLIPWAY_ADMIN_TOKEN: TOKEN },
    })
    await told(t, await run('check', server.grpc!, TOKEN), 23)
    await t.test('grpcurl, a client of Go, lists the services and asks by reflection alone', async () => {
      const curl = await grpcurl()
      const ask = async (...args: readonly string[]): Promise<string> =>
        (await promisify(execFile)(curl, ['-plaintext', ...args], { timeout: CHECKS_TIMEOUT_MS })).stdout
      assert.match(await ask(server.grpc!, 'list'), /grpc\.health\.v1\.Health\n[^]*inference\.GRPCInferenceService\n/)
      assert.match(await ask(server.grpc!, 'describe', 'inference.ModelConfig'), /oneof scheduling_choice/)
      const request = {
        model_name: 'echo_int64',
        inputs: [{ name: 'IN', datatype: 'INT64', shape: [2], contents: { int64_contents: ['9007199254740993', '-1'] } }],
        parameters: { binary_data_output: { bool_param: false } },
      }
      const answer = await ask('-d', JSON.stringify(request), server.grpc!, 'inference.GRPCInferenceService/ModelInfer')
      const { outputs } = JSON.parse(answer) as { outputs: { contents: unknown }[] }
      assert.deepEqual(outputs[0]!.contents, { int64_contents: ['9007199254740993', '-1'] })
      const models = await ask(server.grpc!, 'inference.GRPCInferenceService/RepositoryIndex')
      assert.equal((JSON.parse(models) as { models: unknown[] }).models.length, Object.keys(DATATYPES).length + 4)
    })
  })

  it('are asked as the guide shows', async () => {
    await using server = await serveExamples(['churn'], { serving: { instances: 1 } })
    const page = await readFile(join(ROOT, 'docs/guides/serving.md'), 'utf8')
    const [, program = ''] = /^```python\n([\s\S]*?)^```/m.exec(page) ?? []
    assert.match(program, /tritonclient\.grpc/)
    const { stdout } = await promisify(execFile)(python, ['-c', program.replace('127.0.0.1:9471', server.grpc!)], {
      timeout: CHECKS_TIMEOUT_MS,
    })
    assert.match(stdout, /^\[\[0\.05\d+ +0\.94\d+ *\]\]/)
  })

  it('come in over TLS with a certificate, and see one that was renewed', async (t) => {
    const signer = await authority(folder.path)
    const [first, second, own] = [await signer.issue('first'), await signer.issue('second'), await signer.issue('client')]
    const live = { cert: join(folder.path, 'live.pem'), key: join(folder.path, 'live.key') }
    const install = async (pair: typeof first): Promise<void> => {
      await writeFile(live.key, await readFile(pair.key), { mode: 0o600 })
      await writeFile(live.cert, await readFile(pair.cert))
    }
    await install(first)
    await using server = await startServer({
      models: [{ path: join(folder.path, 'models/echo_fp32') }],
      port: 0,
      serving: { instances: 1 },
      tls: { ...live, clientCa: signer.cert },
      environment: {},
    })
    await told(t, await run('tls', server.grpc!.replace('127.0.0.1', 'localhost'), signer.cert, own.cert, own.key), 2)
    const shown = async (): Promise<string> => {
      const tls = { ca: await readFile(signer.cert), cert: await readFile(own.cert), key: await readFile(own.key) }
      await using client = grpcClient(server.grpc!, { tls })
      assert.equal((await client.call('ServerLive')).status, 0)
      return (client.session.socket as unknown as { getPeerCertificate(): { subject: { CN: string } } }).getPeerCertificate().subject.CN
    }
    assert.equal(await shown(), 'first')
    await install(second)
    await server.reload()
    await until(async () => (await shown()) === 'second', 'the new certificate is shown')
  })
})

async function run(...args: readonly string[]): Promise<string> {
  const { stdout } = await promisify(execFile)(python, [SCRIPT, ...args], { timeout: CHECKS_TIMEOUT_MS })
  return stdout
}
