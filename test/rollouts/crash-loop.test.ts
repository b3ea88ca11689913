/** A version whose instances end again and again is turned back, though nobody but one client met it. */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { serveInChild } from '../child-server.ts'
import { until } from '../fixtures.ts'
import { added, adders } from '../following/following.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { RolloutAnswer } from '../../src/contract/rollout-api.ts'

it('a version whose instances end again and again is turned back', { timeout: 100_000 }, async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 2)
  const spec = { variants: [{ model: 'adder/1', serving: { isolation: 'process', instances: 2, inlineMaxUs: 0 } }] }
  const applied = await plane.ask('PUT', '/endpoints/adder', {
    apiVersion: 'slipway/v1',
    kind: 'Endpoint',
    metadata: { name: 'adder' },
    spec,
  })
  assert.ok(applied.status < 300, JSON.stringify(applied.body))
  const trigger = join(folder.path, 'now')
  await using server = await serveInChild(
    ['--control-plane', plane.url, '--endpoint', 'adder', '--store', join(folder.path, 'store'), '--server-name', 'one'],
    { SLIPWAY_FAIL_POINTS: `run:abort@${trigger}` },
  )
  await until(async () => (await added(server)) === 1, 'the first version serves')
  await plane.ask('POST', '/endpoints/adder/rollouts', { to: '2', rollout: { steps: [5], bake: '1h' } })
  const latest = async (): Promise<RolloutAnswer> => (await plane.ask('GET', '/endpoints/adder/rollouts/latest')).body as RolloutAnswer
  await until(async () => (await latest()).state === 'progressing', 'the first step')
  const ask = async (): Promise<number> => {
    const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [1, 4], data: [1, 2, 3, 4] }] })
    const response = await fetch(`${server.url}/v2/models/adder/infer`, { method: 'POST', body, headers: { 'slipway-variant': 'main-r2' } })
    await response.arrayBuffer()
    return response.status
  }
  // Each time that it answers, its next run ends its process.
  await until(
    async () => {
      if ((await latest()).endedAt !== undefined) return true
      if ((await ask()) === 200 && !existsSync(trigger)) {
        await writeFile(trigger, '')
        await ask()
      }
      return false
    },
    'it is turned back',
    40_000,
  )
  const { state, transitions = [] } = await latest()
  assert.equal(state, 'rolled back')
  assert.match(
    transitions.at(-1)?.reason ?? '',
    /adder\/2.*: one: (its instances ended \d times within a minute|no instance is ready: each has ended)/,
  )
  assert.equal(await added(server), 1)
})
