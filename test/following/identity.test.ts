/** Which control plane is followed: another database at its address takes nothing away, until a person says that it is the one. */
import assert from 'node:assert/strict'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { ask } from '../asking.ts'
import { QUESTION } from '../adding-models.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { slipway } from '../cli/slipway.ts'
import { freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, deploy, setAlias } from './following.ts'
import type { ChildServer } from '../child-server.ts'

async function adds(server: ChildServer): Promise<number | string> {
  const { status, text } = await ask(`${server.url}/v2/models/adder/infer`, { method: 'POST', body: QUESTION })
  return status === 200 ? (JSON.parse(text).outputs[0].data[0] as number) - 1 : text
}

async function troubleOf(server: ChildServer): Promise<string> {
  return (JSON.parse((await ask(`${server.url}/health`)).text) as { following: { trouble?: string } }).following.trouble ?? ''
}

it('another database at the address takes no endpoint away, and is followed once it is adopted', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const flags = ['--control-plane', `http://127.0.0.1:${port}`, '--store', join(folder.path, 'store'), '--server-name', 'one']
  const first = await planeInProcess({ port, data: join(folder.path, 'first') })
  await adders(first, 2)
  await deploy(first)
  await using server = await serveInChild(flags)
  assert.equal(await adds(server), 1)
  await first[Symbol.asyncDispose]()

  await using second = await planeInProcess({ port, data: join(folder.path, 'second') })
  await until(async () => (await troubleOf(server)).includes('slipway server adopt'), 'the server says what it found, and what to do')
  assert.equal(await adds(server), 1)
  // What it declares is not taken either.
  await adders(second, 2)
  await deploy(second)
  await setAlias(second, 2)
  await until(async () => {
    const { items } = (await second.ask('GET', '/servers')).body as { items: { name: string; message?: string }[] }
    return items.some(({ name, message }) => name === 'one' && message?.includes('slipway server adopt') === true)
  }, 'the control plane is told too')
  assert.equal(await adds(server), 1)

  // A restart of the server changes nothing of that.
  {
    await using again = await serveInChild([...flags.slice(0, -1), 'two'])
    assert.equal(await adds(again), 1)
  }
  const adopted = await slipway(['server', 'adopt', '--url', second.url])
  assert.equal(adopted.code, 0, adopted.stderr)
  await until(async () => (await adds(server)) === 2, 'it is followed')
  assert.equal(await troubleOf(server), '')
  const { items } = (await second.ask('GET', '/events?kind=server&name=*')).body as { items: { action: string }[] }
  assert.deepEqual(
    items.map(({ action }) => action),
    ['adopted'],
  )
})

it('a database that was put back and went another way is noticed', { timeout: 120_000 }, async () => {
  await using folder = await temporaryFolder()
  const port = await freePort()
  const data = join(folder.path, 'data')
  const flags = ['--control-plane', `http://127.0.0.1:${port}`, '--store', join(folder.path, 'store'), '--server-name', 'one']
  const copy = join(folder.path, 'copy.db')
  {
    await using plane = await planeInProcess({ port, data })
    await adders(plane, 3)
    await deploy(plane)
  }
  await copyFile(join(data, 'slipway.db'), copy)
  const before = await planeInProcess({ port, data })
  await setAlias(before, 2)
  await using server = await serveInChild(flags)
  assert.equal(await adds(server), 2)
  await before[Symbol.asyncDispose]()
  await copyFile(copy, join(data, 'slipway.db'))
  await using after = await planeInProcess({ port, data })
  // As many changes as before, and another one.
  await setAlias(after, 3)
  await until(
    async () => (await troubleOf(server)).includes('put back to an earlier state'),
    'the same generation with other versions is noticed',
  )
  assert.equal(await adds(server), 2)
  assert.equal((await slipway(['server', 'adopt', '--url', after.url])).code, 0)
  await until(async () => (await adds(server)) === 3, 'it is followed')
})
