import assert from 'node:assert/strict'
import { it } from 'node:test'
import { setTimeout as pause } from 'node:timers/promises'
import { loadModel } from '../../src/index.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, deploy, setAlias } from './following.ts'

const MINUTE_MS = 60_000

/** By the clock of the machine, as people have it: the times of both lines are full minutes. */
it('an endpoint and a model of the library that follow by a cron line do so at its time and not before', { timeout: 180_000 }, async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 2)
  await deploy(plane, 'adder@champion', { follow: { cron: '* * * * *', timeZone: 'Europe/Berlin' } })
  const { url } = plane
  await using model = await loadModel('models:/adder@champion', {
    controlPlane: url,
    store: folder.path,
    follow: { cron: '* * * * *', timeZone: 'Europe/Berlin' },
  })
  const versions = async (): Promise<unknown[]> => {
    const { body } = await plane.ask('GET', '/endpoints/adder')
    return [body.status.revision.variants[0].version, model.version]
  }
  const toMinute = (): number => MINUTE_MS - (Date.now() % MINUTE_MS)
  // The alias moves well before the next full minute.
  if (toMinute() < 5000) await pause(toMinute() + 2000)
  const due = Date.now() + toMinute()
  await setAlias(plane, 2)
  const { body } = await plane.ask('GET', '/endpoints/adder')
  assert.equal(body.status.nextFollowAt, due)
  while (Date.now() < due - 1000) {
    const seen = await versions()
    if (Date.now() < due) assert.deepEqual(seen, [1, '1'], 'nothing moves before the minute is full')
    await pause(500)
  }
  await until(async () => JSON.stringify(await versions()) === '[2,"2"]', 'both have followed', 30_000)
  assert.ok(Date.now() >= due)
  const { body: after } = await plane.ask('GET', '/endpoints/adder')
  assert.equal(after.status.nextFollowAt % MINUTE_MS, 0)
  assert.ok(after.status.nextFollowAt > due)
})

it('a cron line or a time zone that there is not is refused with what was given', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 1)
  const load = (follow: { cron: string; timeZone?: string }) =>
    loadModel('models:/adder@champion', { controlPlane: plane.url, store: folder.path, follow })
  await assert.rejects(load({ cron: 'often' }), { code: 'SLW_CONFIG_INVALID', message: /"often" in UTC/ })
  await assert.rejects(load({ cron: '0 3 * * *', timeZone: 'Mars/Base' }), { code: 'SLW_CONFIG_INVALID', message: /Mars\/Base/ })
})
