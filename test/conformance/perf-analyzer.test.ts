/** perf_analyzer of Triton, as it comes from PyPI: it reads metadata, configuration and statistics, and believes what they say. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { perfAnalyzer } from '../../scripts/perf-analyzer.ts'
import { startServer } from '../../src/server/start-server.ts'
import { addingModel, WIDTH } from '../adding-models.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const WINDOW_MS = 1000
const TIMEOUT_MS = 90_000

let folder: TemporaryFolder
let server: SlipwayServer

before(async () => {
  folder = await temporaryFolder()
  const path = await folder.write('adder.onnx', addingModel(1))
  server = await startServer({ models: [{ path }], port: 0, serving: { instances: 1, inlineMaxUs: 0 } })
})
after(async () => {
  await server.close()
  await folder[Symbol.asyncDispose]()
})

describe('perf_analyzer, unmodified', () => {
  it('measures requests over HTTP, and the parts of their time that the server tells', async (t) => {
    const [row] = await measure('plain', ['--concurrency-range', '4'])
    t.diagnostic(JSON.stringify(row))
    assert.ok(row!['Inferences/Second']! > 0)
    assert.ok(row!['Server Compute Infer']! > 0, 'microseconds of a run')
    assert.ok(row!['Server Queue']! + row!['Server Compute Infer']! + row!['Server Compute Output']! < row!['Avg latency']!)
  })

  it('measures calls over gRPC, of many at a time', async () => {
    const [row] = await measure('grpc', ['-i', 'grpc', '--concurrency-range', '8'], server.grpc)
    assert.ok(row!['Inferences/Second']! > 0)
    assert.ok(row!['Server Compute Infer']! > 0, 'microseconds of a run')
  })

  it('sends batches, as the configuration allows them', async () => {
    const before = statistics(await ask())
    const [row] = await measure('batches', ['--concurrency-range', '1', '-b', '8'])
    assert.ok(row!['Inferences/Second']! > 0)
    const after = statistics(await ask())
    assert.equal((after.rows - before.rows) % 8, 0, 'rows of whole requests')
    assert.equal(after.rows - before.rows, 8 * (after.requests - before.requests))
  })
})

async function ask(): Promise<unknown> {
  return await (await fetch(`${server.url}/v2/models/adder/stats`)).json()
}

function statistics(answer: unknown): { rows: number; requests: number } {
  const { model_stats: models } = answer as { model_stats: { inference_count: number; inference_stats: { success: { count: number } } }[] }
  return { rows: models[0]!.inference_count, requests: models[0]!.inference_stats.success.count }
}

/** @returns a row for each load, by the names of its columns */
async function measure(name: string, words: readonly string[], address = new URL(server.url).host): Promise<Record<string, number>[]> {
  const { command, env } = await perfAnalyzer()
  const file = join(folder.path, `${name}.csv`)
  const load = ['-m', 'adder', '-u', address, '--shape', `x:${WIDTH}`, ...words]
  // Three windows in a row are to be as stable as one wants: here any are.
  const windows = ['--measurement-interval', String(WINDOW_MS), '--max-trials', '10', '--stability-percentage', '999']
  await promisify(execFile)(command, [...load, ...windows, '--verbose-csv', '-f', file], {
    env: { ...process.env, ...env },
    timeout: TIMEOUT_MS,
  })
  const [head = '', ...lines] = (await readFile(file, 'utf8')).trim().split('\n')
  const columns = head.split(',')
  return lines.map((line) => Object.fromEntries(line.split(',').map((cell, index) => [columns[index], Number(cell)])))
}
