import assert from 'node:assert/strict'
import { Agent } from 'node:http'
import { readFile, rename } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { post, until } from '../fixtures.ts'
import { askAdding, keepAliveLoad } from '../keep-alive-load.ts'
import { temporaryFolder } from '../temporary-folder.ts'

it('a log on a full disk costs its lines, which are counted, and no answer', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  await using server = await serveInChild([join(folder.path, 'm.onnx'), '--log-file', '/dev/full', '--log-access'])
  const dropped = async (): Promise<number> =>
    Number(/^slipway_log_dropped_total (\d+)$/m.exec(await (await fetch(`${server.url}/metrics`)).text())?.[1])
  await using load = keepAliveLoad(server.url, ['m'])
  await until(() => load.answers.length > 200, 'it is warm')
  const before = await dropped()
  const from = load.answers.length
  await until(() => load.answers.length > from + 1000, 'it is asked a lot')
  const lines = load.answers.length - from
  const answers = await load.stop()
  assert.ok(answers.every(({ status, added }) => status === 200 && added === 1))
  assert.ok((await dropped()) >= before + lines - 6, `${await dropped()} dropped, ${before} before, ${lines} requests`)
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
  const lines = async (): Promise<string[][]> => await Promise.all(files.map(requestIds))
  // A line is written once its answer has left: the last ones may come after their answers were read.
  await until(async () => (await lines()).flat().length >= asked.length, 'every line is written')
  const told = await lines()
  assert.ok(told.every(({ length }) => length > 10))
  assert.deepEqual(told.flat().toSorted(), asked.toSorted())

  // The level, while it is at it.
  const agent = new Agent({ keepAlive: true })
  const askAs = async (id: string): Promise<void> => {
    assert.equal((await askAdding(agent, server.url, 'm', { headers: { 'x-request-id': id } })).status, 200)
  }
  assert.equal((await post(`${server.url}/admin/log`, { level: 'error' }, ADMIN)).status, 200)
  await askAs('when-quiet')
  await askAs('when-still-quiet')
  assert.equal((await post(`${server.url}/admin/log`, { level: 'info' }, ADMIN)).status, 200)
  await askAs('when-told')
  await until(async () => (await requestIds(file)).includes('when-told'), 'a line is written again')
  assert.ok(!(await requestIds(file)).includes('when-quiet'))
  agent.destroy()
})

it('the log says when the server started, when the log was opened again, and how it ended', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m.onnx', addingModel(1))
  const file = join(folder.path, 'server.log')
  await using server = await serveInChild([join(folder.path, 'm.onnx'), '--log-file', file, '--drain-pause', '0ms'])
  const told = async (): Promise<{ msg: string; [field: string]: unknown }[]> =>
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string })
  server.signal('SIGHUP')
  await until(async () => (await told()).some(({ msg }) => msg === 'log opened again'), 'the log says that it was opened again')
  server.signal('SIGTERM')
  assert.equal(await server.exit, 0)
  const lines = await told()
  const started = lines.find(({ msg }) => msg === 'server started')
  assert.deepEqual([started?.['url'], started?.['pid'], started?.['failures']], [server.url, server.pid, 0])
  assert.match(String(started?.['version']), /^\d+\.\d+\.\d+/)
  assert.deepEqual(
    lines.slice(-2).map(({ msg, signal, clean }) => [msg, signal ?? clean]),
    [
      ['server stops: what is in flight is finished', 'SIGTERM'],
      ['server stopped', true],
    ],
  )
})

/** The requests that a log file has a whole line of, in its order. */
async function requestIds(file: string): Promise<string[]> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1)
  return lines.map((line) => (JSON.parse(line) as { requestId?: string }).requestId).filter((id) => id !== undefined)
}
