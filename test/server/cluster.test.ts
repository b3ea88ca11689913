import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { ADMIN, serveInChild } from '../child-server.ts'
import { alive, childrenOf, post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { ModelStatistics } from '../../src/protocol/v2/statistics.ts'
import type { ChildServer } from '../child-server.ts'

/** On a connection of its own, so that it may come to any of the processes. */
async function added(server: ChildServer): Promise<number> {
  const { status, text } = await ask(`${server.url}/v2/models/m/infer`, { method: 'POST', body: QUESTION })
  assert.equal(status, 200, text)
  return (JSON.parse(text) as { outputs: { data: number[] }[] }).outputs[0]!.data[0]! - 1
}

async function addedByAll(server: ChildServer): Promise<Set<number>> {
  return new Set(await Promise.all(Array.from({ length: 12 }, () => added(server))))
}

async function metric(server: ChildServer, line: RegExp): Promise<number> {
  const { text } = await ask(`${server.url}/metrics`)
  const sums = text.matchAll(new RegExp(line.source, 'gm')).map((match) => Number(match[1]))
  return sums.reduce((sum, value) => sum + value, 0)
}

const ROWS = /^slipway_rows_total\{.*\} (\d+)$/

describe('a server of two processes', () => {
  it('counts as one, changes in all of them or in none, and outlives the end of one', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m/1/model.onnx', addingModel(1))
    await folder.write('m/spare.onnx', addingModel(2))
    const trigger = join(folder.path, 'fail-once')
    await using server = await serveInChild(
      [`m=${join(folder.path, 'm')}`, '--processes', '2', '--instances', '1', '--memory-budget-mb', '2000', '--drain-pause', '50ms'],
      { SLIPWAY_FAIL_POINTS: `load.read:throw@${trigger}` },
    )
    assert.deepEqual(await addedByAll(server), new Set([1]))
    assert.equal(await metric(server, /^slipway_processes (\d+)$/), 2)
    assert.equal(await metric(server, ROWS), 12)
    for (let asked = 0; asked < 4; asked++) {
      const { text } = await ask(`${server.url}/v2/models/m/stats`)
      const [{ inference_count: rows, inference_stats: stats }] = (JSON.parse(text) as { model_stats: [ModelStatistics] }).model_stats
      assert.deepEqual([rows, stats.success.count], [12, 12], 'statistics are of the server, whichever process is asked')
    }
    assert.equal(await metric(server, /^slipway_memory_budget_bytes (\d+)$/), 2000 * 1024 * 1024, 'each has its share')

    const spare = { model_path: join(folder.path, 'm/spare.onnx') }
    await folder.write('fail-once', '')
    const failed = await post(`${server.url}/admin/switch_model`, spare, ADMIN)
    assert.equal(failed.status, 422, JSON.stringify(failed.body))
    assert.match(String(failed.body['error']), /injected/)
    assert.deepEqual(await addedByAll(server), new Set([1]), 'one process could not: none has')

    const switched = await post(`${server.url}/admin/switch_model`, spare, ADMIN)
    assert.equal(switched.status, 200, JSON.stringify(switched.body))
    assert.deepEqual(await addedByAll(server), new Set([2]), 'when it has been answered, every process has it')

    const before = await metric(server, ROWS)
    const [victim] = childrenOf(server.pid)
    assert.ok(victim !== undefined)
    process.kill(victim, 'SIGKILL')
    await until(async () => (await metric(server, /^slipway_process_restarts_total (\d+)$/)) === 1, 'the end of a process is noticed')
    await until(
      async () => childrenOf(server.pid).length === 2 && (await metric(server, /^slipway_processes (\d+)$/)) === 2,
      'another is started',
    )
    await until(
      async () => (await metric(server, /^slipway_model_ready\{.*version="spare"\} (\d+)$/)) === 1,
      'it serves what was switched to',
    )
    assert.deepEqual(await addedByAll(server), new Set([2]))
    assert.ok((await metric(server, ROWS)) >= before + 12, 'what the ended process had counted still counts')

    server.signal('SIGTERM')
    assert.equal(await server.exit, 0, server.said().slice(-1500))
  })

  it('ends when its primary is killed', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m.onnx', addingModel(1))
    await using server = await serveInChild([join(folder.path, 'm.onnx'), '--processes', '2', '--instances', '1'])
    const children = childrenOf(server.pid)
    assert.equal(children.length, 2)
    server.signal('SIGKILL')
    await until(() => children.every((pid) => !alive(pid)), 'no process is left')
  })
})
