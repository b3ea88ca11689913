import assert from 'node:assert/strict'
import { link, mkdir, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { post, until } from '../fixtures.ts'
import { serveInChild } from '../child-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startServer } from '../../src/server/start-server.ts'
import { added, health, ids, loads, residents, sample } from './served.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { Served } from './served.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const SMALL = { instances: 1, inlineMaxUs: 0 } as const
const NAMES = ids(10)

function serve(path: string, memoryBudgetMb: number, more: StartServerOptions = {}): Promise<SlipwayServer> {
  return startServer({ models: [{ path }], port: 0, serving: SMALL, memoryBudgetMb, ...more })
}

/** Numbers that look thrown and are the same in every run. */
function* dice(sides: number): Generator<number, never> {
  for (let state = 7; ; state = (state * 1_103_515_245 + 12_345) % 2 ** 31) yield Math.floor((state / 2 ** 31) * sides)
}

async function unloaded(server: SlipwayServer): Promise<string> {
  const name = (await health(server)).models.find((model) => model.phase === 'unloaded')?.name
  assert.ok(name !== undefined, 'a model is not in memory')
  return name
}

describe('ten models of twenty megabytes, and a budget for about three', () => {
  let folder: TemporaryFolder
  let server: SlipwayServer
  before(async () => {
    folder = await temporaryFolder()
    for (const [number, name] of NAMES.entries()) await folder.write(`all/${name}/model.onnx`, addingModel(number, 20))
    server = await serve(join(folder.path, 'all'), 200)
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  it('all answer rightly in any order, the longest unused gives way, and every one counts as ready', async () => {
    const inMemory = await residents(server)
    assert.ok(inMemory.length >= 1 && inMemory.length < 10, `in memory: ${inMemory.join(' ')}`)
    // At start they are loaded one after the other.
    const byUse = [...inMemory]
    const throwing = dice(10)
    for (let asked = 0; asked < 14; asked++) {
      const number = throwing.next().value
      const name = NAMES[number]!
      assert.equal(await added(server, name), number)
      if (byUse.includes(name)) byUse.splice(byUse.indexOf(name), 1)
      byUse.push(name)
      const now = await residents(server)
      assert.deepEqual(now.toSorted(), byUse.slice(-now.length).toSorted(), 'those in memory are the last that were asked')
      assert.ok((await sample(server, 'slipway_memory_used_bytes')) <= (await sample(server, 'slipway_memory_budget_bytes')))
    }
    assert.ok((await sample(server, 'slipway_model_unloads_total', /reason="evicted"/)) > 0)
    assert.equal((await fetch(`${server.url}/ready`)).status, 200)
    const { models, status } = await health(server)
    assert.deepEqual([status, models.length, new Set(models.map(({ phase }) => phase))], ['ok', 10, new Set(['ready', 'unloaded'])])
    for (const name of NAMES) {
      const ready = await fetch(`${server.url}/v2/models/${name}/ready`)
      assert.deepEqual([ready.status, ((await ready.json()) as { ready: boolean }).ready], [200, true])
    }
  })

  it('all asked at once are answered, each with its own answer', async () => {
    const asked = [...NAMES.keys(), ...NAMES.keys()]
    assert.deepEqual(await Promise.all(asked.map((number) => added(server, NAMES[number]!))), asked)
    assert.ok((await sample(server, 'slipway_memory_used_bytes')) <= (await sample(server, 'slipway_memory_budget_bytes')))
  })

  it('those who ask at once for one that is not in memory wait for one load', async () => {
    const name = await unloaded(server)
    const before = await loads(server, name, 'ok')
    const answers = await Promise.all(Array.from({ length: 20 }, () => added(server, name)))
    assert.deepEqual(new Set(answers), new Set([NAMES.indexOf(name)]))
    assert.equal((await loads(server, name, 'ok')) - before, 1)
  })

  it('a request whose time is over while its model is loaded gets 504, and the load goes on for the next', async () => {
    const name = await unloaded(server)
    const before = await loads(server, name, 'ok')
    const { body, headers, status } = await post(`${server.url}/v2/models/${name}/infer`, QUESTION, { 'slipway-timeout-ms': '1' })
    assert.equal(status, 504)
    assert.match(String(body['error']), /was not loaded in time for this request; the load goes on/)
    assert.ok(Number(headers.get('retry-after')) >= 1)
    await until(async () => (await residents(server)).includes(name), 'it is loaded all the same')
    assert.equal(await added(server, name), NAMES.indexOf(name))
    assert.equal((await loads(server, name, 'ok')) - before, 1)
  })

  it('a file that turns out to be broken is told as such, and is tried again only after a while', async () => {
    await using own = await temporaryFolder()
    for (const name of NAMES) {
      await mkdir(join(own.path, 'all', name), { recursive: true })
      await link(join(folder.path, 'all', name, 'model.onnx'), join(own.path, 'all', name, 'model.onnx'))
    }
    await using other = await serve(join(own.path, 'all'), 200)
    const name = await unloaded(other)
    const neighbour = name === 'm0' ? 'm1' : 'm0'
    const file = join(own.path, 'all', name, 'model.onnx')
    const replace = async (content: string | Uint8Array): Promise<void> => {
      await writeFile(`${file}.new`, content)
      await rename(`${file}.new`, file)
    }
    await replace('garbage')
    const first = await post(`${other.url}/models/${name}/predict`, QUESTION)
    assert.equal(first.body['code'], 'SLW_MODEL_INVALID', JSON.stringify(first.body))
    assert.match(String(first.body['error']), new RegExp(`model "${name}" version 1: .*not an ONNX model`))
    await replace(addingModel(NAMES.indexOf(name), 1))
    const second = await post(`${other.url}/models/${name}/predict`, QUESTION)
    assert.deepEqual([second.status, second.body['code']], [503, 'SLW_MODEL_NOT_READY'])
    assert.match(String(second.body['error']), /not an ONNX model/)
    assert.equal(await loads(other, name, 'model_invalid'), 1, 'it was not tried again at once')
    assert.equal((await fetch(`${other.url}/v2/models/${name}/ready`)).status, 503)
    assert.equal(await added(other, neighbour), NAMES.indexOf(neighbour), 'nobody else minds')
    await until(async () => (await added(other, name)) === NAMES.indexOf(name), 'it is tried again')
  })
})

describe('the memory of models that gave way', () => {
  it('goes back to the system: a server that has had all of them takes far less than one that has them', async () => {
    await using folder = await temporaryFolder()
    const names = ids(6)
    for (const [number, name] of names.entries()) await folder.write(`all/${name}/model.onnx`, addingModel(number, 20))
    const resident = (server: Served): Promise<number> => sample(server, 'process_resident_memory_bytes')
    const flags = [join(folder.path, 'all'), '--instances', '1', '--inline-max-us', '0']
    let whole: number
    {
      await using server = await serveInChild(flags)
      assert.equal((await residents(server)).length, 6)
      whole = await resident(server)
    }
    await using server = await serveInChild([...flags, '--memory-budget-mb', '110'])
    for (let round = 0; round < 2; round++) for (const [number, name] of names.entries()) assert.equal(await added(server, name), number)
    const after = await resident(server)
    assert.ok(after < whole * 0.85, `${after} bytes, with all six in memory ${whole}`)
  })
})

/** Memory of a process is known for certain: this is enough for one instance with a small model, and not for two. */
const ONE_PROCESS_MB = 140

describe('a budget for one instance in a process of its own', () => {
  const serveThree = async (folder: TemporaryFolder): Promise<SlipwayServer> => {
    for (const [number, name] of ids(3).entries()) await folder.write(`all/${name}/model.onnx`, addingModel(number))
    return serve(join(folder.path, 'all'), ONE_PROCESS_MB, { serving: { ...SMALL, isolation: 'process' } })
  }

  it('models that are asked for at once take turns, and nobody is sent away', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveThree(folder)
    assert.equal((await residents(server)).length, 1)
    const asked = [0, 1, 2, 1, 0, 2, 2, 1, 0]
    assert.deepEqual(await Promise.all(asked.map((number) => added(server, ids(3)[number]!))), asked)
    assert.equal((await residents(server)).length, 1)
  })

  it('a run that goes on when its model gives way is answered, and so is one whose body is still coming', async () => {
    await using folder = await temporaryFolder()
    const trigger = join(folder.path, 'slow')
    // Instances read it when they start: the first run after the file is there takes more than a second.
    process.env['SLIPWAY_FAIL_POINTS'] = `run:slow@${trigger}`
    await using server = await serveThree(folder).finally(() => delete process.env['SLIPWAY_FAIL_POINTS'])
    assert.equal(await added(server, 'm0'), 0)
    const { scheduler } = server.dataPlane.endpoint('m0').requireMain().requireReady()
    const { promise: rest, resolve: sendRest } = Promise.withResolvers<void>()
    const body = new ReadableStream({
      async start(controller) {
        controller.enqueue(new TextEncoder().encode(QUESTION.slice(0, 20)))
        await rest
        controller.enqueue(new TextEncoder().encode(QUESTION.slice(20)))
        controller.close()
      },
    })
    await writeFile(trigger, '')
    const running = added(server, 'm0')
    await until(() => scheduler.inFlight === 1 && scheduler.queued === 0, 'the run goes on')
    const coming = fetch(`${server.url}/v2/models/m0/infer`, { method: 'POST', body, duplex: 'half' } as RequestInit)
    await until(() => scheduler.reserved === 1, 'its body is coming')
    const other = added(server, 'm1')
    await until(async () => (await health(server)).models[0]?.phase === 'unloaded', 'm0 gives way')
    sendRest()
    const late = added(server, 'm0')
    assert.deepEqual([await running, await other, await late, (await coming).status], [0, 1, 0, 200])
  })

  it('what asks only how a model is called is answered too, by loading it', async () => {
    await using folder = await temporaryFolder()
    await using server = await serveThree(folder)
    for (const path of ['/v2/models/m1', '/v2/models/m2/versions/1', '/models/m0/example']) {
      const answer = await fetch(`${server.url}${path}`)
      assert.equal(answer.status, 200, `${path}: ${await answer.text()}`)
    }
    const wrong = await fetch(`${server.url}/v2/models/m7`)
    assert.equal(wrong.status, 404)
  })
})

describe('a model that is larger than the budget', () => {
  it('is refused with 507 as often as it is asked for, and drives nobody out', async () => {
    await using folder = await temporaryFolder()
    for (const [number, name] of ids(3).entries()) await folder.write(`all/${name}/model.onnx`, addingModel(number, 1))
    await using server = await serve(join(folder.path, 'all'), 130)
    for (const [number, name] of ids(3).entries()) assert.equal(await added(server, name), number)
    const before = await residents(server)
    await folder.write('all/z/model.onnx', addingModel(9, 140))

    await server.repository.rescan(true)
    for (let left = 3; left > 0; left--) {
      const { body, status } = await post(`${server.url}/models/z/predict`, QUESTION)
      assert.deepEqual([status, body['code']], [507, 'SLW_MEMORY_EXCEEDED'], JSON.stringify(body))
      assert.match(String(body['error']), /model "z" version 1 takes \d+.* and does not fit into memoryBudgetMb \(130/)
    }
    assert.deepEqual(await residents(server), before, 'the others stay')
    for (const [number, name] of ids(3).entries()) {
      assert.equal(await added(server, name), number)
      assert.equal(await loads(server, name, 'ok'), 1)
    }
    assert.ok((await loads(server, 'z', 'ok')) <= 1, 'it is tried once')
    assert.equal((await fetch(`${server.url}/ready`)).status, 200)
  })

  it('as a new version it is not served, and the old one goes on', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m0/1/model.onnx', addingModel(1, 1))
    await using server = await serve(join(folder.path, 'm0'), 100)
    assert.equal(await added(server, 'm0'), 1)
    await folder.write('m0/2/model.onnx', addingModel(2, 110))
    await server.repository.rescan(true)
    const [model] = (await health(server)).models
    assert.deepEqual([model?.version, model?.phase, model?.failures?.map(({ version }) => version)], ['1', 'ready', ['2']])
    assert.match(model?.failures?.[0]?.message ?? '', /does not fit into memoryBudgetMb/)
    assert.equal(await added(server, 'm0'), 1)
    assert.equal(await loads(server, 'm0', 'ok'), 1)
  })
})
