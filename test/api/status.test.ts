import assert from 'node:assert/strict'
import fastify from 'fastify'
import { it } from 'node:test'
import { statusRoutes } from '../../src/api/status.ts'
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
