import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { readFile, rename } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { post, until } from '../fixtures.ts'
import { askAdding, keepAliveLoad, residentMb } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('a log on a full disk costs its lines, which are counted, and no answer', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  await using server = await serveInChild([join(folder.path, 'm.onnx'), '--log-file', '/dev/full', '--log-access'])
  const dropped = async (): Promise<number> =>
    Number(/^slipway_log_dropped_total (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1])
  await using load = keepAliveLoad(server.url, ['m'])
  await until(() => load.answers.length > 200, 'it is warm')
  const memoryBefore = residentMb(server.pid)
  const before = await dropped()
  const from = load.answers.length
  await until(() => load.answers.length > from + 1000, 'it is asked a lot')
  const lines = load.answers.length - from
  const answers = await load.stop()
  assert.ok(answers.every(({ status, added }) => status === 200 && added === 1))
  assert.ok((await dropped()) >= before + lines - 6, `${await dropped()} dropped, ${before} before, ${lines} requests`)
  assert.ok(residentMb(server.pid) < memoryBefore * 1.5 + 50)
})

it('a log that is moved away and begun anew by SIGHUP, under load, loses no line and writes none twice', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  const file = join(folder.path, 'logs/slipway.log')
  await using server = await serveInChild([join(folder.path, 'm.onnx'), '--log-file', file, '--log-access'])
  const stopped = new AbortController()
  const asked: string[] = []
  const clients = Array.from({ length: 6 }, async (_, client) => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    for (let turn = 0; !stopped.signal.aborted; turn++) {
      const id = `client-${client}-turn-${turn}`
      asked.push(id)
      const { status, text } = await askAdding(agent, server.url, 'm', { headers: { 'x-request-id': id } })
      assert.equal(status, 200, text)
    }
    agent.destroy()
  })
  const files = [file]
  for (let rotation = 1; rotation <= 3; rotation++) {
    const count = asked.length
    await until(() => asked.length > count + 100, 'lines are written')
    await rename(file, `${file}.${rotation}`)
    files.push(`${file}.${rotation}`)
    const moved = asked.length
    await until(() => asked.length > moved + 20, 'lines go on being written to the moved file')
    server.signal('SIGHUP')
    await until(() => existsSync(file), 'a new file is begun')
  }
  const count = asked.length
  await until(() => asked.length > count + 20, 'lines are written to the last file')
  stopped.abort()
  await Promise.all(clients)
  const told: string[] = []
  for (const name of files) {
    const lines = (await readFile(name, 'utf8')).trimEnd().split('\n')
    const ids = lines.map((line) => (JSON.parse(line) as { requestId?: string }).requestId).filter((id) => id !== undefined)
    assert.ok(ids.length > 10, `${name} has ${ids.length} lines of requests`)
    told.push(...ids)
  }
  assert.deepEqual(told.toSorted(), asked.toSorted())

  // The level, while it is at it.
  const agent = new Agent({ keepAlive: true })
  const logged = async (id: string): Promise<boolean> => {
    assert.equal((await askAdding(agent, server.url, 'm', { headers: { 'x-request-id': id } })).status, 200)
    return (await readFile(file, 'utf8')).includes(`"${id}"`)
  }
  assert.equal((await post(`${server.url}/admin/log`, { level: 'error' }, ADMIN)).status, 200)
  assert.equal(await logged('when-quiet'), false)
  assert.equal((await post(`${server.url}/admin/log`, { level: 'info' }, ADMIN)).status, 200)
  assert.equal(await logged('when-told'), true)
  agent.destroy()
})
