import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'

it('what is done in the background is listed, counted, cancelled and tried again', async () => {
  await using plane = await planeInProcess({ allowPrivateAddresses: true })
  const standing = await plane.ask('GET', '/work')
  assert.deepEqual(
    new Set(standing.body.items.map(({ kind, key }: Record<string, string>) => `${kind} ${key}`)),
    new Set(['webhooks webhooks', 'follow follow', 'records records', 'rollouts rollouts', 'upkeep upkeep']),
  )
  // A server that is not there.
  const { body: begun, status } = await plane.ask('POST', '/imports', { from: 'http://127.0.0.1:1' })
  assert.equal(status, 202)
  const state = async () => (await plane.ask('GET', `/imports/${begun.id}`)).body.state
  await until(async () => (await state()) === 'failed', 'it fails')
  const listed = await slipway(['work', 'list', '--state', 'failed', '--url', plane.url])
  assert.match(listed.stdout, /import +failed +1 of 5 .*127\.0\.0\.1:1/)
  const page = await plane.ask('GET', '/work?limit=2')
  assert.deepEqual([page.body.items.length, page.body.total], [2, 6])
  const rest = await plane.ask('GET', `/work?limit=2&pageToken=${page.body.nextPageToken}`)
  assert.equal(new Set([...page.body.items, ...rest.body.items].map(({ id }: { id: string }) => id)).size, 4)
  assert.equal((await plane.ask('GET', '/work?pageToken=x')).status, 400)
  assert.match(await (await fetch(`${plane.url}/metrics`)).text(), /^slipway_work_items\{kind="import",state="failed"\} 1$/m)
  assert.equal((await plane.ask('POST', `/work/${begun.id}/retry`)).status, 200)
  await until(async () => (await state()) === 'failed', 'it was tried once more')
  assert.equal((await plane.ask('POST', `/work/${begun.id}/cancel`)).status, 409, 'it has ended')
  const { id } = standing.body.items[0]
  assert.match((await plane.ask('POST', `/work/${id}/cancel`)).body.detail, /again and again by the control plane itself/)
})

it('an import that was begun with credentials is failed by the next control plane, with what to do, and is known to it', async () => {
  await using folder = await temporaryFolder()
  const args = ['--data', folder.path, '--no-server', '--allow-private-addresses']
  let id = ''
  {
    const trigger = join(folder.path, 'kill')
    await using plane = await upInChild(args, { SLIPWAY_FAIL_POINTS: `work.ended:kill@${trigger}` })
    const upkeep = async () => await (await fetch(`${plane.url}/api/v1/work?kind=upkeep`)).text()
    await until(async () => (await upkeep()).includes('"result"'), 'what is done at the start is done')
    await folder.write('kill', '')
    const body = JSON.stringify({ from: 'http://127.0.0.1:1', token: 'secret of somebody' })
    const headers = { 'content-type': 'application/json' }
    const response = await fetch(`${plane.url}/api/v1/imports`, { method: 'POST', headers, body })
    ;({ id } = (await response.json()) as { id: string })
    await plane.exit
  }
  await using plane = await upInChild(args)
  const status = async () => (await (await fetch(`${plane.url}/api/v1/imports/${id}`)).json()) as { state: string; error?: string }
  await until(async () => (await status()).state === 'failed', 'it is over')
  assert.match((await status()).error!, /import again with them, and it goes on where it was/)
  const items = await (await fetch(`${plane.url}/api/v1/work?kind=import`)).text()
  assert.ok(!items.includes('secret of somebody'), 'credentials are written down nowhere')
})
