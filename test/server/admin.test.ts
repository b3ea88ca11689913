import assert from 'node:assert/strict'
import { symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { post } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startServer } from '../../src/server/start-server.ts'
import type { Logger } from '../../src/core/log.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const TOKEN = 'a token of some length'.replaceAll(' ', '-')
const ADMIN = { authorization: `Bearer ${TOKEN}` }

async function serve(folder: TemporaryFolder, options: StartServerOptions = {}): Promise<SlipwayServer> {
  await folder.write('m/1/model.onnx', addingModel(1))
  await folder.write('m/2/model.onnx', addingModel(2))
  await folder.write('outside/other.onnx', addingModel(9))
  return startServer({
    models: [{ path: join(folder.path, 'm') }],
    port: 0,
    serving: { instances: 1 },
    environment: { SLIPWAY_ADMIN_TOKEN: TOKEN },
    ...options,
  })
}

async function added(server: SlipwayServer): Promise<unknown> {
  const { status, body } = await post(`${server.url}/v2/models/m/infer`, QUESTION)
  return status === 200 ? Number((body['outputs'] as { data: number[] }[])[0]?.data[0]) - 1 : status
}

describe('POST /admin/switch_model', () => {
  it('answers once the new version serves, with old, new and the times of the parts, and pins until the policy is asked for', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    await folder.write('m/spare.onnx', addingModel(5))
    const path = join(folder.path, 'm/spare.onnx')
    const { status, body } = await post(`${server.url}/admin/switch_model`, { model_path: path }, ADMIN)
    assert.equal(status, 200)
    assert.deepEqual(body['old'], { version: '2', path: join(folder.path, 'm/2') })
    assert.deepEqual(body['new'], { version: 'spare', path })
    assert.equal(body['pinned'], true)
    const times = body['times'] as Record<string, number>
    assert.deepEqual(Object.keys(times), ['load_ms', 'warm_up_ms', 'switch_ms', 'drain_ms'])
    for (const [name, ms] of Object.entries(times)) assert.ok(ms > 0, name)
    assert.equal(await added(server), 5)
    await folder.write('m/3/model.onnx', addingModel(3))
    await server.repository.rescan(true)
    assert.equal(await added(server), 5, 'a pin outlasts what the folder says')
    const back = await post(`${server.url}/admin/models/m/switch`, { version: 'policy' }, ADMIN)
    assert.equal(back.body['pinned'], false)
    assert.deepEqual((back.body['new'] as { version: string }).version, '3')
    assert.equal(await added(server), 3)
  })

  it('by a version of its own folder', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    const { status, body } = await post(`${server.url}/admin/models/m/switch`, { version: '1' }, ADMIN)
    assert.deepEqual([status, (body['new'] as { version: string }).version], [200, '1'])
    assert.equal(await added(server), 1)
    const unknown = await post(`${server.url}/admin/models/m/switch`, { version: '7' }, ADMIN)
    assert.equal(unknown.status, 404)
    assert.match(String(unknown.body['error']), /found: 1, 2, or "policy"/)
  })

  it('a file that cannot be served is told, and the old version goes on', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    const broken = await folder.write('m/broken.onnx', 'garbage')
    const { status, body } = await post(`${server.url}/admin/switch_model`, { model: 'm', model_path: broken }, ADMIN)
    assert.equal(status, 422)
    assert.match(String(body['error']), /not an ONNX model/)
    assert.equal(await added(server), 2)
    const { models } = (await (await fetch(`${server.url}/admin/models`, { headers: ADMIN })).json()) as { models: object[] }
    assert.deepEqual(models, [{ name: 'm', versions: ['1', '2'], path: join(folder.path, 'm'), unloaded: false }])
    assert.match(await (await fetch(`${server.url}/metrics`)).text(), /slipway_switches_total\{endpoint="m",result="failed"\} 1\n/)
  })

  it('takes models only from served folders and model roots, whatever links say', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    const outside = join(folder.path, 'outside/other.onnx')
    for (const path of [outside, join(folder.path, 'm/../outside/other.onnx')]) {
      const { status, body } = await post(`${server.url}/admin/switch_model`, { model_path: path }, ADMIN)
      assert.equal(status, 403)
      assert.equal(body['code'], 'SLW_PATH_REFUSED')
    }
    await symlink(outside, join(folder.path, 'm/link.onnx'))
    assert.equal((await post(`${server.url}/admin/switch_model`, { model_path: join(folder.path, 'm/link.onnx') }, ADMIN)).status, 403)
    assert.equal((await post(`${server.url}/admin/switch_model`, { model_path: join(folder.path, 'm/none.onnx') }, ADMIN)).status, 404)
    await using open = await serve(folder, { modelRoots: [join(folder.path, 'outside')] })
    assert.equal((await post(`${open.url}/admin/switch_model`, { model_path: outside }, ADMIN)).status, 200)
    assert.equal(await added(open), 9)
  })

  it('a wish that cannot be understood says what was expected', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    const wrong = await post(`${server.url}/admin/switch_model`, { path: 'x' }, ADMIN)
    assert.equal(wrong.status, 400)
    assert.match(String(wrong.body['error']), /model_path/)
    const both = await post(`${server.url}/admin/models/m/switch`, { model_path: 'x', version: '1' }, ADMIN)
    assert.match(String(both.body['error']), /expected \{"model_path": PATH\}/)
    assert.equal((await post(`${server.url}/admin/models/none/switch`, { version: '1' }, ADMIN)).status, 404)
  })
})

describe('the model repository extension', () => {
  it('unloads a model, lists it as unavailable, and loads it again', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    assert.equal((await fetch(`${server.url}/v2/repository/models/m/unload`, { method: 'POST', headers: ADMIN })).status, 200)
    assert.equal(await added(server), 404)
    const index = async (): Promise<unknown> => (await fetch(`${server.url}/v2/repository/index`, { method: 'POST' })).json()
    assert.deepEqual(await index(), [{ name: 'm', version: '', state: 'UNAVAILABLE', reason: 'unloaded' }])
    await folder.write('m/3/model.onnx', addingModel(3))
    assert.equal((await fetch(`${server.url}/v2/repository/models/m/load`, { method: 'POST', headers: ADMIN })).status, 200)
    assert.equal(await added(server), 3, 'a load reads the folder')
    const configured = await post(`${server.url}/v2/repository/models/m/load`, { parameters: { config: '{}' } }, ADMIN)
    assert.equal(configured.status, 501)
  })
})

describe('who may administer', () => {
  it('without a token there are no routes of administration, nor loads and unloads', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder, { environment: {} })
    for (const path of ['/admin/switch_model', '/admin/models/m/switch', '/v2/repository/models/m/load', '/v2/repository/models/m/unload'])
      assert.equal((await post(`${server.url}${path}`, {})).status, 404, path)
  })

  it('with one, nobody else', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder)
    assert.equal((await post(`${server.url}/admin/switch_model`, {})).status, 401)
    assert.equal(
      (await post(`${server.url}/admin/switch_model`, {}, { authorization: 'Bearer nearly-a-token-of-some-length' })).status,
      401,
    )
  })

  it('a token file is read again on reload', async () => {
    await using folder = await temporaryFolder()
    const file = await folder.write('token', TOKEN)
    await using server = await serve(folder, { environment: {}, adminTokenFile: file })
    await writeFile(file, 'another-token-of-some-length')
    await server.reload()
    const ask = async (token: string): Promise<number> =>
      (await fetch(`${server.url}/admin/models`, { headers: { authorization: `Bearer ${token}` } })).status
    assert.deepEqual([await ask(TOKEN), await ask('another-token-of-some-length')], [401, 200])
  })

  it('on a port of its own the routes are nowhere else', async () => {
    await using folder = await temporaryFolder()
    await using server = await serve(folder, { adminPort: 0 })
    assert.equal((await fetch(`${server.url}/admin/models`, { headers: ADMIN })).status, 404)
    const [, adminUrl] = server.urls
    assert.equal((await fetch(`${adminUrl}/admin/models`, { headers: ADMIN })).status, 200)
    assert.equal((await post(`${adminUrl}/v2/models/m/infer`, QUESTION)).status, 404)
  })

  it('every call is written down, also a refused one, and at every level of the log', async () => {
    await using folder = await temporaryFolder()
    const lines: { fields: Record<string, unknown>; message: string }[] = []
    const record = (fields: object, message: string): void => void lines.push({ fields: { ...fields }, message })
    const nothing = (): void => {}
    const logger: Logger = {
      level: 'error',
      debug: nothing,
      info: nothing,
      warn: nothing,
      error: nothing,
      child: (bound, { level }) => ({
        level,
        debug: nothing,
        info: (fields, message) => record({ ...bound, ...fields }, message),
        warn: nothing,
        error: nothing,
      }),
    }
    await using server = await serve(folder, { logger })
    await post(`${server.url}/admin/models/m/switch`, { version: '1' }, ADMIN)
    await post(`${server.url}/admin/models/m/switch`, { version: '1' })
    assert.deepEqual(
      lines.map(({ fields, message }) => [message, fields['status'], fields['audit'], JSON.stringify(fields['wish'])]),
      [
        ['administration', 200, true, '{"version":"1"}'],
        ['administration refused', 401, true, undefined],
      ],
    )
    assert.ok(!JSON.stringify(lines).includes(TOKEN))
  })

  it('the level of the log can be changed while the server runs', async () => {
    await using folder = await temporaryFolder()
    const logger: Logger = { level: 'info', debug() {}, info() {}, warn() {}, error() {} }
    await using server = await serve(folder, { logger })
    assert.deepEqual(await (await fetch(`${server.url}/admin/log`, { headers: ADMIN })).json(), { level: 'info' })
    assert.equal((await post(`${server.url}/admin/log`, { level: 'debug' }, ADMIN)).status, 200)
    assert.equal(logger.level, 'debug')
    assert.equal((await post(`${server.url}/admin/log`, { level: 'loud' }, ADMIN)).status, 400)
  })
})
