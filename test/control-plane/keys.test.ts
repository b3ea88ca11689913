import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { ROOT } from '../fixtures.ts'
import { newPostgres } from '../storage/databases.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { upInChild } from './up-in-child.ts'

const slipway = async (...args: string[]): Promise<string> =>
  (await promisify(execFile)(process.execPath, [join(ROOT, 'bin/slipway'), ...args])).stdout.trim()

it('once there is a key nothing is open without one, and each opens what its scope says until it is revoked', async () => {
  await using folder = await temporaryFolder()
  const data = ['--data', folder.path]
  const writer = await slipway('keys', 'create', 'anna', '--scope', 'write', ...data)
  const reader = await slipway('keys', 'create', 'bob', '--scope', 'read', ...data)
  const expired = await slipway('keys', 'create', 'carl', '--expires', '1ms', ...data)
  const ask = async (url: string, key: string | undefined, scheme: 'Bearer' | 'Basic' = 'Bearer'): Promise<[number, number]> => {
    const value = scheme === 'Basic' ? Buffer.from(`anybody:${key}`).toString('base64') : key
    const headers = { 'content-type': 'application/json', ...(key !== undefined && { authorization: `${scheme} ${value}` }) }
    const read = await fetch(`${url}/api/2.0/mlflow/experiments/get?experiment_id=0`, { headers })
    const body = JSON.stringify({ experiment_id: '0', key: 'k', value: 'v' })
    const write = await fetch(`${url}/api/2.0/mlflow/experiments/set-experiment-tag`, { method: 'POST', headers, body })
    return [read.status, write.status]
  }
  {
    await using plane = await upInChild([...data, '--no-server'])
    assert.deepEqual(await ask(plane.url, undefined), [401, 401])
    assert.deepEqual(await ask(plane.url, writer), [200, 200])
    assert.deepEqual(await ask(plane.url, writer, 'Basic'), [200, 200])
    assert.deepEqual(await ask(plane.url, reader), [200, 403])
    assert.deepEqual(await ask(plane.url, expired), [401, 401])
    assert.deepEqual(await ask(plane.url, `${writer}x`), [401, 401])
    assert.equal((await fetch(`${plane.url}/health`)).status, 200)
    assert.ok(!plane.said().includes(writer))
    await assert.rejects(slipway('keys', 'list', ...data), /SLW_DATABASE_IN_USE/)
  }
  const line = (await slipway('keys', 'list', ...data)).split('\n').find((text) => text.includes('anna'))
  assert.match(line ?? '', /slw_\w+ +write +\d{4}-\d\d-\d\d +in force/)
  assert.ok(line !== undefined && !line.includes(writer))
  await slipway('keys', 'revoke', line.split(' ')[0]!, ...data)
  await using plane = await upInChild([...data, '--no-server'])
  assert.deepEqual(await ask(plane.url, writer), [401, 401])
  // With a key there is, others may reach it.
  await using open = await upInChild(['--data', join(folder.path, 'other'), '--no-server', '--host', '127.0.0.1'])
  assert.deepEqual(await ask(open.url, undefined), [200, 200])
})

it('the first key is one that can make the others, so that nobody is locked out', async () => {
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--no-server'])
  const at = ['--url', plane.url]
  const first = ['--role', 'developer', ...at]
  await assert.rejects(slipway('token', 'create', 'trainer', ...first), /would be the first key.*token create NAME --role admin/s)
  for (const limit of [
    ['--in', 'default'],
    ['--model', 'm*'],
    ['--expires', '1h'],
  ])
    await assert.rejects(slipway('token', 'create', 'root', '--role', 'admin', ...limit, ...at), /would be the first key/)
  assert.match(await slipway('token', 'list', '--all', ...at), /none|no tokens/)
  const root = join(folder.path, 'root')
  await writeFile(root, await slipway('token', 'create', 'root', '--role', 'admin', ...at))
  await assert.rejects(slipway('model', 'list', ...at), /a key is needed/)
  const trainer = await slipway('token', 'create', 'trainer', ...first, '--key-file', root)
  assert.match(trainer, /^slw_/)
  const listed = (await slipway('token', 'list', '--all', ...at, '--key-file', root)).split('\n')
  const id = /trainer +(\w+)/.exec(listed.find((line) => line.includes('trainer')) ?? '')?.[1]
  await slipway('token', 'revoke', id ?? '', '--machine', ...at, '--key-file', root)
  const answer = await fetch(`${plane.url}/api/v1/models`, { headers: { authorization: `Bearer ${trainer}` } })
  assert.equal(answer.status, 401)
})

it('a PostgreSQL database that is behind is refused with the command that helps, and the command helps', async () => {
  await using folder = await temporaryFolder()
  const url = await newPostgres()
  const args = ['--data', folder.path, '--no-server', '--db', url]
  await assert.rejects(upInChild(args), /run: slipway migrate --db/)
  assert.match(await slipway('migrate', '--db', url), /Applied: 0001-registry/)
  assert.match(await slipway('migrate', '--db', url), /up to date/)
  await using first = await upInChild(args)
  await using second = await upInChild([...args.slice(0, 1), join(folder.path, 'second'), ...args.slice(2)])
  await first.call('POST', 'registered-models/create', { name: 'shared' })
  assert.equal((await second.call('GET', 'registered-models/get', { name: 'shared' })).status, 200)
})
