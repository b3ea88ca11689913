import assert from 'node:assert/strict'
import fastify from 'fastify'
import { readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { it } from 'node:test'
import { statusRoutes } from '../../src/api/status.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { migrateDatabase } from '../../src/storage/sql/open.ts'
import { until } from '../fixtures.ts'
import { ownPostgresServer } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { planeInProcess } from './in-plane.ts'

it('/health of a control plane is 503 with the reason where its disk is full, and /metrics has what is free', async () => {
  await using plane = await planeInProcess()
  const json = { headers: { accept: 'application/json' } }
  assert.deepEqual(Object.keys((await (await fetch(`${plane.url}/health`, json)).json()) as object), ['status', 'version'])
  assert.equal(await (await fetch(`${plane.url}/health`)).text(), 'OK')
  const metrics = await (await fetch(`${plane.url}/metrics`)).text()
  for (const what of ['database', 'objects'])
    assert.match(metrics, new RegExp(`^slipway_disk_free_bytes\\{what="${what}"\\} [1-9]\\d+$`, 'm'))
  // A file system of the kernel has no room for anybody.
  await using app = fastify()
  const logged: object[] = []
  const log = { error: (fields: object) => void logged.push(fields) }
  await app.register(statusRoutes({ ...plane.plane.services, log, keptFolders: [{ what: 'objects', folder: '/proc/self' }] }))
  const told = await app.inject({ url: '/health', ...json })
  assert.equal(told.statusCode, 503)
  const { status, reason } = told.json<{ status: string; reason: string }>()
  assert.equal(status, 'unavailable')
  assert.match(reason, /^the disk of the objects is full, and nothing can be written$/)
  assert.deepEqual(
    logged,
    [{ what: 'objects', folder: '/proc/self', free: '0 B' }],
    'where the folder lies is told to those who read the log',
  )
  const plain = await app.inject({ url: '/health' })
  assert.deepEqual([plain.statusCode, plain.body], [503, reason])
})

it('/health of a control plane is 503 while its database stands still or is gone', { timeout: 60_000 }, async () => {
  const server = await ownPostgresServer()
  await using folder = await temporaryFolder()
  const database = await server.createDatabase('health')
  await migrateDatabase(database, ROOMS)
  await using plane = await startControlPlane({ data: folder.path, port: 0, database })
  const health = async (): Promise<[number, string]> => {
    const answer = await fetch(`${plane.url}/health`)
    return [answer.status, await answer.text()]
  }
  assert.deepEqual(await health(), [200, 'OK'])
  const pids = processesOf(server.folder)
  assert.ok(pids.length > 1)
  for (const pid of pids) process.kill(pid, 'SIGSTOP')
  try {
    assert.deepEqual(await health(), [503, 'the database does not answer'])
  } finally {
    for (const pid of pids) process.kill(pid, 'SIGCONT')
  }
  await until(async () => (await health())[0] === 200, 'it goes on')
  await server.stop('SIGINT')
  await until(async () => (await health())[0] === 503, 'it is gone')
})

/** The server and its backends, by the folder that it was started in. */
function processesOf(folder: string): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name))
  const isOurs = (pid: string): boolean => {
    try {
      return readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('postgres') && readlinkSync(`/proc/${pid}/cwd`).startsWith(folder)
    } catch {
      return false
    }
  }
  return all.filter(isOurs).map(Number)
}
