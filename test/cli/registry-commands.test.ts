import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { addingModel } from '../adding-models.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'

it('experiments and runs are listed in the order asked for', async () => {
  await using plane = await planeInProcess()
  const mlflow = async (path: string, body: object): Promise<Record<string, any>> =>
    (await (await fetch(`${plane.url}/api/2.0/mlflow/${path}`, { method: 'POST', body: JSON.stringify(body) })).json()) as Record<
      string,
      any
    >
  for (const name of ['b', 'a']) await mlflow('experiments/create', { name })
  const ids: string[] = []
  for (const auc of [0.5, 0.9, 0.7]) {
    const { run } = await mlflow('runs/create', { experiment_id: '1' })
    ids.push(run.info.run_id)
    await mlflow('runs/log-metric', { run_id: run.info.run_id, key: 'auc', value: auc, timestamp: 1 })
  }
  const ask = async (...args: string[]): Promise<string[]> => {
    const { code, stdout, stderr } = await slipway([...args, '--url', plane.url, '-o', 'name'])
    assert.equal(code, 0, stderr)
    return stdout.trim().split('\n')
  }
  assert.deepEqual(await ask('experiment', 'list', '--order-by', 'name ASC', '--filter', "name LIKE '_'"), ['2', '1'])
  assert.deepEqual(await ask('run', 'list', '--order-by', 'metrics.auc DESC'), [ids[1], ids[2], ids[0]])
  assert.deepEqual(await ask('run', 'show', ids[1]!.slice(0, 12)), [ids[1]])
  assert.equal((await slipway(['run', 'show', '0123456789abcdef', '--url', plane.url])).code, 4)
  const wrong = await slipway(['run', 'list', '--order-by', 'auc of it', '--url', plane.url])
  assert.equal(wrong.code, 1)
  assert.match(wrong.stderr, /order_by/)
  assert.equal((await slipway(['model', 'trash', '--url', plane.url])).stdout, 'nothing lies in the trash\n')
})

it('an alias that moves to a version that nobody can serve is set, and the reason is said at once', async () => {
  await using plane = await planeInProcess()
  await plane.ask('POST', '/models', { name: 'm' })
  await plane.ask('POST', '/models/m/versions', { source: 's3://bucket/model' })
  const { code, stdout, stderr } = await slipway(['alias', 'set', 'm@next', '1', '--url', plane.url])
  assert.equal(code, 0, stderr)
  assert.match(stdout, /m@next +m\/1/)
  assert.match(stderr, /No server can serve m\/1: its files are not with this registry/)
})

it('next steps ask the same control plane, environment and key, and are those that make sense', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await plane.ask('POST', '/environments', { name: 'staging' })
  await folder.write('model.onnx', addingModel(1))
  await folder.write('pickle/MLmodel', 'flavors:\n  sklearn: { pickled_model: model.pkl, serialization_format: pickle }\n')
  await folder.write('pickle/model.pkl', Buffer.from([0x80, 4, 0x95, 0, 0, 0, 0, 0, 0, 0, 0, 0x4e, 0x2e]))
  const there = ['--url', plane.url, '--environment', 'staging']
  const pushed = await slipway(['model', 'push', join(folder.path, 'model.onnx'), '--name', 'm', ...there])
  assert.equal(pushed.code, 0, pushed.stderr)
  const [, next = ''] = /^Next: slipway (.*)$/m.exec(pushed.stderr) ?? []
  assert.equal(next, `alias set m@champion 1 --url ${plane.url} --environment staging`)
  assert.equal((await slipway(next.split(' '))).code, 0)
  const useless = await slipway(['model', 'push', join(folder.path, 'pickle'), '--name', 'p', ...there])
  assert.equal(useless.code, 0, useless.stderr)
  assert.doesNotMatch(useless.stderr, /Next:/)
  assert.match(useless.stderr, /It is kept, and no server takes it as it is: .*pickle/)
  // Whoever deletes a champion is told so.
  const tried = await slipway(['model', 'delete', 'm/1', '--dry-run', ...there])
  assert.match(tried.stderr, /m@champion pointed to it, and would be gone with it/)
  const deleted = await slipway(['model', 'delete', 'm/1', ...there])
  assert.equal(deleted.code, 0, deleted.stderr)
  assert.match(deleted.stderr, /m@champion pointed to it, and is gone with it/)
  const [, back = ''] = /back with: slipway (.*)$/m.exec(deleted.stderr) ?? []
  assert.equal(back, `model restore m/1 --url ${plane.url} --environment staging`)
  assert.equal((await slipway(back.split(' '))).code, 0)
  assert.equal((await slipway(['model', 'delete', 'nobody/1', ...there])).code, 4)
})
