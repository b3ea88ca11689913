import assert from 'node:assert/strict'
import { rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { added, health } from './served.ts'
import { startServer } from '../../src/server/start-server.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const SMALL = { instances: 1, inlineMaxUs: 0 } as const

function serve(folder: TemporaryFolder, options: StartServerOptions = {}): Promise<SlipwayServer> {
  return startServer({ models: [{ path: join(folder.path, 'm') }], port: 0, serving: SMALL, ...options })
}

/** Asks on several connections, without a pause, until stopped; every answer is kept. */
function traffic(server: SlipwayServer): { stop(): Promise<(number | string)[]> } {
  const stopped = new AbortController()
  const answers: (number | string)[] = []
  const clients = Array.from({ length: 8 }, async () => {
    while (!stopped.signal.aborted) answers.push(await added(server, 'm'))
  })
  return {
    async stop() {
      stopped.abort()
      await Promise.all(clients)
      return answers
    },
  }
}

describe('polling a folder of versions', () => {
  it('a new version is served once it has been still for two looks, and no request fails or is answered by neither version', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder)
    const load = traffic(server)
    await until(async () => (await added(server, 'm')) === 1, 'version 1 answers')
    await folder.write('m/2/model.onnx', addingModel(2))
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 1, 'one look is not enough')
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 2)
    const answers = await load.stop()
    assert.deepEqual(new Set(answers), new Set([1, 2]))
  })

  it('a file that is still being written is not loaded', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder)
    const whole = addingModel(2)
    const part = await folder.write('m/2/model.onnx', whole.subarray(0, 100))
    await server.repository.rescan()
    await writeFile(part, whole.subarray(0, 200))
    await server.repository.rescan()
    await writeFile(part, whole)
    await server.repository.rescan()
    assert.equal((await health(server)).models[0]?.failures?.length, 0, 'nothing was tried')
    assert.equal(await added(server, 'm'), 1)
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 2)
  })

  it('the timer does what two looks do', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder, { pollMs: 50 })
    await folder.write('m/2/model.onnx', addingModel(2))
    await until(async () => (await added(server, 'm')) === 2, 'version 2 answers')
  })

  it('a version that cannot be loaded leaves the old one serving, is told in health and metrics, and is tried again when its files change', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder)
    await folder.write('m/2/model.onnx', 'garbage')
    const load = traffic(server)
    await server.repository.rescan()
    await server.repository.rescan()
    await server.repository.rescan()
    assert.deepEqual(new Set(await load.stop()), new Set([1]))
    const { status, models } = await health(server)
    assert.equal(status, 'ok')
    assert.equal(models[0]?.version, '1')
    assert.match(models[0]?.failures?.[0]?.message ?? '', /not an ONNX model/)
    const metrics = await (await fetch(`${server.url}/metrics`)).text()
    assert.match(metrics, /slipway_model_loads_total\{endpoint="m",result="model_invalid"\} 1\n/)
    assert.match(metrics, /slipway_model_loads_total\{endpoint="m",result="ok"\} 1\n/)
    await folder.write('m/2/model.onnx', addingModel(2))
    await server.repository.rescan()
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 2)
    assert.equal((await health(server)).models[0]?.failures?.length, 0)
  })

  it('what could not be loaded leaves health when nobody wants it any more: it is taken away, or a later version serves', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder)
    const failed = async (): Promise<string[]> => ((await health(server)).models[0]?.failures ?? []).map(({ version }) => version)
    const look = async (): Promise<void> => {
      await server.repository.rescan()
      await server.repository.rescan()
    }
    await folder.write('m/2/model.onnx', 'garbage')
    await look()
    assert.deepEqual(await failed(), ['2'])
    await look()
    assert.deepEqual(await failed(), ['2'], 'it is wanted, and not there')
    await rm(join(folder.path, 'm/2'), { recursive: true })
    await look()
    assert.deepEqual(await failed(), [])
    await folder.write('m/3/model.onnx', 'garbage')
    await look()
    assert.deepEqual(await failed(), ['3'])
    await folder.write('m/4/model.onnx', addingModel(4))
    await look()
    assert.equal(await added(server, 'm'), 4)
    assert.deepEqual(await failed(), [])
  })

  it('a version that is removed gives its place to the highest that is left; an emptied folder changes nothing', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await folder.write('m/2/model.onnx', addingModel(2))
    await using server = await serve(folder)
    assert.equal(await added(server, 'm'), 2)
    await rename(join(folder.path, 'm/2'), join(folder.path, 'away'))
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 2, 'gone once is not gone')
    await rename(join(folder.path, 'away'), join(folder.path, 'm/2'))
    await server.repository.rescan()
    await rm(join(folder.path, 'm/2'), { recursive: true })
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 2)
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 1)
    await rm(join(folder.path, 'm/1'), { recursive: true })
    await server.repository.rescan()
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 1)
    await rename(join(folder.path, 'm'), join(folder.path, 'gone'))
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 1)
  })

  it('a model folder that appears in a repository is served, and one that goes is not', async () => {
    await using folder = await temporaryFolder()
    await folder.write('all/a/model.onnx', addingModel(1))
    await using server = await startServer({ models: [{ path: join(folder.path, 'all') }], port: 0, serving: SMALL })
    await folder.write('all/b/model.onnx', addingModel(5))
    await server.repository.rescan()
    await server.repository.rescan()
    assert.equal(await added(server, 'b'), 5)
    await rm(join(folder.path, 'all/a'), { recursive: true })
    await server.repository.rescan()
    assert.equal(await added(server, 'a'), 1, 'gone once is not gone')
    await server.repository.rescan()
    assert.match(String(await added(server, 'a')), /^404/)
  })

  it('watch: an edited slipway.yaml is served within a moment', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/model.onnx', addingModel(1))
    const yaml = (first: number): string => `examples:\n  - { x: [${first}, 2, 3, 4] }\n`
    await folder.write('m/slipway.yaml', yaml(1))
    await using server = await serve(folder, { watch: true })
    const example = async (): Promise<string> => (await fetch(`${server.url}/models/m/example`)).text()
    assert.match(await example(), /\[1,2,3,4\]/)
    await folder.write('m/slipway.yaml', yaml(77))
    await until(async () => /\[77,2,3,4\]/.test(await example()), 'the example is the new one')
  })

  it('a bare file that is replaced in place is loaded anew', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('m.onnx', addingModel(1))
    await using server = await startServer({ models: [{ path: file }], port: 0, serving: SMALL })
    await writeFile(`${file}.tmp`, addingModel(7))
    await rename(`${file}.tmp`, file)
    await server.repository.rescan()
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 7)
  })

  it('with versions: all every version answers by its number, and the newest that can be loaded gets the traffic', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, { versions: 'all' })
    await folder.write('m/3/model.onnx', 'garbage')
    await folder.write('m/4/model.onnx', addingModel(4))
    await server.repository.rescan()
    await server.repository.rescan()
    assert.equal(await added(server, 'm'), 4)
    assert.equal(await added(server, 'm', '1'), 1)
    assert.match(String(await added(server, 'm', '3')), /^404/)
  })

  it('at start, a broken newest version gives its place to the one before it', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await folder.write('m/2/model.onnx', 'garbage')
    await using server = await serve(folder)
    assert.equal(await added(server, 'm'), 1)
    assert.match((await health(server)).models[0]?.failures?.[0]?.message ?? '', /not an ONNX model/)
  })

  it('a list of versions is served as it is named', async () => {
    await using folder = await temporaryFolder()
    for (const version of [1, 2, 3]) await folder.write(`m/${version}/model.onnx`, addingModel(version))
    await using server = await serve(folder, { versions: '1,2' })
    assert.equal(await added(server, 'm'), 2)
    assert.equal(await added(server, 'm', '1'), 1)
    assert.match(String(await added(server, 'm', '3')), /^404/)
    await assert.rejects(serve(folder, { versions: '9' }), /model "m" has no version 9; found 1, 2, 3/)
  })
})

describe('a request whose body is still coming when the version changes', () => {
  it('is answered by the new version', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await using server = await serve(folder)
    const { promise: half, resolve: send } = Promise.withResolvers<void>()
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode(QUESTION.slice(0, 20)))
        await half
        controller.enqueue(new TextEncoder().encode(QUESTION.slice(20)))
        controller.close()
      },
    })
    const answer = fetch(`${server.url}/v2/models/m/infer`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    const { scheduler } = server.dataPlane.endpoint('m').requireMain().requireReady()
    await until(() => scheduler.reserved === 1, 'it holds a place in the queue of version 1')
    await folder.write('m/2/model.onnx', addingModel(2))
    await server.repository.rescan(true)
    send()
    const { outputs } = (await (await answer).json()) as { outputs: { data: number[] }[] }
    assert.equal(outputs[0]?.data[0], 3)
  })
})
