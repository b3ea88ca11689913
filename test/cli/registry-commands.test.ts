import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
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
