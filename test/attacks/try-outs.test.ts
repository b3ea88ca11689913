import assert from 'node:assert/strict'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { contentIdOf, planeInProcess } from '../api/in-plane.ts'
import { childrenOf, until } from '../fixtures.ts'
import { hangsForAllValues } from './hostile-graphs.ts'
import type { Plane } from '../api/in-plane.ts'

async function send(plane: Plane, key: string, method: string, path: string, body: unknown, signal?: AbortSignal): Promise<Response> {
  const bytes = body instanceof Uint8Array
  return await fetch(`${plane.url}/api/v1${path}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(!bytes && { 'content-type': 'application/json' }) },
    body: (bytes ? body : JSON.stringify(body)) as never,
    ...(signal !== undefined && { signal }),
  })
}

/** Registers a version of one file. */
async function register(plane: Plane, key: string, model: string, bytes: Uint8Array, signal?: AbortSignal): Promise<Response> {
  const contentId = contentIdOf(bytes)
  assert.ok((await send(plane, key, 'PUT', `/contents/${contentId}`, bytes)).ok)
  return await send(plane, key, 'POST', `/models/${model}/versions`, { files: [{ path: 'model.onnx', contentId }] }, signal)
}

it(
  'models that hang when they are tried hold up those who sent them, and end when nobody waits for them',
  { timeout: 60_000 },
  async () => {
    await using plane = await planeInProcess()
    const root = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body.key as string
    const keyOf = async (name: string): Promise<string> =>
      ((await (await send(plane, root, 'POST', '/keys', { name, scopes: ['admin'] })).json()) as { key: string }).key
    const [mallory, anna] = [await keyOf('mallory'), await keyOf('anna')]
    for (const name of ['evil', 'good']) assert.ok((await send(plane, root, 'POST', '/models', { name })).ok)
    const before = childrenOf(process.pid).length
    const gone = new AbortController()
    const hanging = [1, 2, 3, 4].map((number) => {
      // Four models, as what is known about one is not found out again.
      const bytes = Buffer.concat([hangsForAllValues(), Buffer.from([0x32, 1, 0x30 + number])])
      return register(plane, mallory, 'evil', bytes, gone.signal)
    })
    await until(() => childrenOf(process.pid).length > before, 'the first of them is tried')
    const answer = await register(plane, anna, 'good', addingModel(1))
    const told = await answer.text()
    assert.equal(answer.status, 201, told)
    assert.equal((JSON.parse(told) as { servable: string }).servable, 'yes')
    gone.abort()
    for (const one of hanging) await assert.rejects(one, { name: 'AbortError' })
    await until(() => childrenOf(process.pid).length === before, 'no process of theirs is left', 10_000)
    const mine = await register(plane, mallory, 'good', addingModel(2))
    assert.equal(mine.status, 201, 'and who has left comes again')
    const { body } = await plane.ask('GET', '/models/evil/versions', undefined)
    assert.deepEqual(body.items ?? [], [], 'what was given up is no version')
  },
)
