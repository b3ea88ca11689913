import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { chmod } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel, WIDTH } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Asked } from '../asking.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const ROW = JSON.stringify({ instances: [Array.from({ length: WIDTH }, (_, index) => index + 1)] })

const load = (server: SlipwayServer, name: string, url: string): Promise<Asked> =>
  ask(`${server.url}/models`, { body: JSON.stringify({ model_name: name, url }) })
const drop = (server: SlipwayServer, name: string): Promise<Asked> => ask(`${server.url}/models/${name}`, { method: 'DELETE' })
const invoke = (server: SlipwayServer, name: string): Promise<Asked> =>
  ask(`${server.url}/models/${name}/invoke`, { body: ROW, headers: { 'x-amzn-sagemaker-target-model': `${name}.tar.gz` } })

function container(folder: TemporaryFolder, more: StartServerOptions = {}): Promise<SlipwayServer> {
  return startServer({ port: 0, dialects: 'sagemaker-multi-model', modelRoots: [folder.path], ...more })
}

/** The folder that the platform unpacks a model into. */
async function modelAt(folder: TemporaryFolder, name: string, added: number, megabytes = 0): Promise<string> {
  await folder.write(`${name}/model/model.onnx`, addingModel(added, megabytes))
  return join(folder.path, name, 'model')
}

describe('a SageMaker container for many models', () => {
  it('loads, lists, asks and unloads models by calls', async () => {
    await using folder = await temporaryFolder()
    await using server = await container(folder)
    assert.equal((await ask(`${server.url}/ping`)).status, 200, 'it lives, though it has no model')
    assert.deepEqual(JSON.parse((await ask(`${server.url}/models`)).text), { models: [] })
    const url = await modelAt(folder, 'a1', 10)
    assert.equal((await invoke(server, 'a1')).status, 404)
    const loaded = await load(server, 'a1', url)
    assert.equal(loaded.status, 200, loaded.text)
    assert.equal((await load(server, 'a1', url)).status, 409)
    assert.deepEqual(JSON.parse((await ask(`${server.url}/models/a1`)).text), { modelName: 'a1', modelUrl: url })
    assert.equal((await ask(`${server.url}/models/a2`)).status, 404)
    assert.deepEqual(JSON.parse((await invoke(server, 'a1')).text), { predictions: [{ prediction: [11, 12, 13, 14] }] })
    assert.equal((await drop(server, 'a1')).status, 200)
    assert.equal((await drop(server, 'a1')).status, 404)
    assert.equal((await invoke(server, 'a1')).status, 404)
    assert.equal((await load(server, 'a1', url)).status, 200, 'it may come back')
    assert.deepEqual(JSON.parse((await invoke(server, 'a1')).text), { predictions: [{ prediction: [11, 12, 13, 14] }] })
  })

  it('takes models from the folders that it was told of alone, and none of pages of other sites', async () => {
    await using folder = await temporaryFolder()
    await using other = await temporaryFolder()
    await using server = await container(folder)
    const outside = await modelAt(other, 'b', 1)
    const url = await modelAt(folder, 'b', 1)
    for (const [name, path, status] of [
      ['b', outside, 403],
      ['b', '/proc/self', 403],
      ['b', `${folder.path}/../${outside}`, 403],
      ['b', 's3://bucket/model', 400],
      ['b', join(folder.path, 'none'), 404],
      ['../b', url, 400],
    ] as const) {
      const told = await load(server, name, path)
      assert.equal(told.status, status, `${path}: ${told.text}`)
    }
    const body = JSON.stringify({ model_name: 'b', url })
    const ofPage = await ask(`${server.url}/models`, { body, headers: { 'sec-fetch-site': 'cross-site' } })
    assert.equal(ofPage.status, 403)
    assert.equal((await ask(`${server.url}/models`, { body: '{"url": 5}' })).status, 400)
    assert.deepEqual(JSON.parse((await ask(`${server.url}/models`)).text), { models: [] })
  })

  it('is refused where others could reach it, unless that is said', async () => {
    await using folder = await temporaryFolder()
    const options = { host: '0.0.0.0', behindProxy: true, environment: { SLIPWAY_API_KEYS: 'app=app-key-0123456789abcdef' } }
    await assert.rejects(container(folder, options), /dialect sagemaker-multi-model: its platform manages models without credentials/)
    await using server = await container(folder, { host: '0.0.0.0', insecure: true })
    assert.equal((await ask(`http://127.0.0.1:${server.port}/models`)).status, 200)
    await using guarded = await container(folder, { environment: { SLIPWAY_ADMIN_TOKEN: 'a-token-of-an-administrator-12345' } })
    assert.equal((await ask(`${guarded.url}/models`)).status, 401)
    const headers = { authorization: 'Bearer a-token-of-an-administrator-12345' }
    assert.equal((await ask(`${guarded.url}/models`, { headers })).status, 200)
  })

  it('opens to a key the models alone that it is for', async () => {
    await using folder = await temporaryFolder()
    const keys = await folder.write(
      'keys.yaml',
      'keys: [{ name: all, key: key-of-all-0123456789 }, { name: one, key: key-of-one-0123456789, models: [a] }]',
    )
    await chmod(keys, 0o600)
    await using server = await container(folder, { apiKeysFile: keys, environment: {} })
    const url = await modelAt(folder, 'm', 1)
    const asks = (key: string, path: string, name?: string): Promise<Asked> =>
      ask(`${server.url}${path}`, {
        ...(name !== undefined && { body: JSON.stringify({ model_name: name, url }) }),
        headers: { authorization: `Bearer key-of-${key}-0123456789` },
      })
    assert.equal((await asks('one', '/models', 'b')).status, 403)
    assert.equal((await asks('one', '/models', 'a')).status, 200)
    assert.equal((await asks('all', '/models', 'b')).status, 200)
    const names = async (key: string): Promise<string[]> =>
      (JSON.parse((await asks(key, '/models')).text) as { models: { modelName: string }[] }).models.map(({ modelName }) => modelName)
    assert.deepEqual([await names('one'), await names('all')], [['a'], ['a', 'b']])
    assert.equal((await asks('one', '/models/b')).status, 403)
  })

  it('lists models in pages', async () => {
    await using folder = await temporaryFolder()
    await using server = await container(folder)
    const url = await modelAt(folder, 'm', 1)
    for (let index = 0; index < 5; index++) assert.equal((await load(server, `m${index}`, url)).status, 200)
    const names: string[] = []
    let token = ''
    let pages = 0
    do {
      const { text } = await ask(`${server.url}/models?limit=2${token === '' ? '' : `&next_page_token=${token}`}`)
      const page = JSON.parse(text) as { models: { modelName: string }[]; nextPageToken?: string }
      names.push(...page.models.map(({ modelName }) => modelName))
      token = page.nextPageToken ?? ''
      pages++
    } while (token !== '')
    assert.deepEqual([names, pages], [['m0', 'm1', 'm2', 'm3', 'm4'], 3])
    assert.equal((await ask(`${server.url}/models?limit=no`)).status, 400)
  })

  it(
    'says 507 where a model does not fit, until others are deleted: 200 models under a budget for about 20',
    { timeout: 280_000 },
    async () => {
      await using folder = await temporaryFolder()
      await using server = await container(folder, { memoryBudgetMb: 380, serving: { instances: 1, threads: 1 } })
      const paths: string[] = []
      for (let index = 0; index < 25; index++) paths.push(await modelAt(folder, `w${index}`, index, 3))
      const loaded: number[] = []
      const peaks: number[] = []
      let refusals = 0
      let most = 0
      for (let index = 0; index < 200; index++) {
        for (let tries = 0; ; tries++) {
          const told = await load(server, `n${index}`, paths[index % paths.length]!)
          if (told.status === 200) break
          assert.equal(told.status, 507, told.text)
          assert.ok(tries < 200)
          refusals++
          assert.equal((await drop(server, `n${loaded.shift()!}`)).status, 200)
        }
        loaded.push(index)
        most = Math.max(most, loaded.length)
        const added = index % paths.length
        assert.equal(
          (await invoke(server, `n${index}`)).text,
          JSON.stringify({ predictions: [{ prediction: [1, 2, 3, 4].map((x) => x + added) }] }),
        )
        if (index % 20 === 19) peaks.push(residentMb())
      }
      // One that is deleted is free when that is answered: there is room for one as large at once.
      assert.ok(refusals >= 100 && refusals <= 200 - most + 20, `${refusals} refusals`)
      assert.ok(most >= 8 && most <= 60, `${most} models at most`)
      const early = Math.max(...peaks.slice(2, 5))
      const late = Math.min(...peaks.slice(-3))
      if (process.env['SLOPES'] !== undefined)
        console.log(`${refusals} refusals, at most ${most} models, ${peaks.map((mb) => mb.toFixed(0)).join(', ')} MB`)
      assert.ok(late < early + 40, `resident memory grows: ${peaks.map((mb) => mb.toFixed(0)).join(', ')} MB`)
      for (const index of loaded) assert.equal((await drop(server, `n${index}`)).status, 200)
      await delay(100)
      assert.equal([...server.dataPlane.endpoints.keys()].length, 0)
    },
  )
})

function residentMb(): number {
  const status = readFileSync('/proc/self/status', 'utf8')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024
}
