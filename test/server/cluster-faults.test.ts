import assert from 'node:assert/strict'
import cluster from 'node:cluster'
import { existsSync, readFileSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { Member } from '../../src/server/cluster/member.ts'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { childrenOf, post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Asked, Question } from '../asking.ts'
import type { ChildServer } from '../child-server.ts'

const TWO = ['--processes', '2', '--instances', '1', '--drain-pause', '0ms'] as const
const KEY = 'a-key-of-some-length-for-tests'
const NEXT_KEY = 'another-key-of-some-length-too'

function keys(key: string): string {
  return `keys:\n  - { name: tester, key: ${key}, scopes: [predict, metrics] }\n`
}

function predict(server: ChildServer, question: Question = {}): Promise<Asked> {
  return ask(`${server.url}/v2/models/m/infer`, { method: 'POST', body: QUESTION, ...question })
}

/** Asks each process of two: a connection of its own comes to any of them. */
async function statuses(server: ChildServer, key: string, socketPath?: string): Promise<Set<number>> {
  const question = { headers: { authorization: `Bearer ${key}` }, ...(socketPath !== undefined && { socketPath }) }
  const answers = await Promise.all(Array.from({ length: 16 }, () => predict(server, question)))
  return new Set(answers.map(({ status }) => status))
}

it('a process that cannot be started again is tried again, and is in the way of no change meanwhile; it joins the Unix socket of the others, and SIGHUP reaches it, whatever becomes of the log', async () => {
  await using folder = await temporaryFolder()
  await folder.write('m/1/model.onnx', addingModel(1))
  await folder.write('m/spare.onnx', addingModel(2))
  await folder.write('keys.yaml', keys(KEY))
  const log = join(folder.path, 'logs/slipway.log')
  const socketPath = join(folder.path, 'slipway.sock')
  await using server = await serveInChild([
    `m=${join(folder.path, 'm')}`,
    ...TWO,
    '--api-keys-file',
    join(folder.path, 'keys.yaml'),
    '--log-file',
    log,
    '--socket',
    socketPath,
  ])
  await folder.write('keys.yaml', 'broken: [')
  process.kill(childrenOf(server.pid)[0]!, 'SIGKILL')
  await until(() => readFileSync(log, 'utf8').includes('a serving process could not be started'), 'the new one cannot read its keys')
  const switched = await post(`${server.url}/admin/switch_model`, { model_path: join(folder.path, 'm/spare.onnx') }, ADMIN)
  assert.equal(switched.status, 200, JSON.stringify(switched.body))
  await folder.write('keys.yaml', keys(KEY))
  const serves = (pid: number): boolean =>
    readFileSync(log, 'utf8')
      .split('\n')
      .some((line) => line.includes(`"process":${pid},`) && line.includes('"version":"spare"') && line.includes('model ready'))
  await until(() => childrenOf(server.pid).length === 2 && childrenOf(server.pid).every(serves), 'it is started when it can be')
  assert.deepEqual(await statuses(server, KEY, socketPath), new Set([200]))

  // Where the folder of the log was there is a file: the log cannot be begun anew, and goes on in the old one.
  await rename(join(folder.path, 'logs'), join(folder.path, 'moved'))
  await folder.write('logs', '')
  await folder.write('keys.yaml', keys(NEXT_KEY))
  server.signal('SIGHUP')
  const moved = join(folder.path, 'moved/slipway.log')
  await until(() => (readFileSync(moved, 'utf8').match(/going on with the old log file/g) ?? []).length === 3, 'each says so')
  assert.deepEqual(await statuses(server, NEXT_KEY), new Set([200]))
  assert.deepEqual(await statuses(server, KEY), new Set([401]))
  server.signal('SIGTERM')
  assert.equal(await server.exit, 0, server.said().slice(-1500))
  assert.equal(existsSync(socketPath), false)
})

it('when one process fails in the middle of a change, the others take it back, and the next is made; one that stands still takes nothing from what was counted, and does not keep the server from ending', async () => {
  await using folder = await temporaryFolder()
  await folder.write('models/m/1/model.onnx', addingModel(1))
  await folder.write('spare/1/model.onnx', addingModel(2))
  const trigger = join(folder.path, 'fail-once')
  await using server = await serveInChild(
    [join(folder.path, 'models'), ...TWO, '--grace', '500ms', '--memory-budget-mb', '100', '--model-root', join(folder.path, 'spare')],
    { SLIPWAY_FAIL_POINTS: `unload.begin:throw@${trigger}` },
  )
  // It has no room at its start, and in one of the processes cannot even be set aside.
  await folder.write('models/large/1/model.onnx', addingModel(3, 80))
  await folder.write('fail-once', '')
  server.signal('SIGHUP')
  await until(() => server.said().includes('injected: unload.begin failed'), 'the change fails')
  const target = { model: 'm', model_path: join(folder.path, 'spare/1/model.onnx') }
  const switched = await post(`${server.url}/admin/switch_model`, target, ADMIN)
  assert.equal(switched.status, 200, JSON.stringify(switched.body))
  const { text } = await predict(server)
  assert.match(text, /"data":\[3,/)

  const rows = async (): Promise<number> => {
    const { text } = await ask(`${server.url}/metrics`)
    return text
      .matchAll(/^slipway_rows_total\{.*\} (\d+)$/gm)
      .map((match) => Number(match[1]))
      .reduce((sum, value) => sum + value, 0)
  }
  await Promise.all(Array.from({ length: 23 }, () => predict(server)))
  assert.equal(await rows(), 24)
  const [still] = childrenOf(server.pid)
  process.kill(still!, 'SIGSTOP')
  // Connections that only it would take wait in vain: who asks gives up, and asks again.
  const counted = await Promise.any(Array.from({ length: 6 }, () => rows()))
  assert.equal(counted, 24)
  server.signal('SIGTERM')
  assert.equal(await server.exit, 1, 'not all that was accepted was answered, as far as anybody knows')
  await until(() => !existsSync(`/proc/${still}`), 'it is gone')
})

it('a process that is silent in the middle of a change is ended, so that the change goes on without it', async () => {
  cluster.setupPrimary({ exec: fileURLToPath(new URL('../../src/server/cluster/worker.ts', import.meta.url)), serialization: 'advanced' })
  const worker = cluster.fork()
  const member = new Member(worker, 500)
  assert.equal(await member.channel.call('alive'), true)
  const ended = new Promise<string>((resolve) => member.onExit(resolve))
  worker.process.kill('SIGSTOP')
  await assert.rejects(member.work('prepare', { endpoint: 'm', desired: undefined }), /the process ended/)
  assert.equal(await ended, 'SIGKILL')
})
