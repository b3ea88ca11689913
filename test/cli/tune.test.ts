import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { cp, readdir, readFile } from 'node:fs/promises'
import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseDocument } from 'yaml'
import { watchOthers } from '../../src/cli/tune/others-share.ts'
import { pointOf, scoreOf } from '../../src/cli/tune/point.ts'
import { processTree, treeMemoryBytes } from '../../src/cli/tune/process-memory.ts'
import { openTrial } from '../../src/cli/tune/trial.ts'
import { withServing } from '../../src/cli/tune/write-serving.ts'
import { Histogram, LATENCY_EDGES } from '../../src/contract/statistics/histogram.ts'
import { usableCores } from '../../src/core/cores.ts'
import { candidatesFor, keyOf } from '../../src/cli/tune/candidates.ts'
import { serveInChild } from '../child-server.ts'
import { alive, example, ROOT, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from './slipway.ts'
import type { Candidate } from '../../src/cli/tune/candidates.ts'
import type { Point, Sample } from '../../src/cli/tune/point.ts'
import type { TuneResult } from '../../src/cli/tune/report.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

const CORES = usableCores().count
const PRESENT: Candidate = { instances: 1, threads: 1, maxBatchSize: 32 }
const HAND_WRITTEN =
  '\n# ours, see the wiki\nserving: # asked for by the web team\n  instances: 1      # was 2\n  maxDelayUs: 100   # keep\n'

/** The churn package, with a serving section that a person wrote. */
async function churn(): Promise<TemporaryFolder & { file: string; text: string }> {
  const folder = await temporaryFolder()
  await cp(example('churn'), folder.path, { recursive: true })
  const text = (await readFile(join(folder.path, 'slipway.yaml'), 'utf8')).replace(/\nserving:.*\n/, '\n') + HAND_WRITTEN
  return { ...folder, file: await folder.write('slipway.yaml', text), text }
}

async function filesOf(folder: TemporaryFolder): Promise<string[]> {
  return (await readdir(folder.path)).toSorted()
}

/** The rows of the printed table as `1x2/32`. */
function candidatesIn(stdout: string): string[] {
  return [...stdout.matchAll(/^ +(\d+) +(\d+) +(\d+) {2}/gm)].map(([, instances, threads, maxBatchSize]) =>
    keyOf({ instances: Number(instances), threads: Number(threads), maxBatchSize: Number(maxBatchSize) }),
  )
}

/** Flags, and variables of the allocator, that a process began with. */
async function beginningOf(pid: number): Promise<{ flags: string[]; variables: string[] }> {
  const parts = async (file: string): Promise<string[]> => (await readFile(`/proc/${pid}/${file}`, 'utf8')).split('\0')
  return {
    flags: (await parts('cmdline')).filter((part) => part.startsWith('--max-semi')),
    variables: (await parts('environ')).filter((part) => part.startsWith('MALLOC_')).toSorted(),
  }
}

it(
  'a trial server begins as slipway serve does: another allocator, or heap, would be another server',
  { skip: process.platform !== 'linux' },
  async () => {
    await using server = await serveInChild([example('churn')])
    const before = new Set(processTree(process.pid))
    await using _trial = await openTrial({
      server: { models: [{ path: example('churn') }] },
      body: undefined,
      signal: new AbortController().signal,
    })
    const pid = processTree(process.pid).find((one) => !before.has(one))
    const served = await beginningOf(server.pid)
    assert.deepEqual([served.flags.length, served.variables.length], [1, 2])
    assert.deepEqual(await beginningOf(pid ?? 0), served)
  },
)

describe('slipway tune', () => {
  it('lists all candidates and writes the best to slipway.yaml, whose every other character stays', async () => {
    await using folder = await churn()
    const before = await filesOf(folder)
    const { code, stdout, stderr } = await slipway(['tune', folder.path, '--budget', '5s'])
    assert.equal(code, 0, stderr)
    const wanted = candidatesFor({ cores: CORES, batchable: true, present: PRESENT }).map(keyOf)
    assert.deepEqual(candidatesIn(stdout).toSorted(), wanted.toSorted(), stdout)
    assert.match(stdout, /  now$|best, now$/m)
    const flags = /best +--instances (\d+) --threads (\d+) --max-batch-size (\d+)/.exec(stdout)?.slice(1).map(Number) ?? []
    const after = await readFile(folder.file, 'utf8')
    const { serving } = parseDocument(after).toJS() as { serving: Record<string, number> }
    assert.deepEqual([serving['instances'], serving['threads'], serving['maxBatchSize']], flags)
    assert.equal(serving['maxDelayUs'], 100)
    const expected = `${folder.text.replace('instances: 1 ', `instances: ${flags[0]} `)}  threads: ${flags[1]}\n  maxBatchSize: ${flags[2]}\n`
    assert.equal(after, expected)
    assert.deepEqual(await filesOf(folder), before)
    assert.match(stdout, /^predicted .*\n^confirmed /m)
    assert.match(stderr, /s left$/m)
  })

  it('with a goal that nothing meets it exits with 3, names the nearest, and changes nothing', async () => {
    await using folder = await churn()
    const before = await filesOf(folder)
    const { code, stdout, stderr } = await slipway(['tune', folder.path, '--latency-goal', '0.001ms', '--budget', '3s'])
    assert.equal(code, 3, stderr)
    assert.match(stdout, /no configuration meets p99 <= 1 us; the nearest is --instances \d+/)
    assert.match(stderr, /^hint: /m)
    assert.equal(await readFile(folder.file, 'utf8'), folder.text)
    assert.deepEqual(await filesOf(folder), before)
  })

  it('for a bare file it prints flags that serve accepts, and as JSON a TuneResult', async () => {
    await using folder = await temporaryFolder()
    const file = join(folder.path, 'bare.onnx')
    await cp(join(example('churn'), 'model.onnx'), file)
    const { code, stdout, stderr } = await slipway(['tune', file, '--budget', '3s', '--json'])
    assert.equal(code, 0, stderr)
    const result = JSON.parse(stdout) as TuneResult
    assert.deepEqual([result.kind, result.outcome, result.written], ['TuneResult', 'found', undefined])
    assert.ok(result.predicted !== undefined && result.predicted.repeats > 1 && result.predicted.errors === 0)
    assert.equal(result.confirmed?.best.clients, result.predicted.clients)
    const measured = result.candidates.filter((row) => row.score !== undefined)
    assert.ok(measured.length >= 2 && measured.every((row) => (row.memoryBytes ?? 0) > 1_000_000), stdout)
    assert.match(stderr, /a bare file has no slipway\.yaml/)
    const line = /slipway (serve .*)$/m.exec(stderr)?.[1]?.split(' ') ?? []
    assert.equal((await slipway([...line, '--dry-run'])).code, 0)
    assert.deepEqual(await filesOf(folder), ['bare.onnx'])
  })

  for (const [how, signal] of [
    ['Ctrl-C', 'SIGINT'],
    ['a kill', 'SIGKILL'],
  ] as const)
    it(`interrupted by ${how} it leaves no process and no temporary file, and the package as it was`, async () => {
      await using folder = await churn()
      const before = await filesOf(folder)
      const child = spawn(process.execPath, [join(ROOT, 'bin/slipway'), 'tune', folder.path, '--budget', '60s'])
      const ended = new Promise<number | null>((resolve) => child.once('exit', resolve))
      let stdout = ''
      let stderr = ''
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
      await until(() => /^2 of /m.test(stderr), 'the second candidate is measured')
      const tree = processTree(child.pid ?? 0)
      assert.ok(tree.length > 1, 'a trial server runs')
      child.kill(signal)
      const code = await ended
      if (signal === 'SIGINT') {
        assert.equal(code, 130, stderr)
        assert.match(stdout, /not measured/)
        assert.match(stdout, /now$/m, 'what was found so far is printed')
        assert.match(stderr, /unfinished: nothing was written/)
      }
      await until(() => tree.every((pid) => !alive(pid)), 'every process is gone')
      assert.equal(await readFile(folder.file, 'utf8'), folder.text)
      assert.deepEqual(await filesOf(folder), before)
    })

  it('refuses a body that the model refuses, and a folder of several models, before it measures', async () => {
    await using folder = await temporaryFolder()
    const body = await folder.write('body.json', '{"plan": "gold"}')
    const refused = await slipway(['tune', example('churn'), '--body', body, '--dry-run'])
    assert.equal(refused.code, 1)
    assert.match(refused.stderr, /inputs\[0\]\.plan/)
    assert.equal((await slipway(['tune', join(ROOT, 'examples'), '--dry-run'])).code, 2)
    assert.equal((await slipway(['tune', example('churn'), '--budget', '0s'])).code, 2)
  })
})

describe('what tuning chooses among', () => {
  it('candidates never ask for more threads than cores, the present settings apart, which come first', () => {
    for (const cores of [1, 2, 3, 16]) {
      const present = { instances: 5, threads: 4, maxBatchSize: 64 }
      const [first, ...others] = candidatesFor({ cores, batchable: true, present })
      assert.equal(first, present)
      assert.ok(others.every(({ instances, threads }) => instances * threads <= cores || (instances === 5 && threads === 4)))
      assert.equal(new Set([first, ...others].map(keyOf)).size, others.length + 1)
      for (const size of [1, 8, 32, 128]) assert.ok(others.some((candidate) => candidate.maxBatchSize === size))
    }
    assert.ok(candidatesFor({ cores: 4, batchable: false, present: PRESENT }).every(({ maxBatchSize }) => maxBatchSize === 32))
  })

  const point = (clients: number, requestsPerSecond: number, p99Ms: number, errors = 0): Point => ({
    clients,
    requestsPerSecond,
    p50Ms: p99Ms / 2,
    p99Ms,
    errors,
    repeats: 1,
  })

  it('the score is the highest throughput within the goal, at the fewest clients that reach it', () => {
    const points = [point(1, 100, 5), point(2, 190, 8), point(4, 195, 15), point(8, 300, 30)]
    assert.deepEqual(scoreOf(points, 20), { point: points[1], met: true })
    assert.deepEqual(scoreOf(points, undefined), { point: points[3], met: true })
    assert.deepEqual(scoreOf(points, 3), { point: points[0], met: false })
  })

  it('repeats are one point: the median throughput, and the p99 of all requests together', () => {
    const sample = (requestsPerSecond: number, slow: number): Sample => {
      const latency = new Histogram(LATENCY_EDGES)
      for (let request = 0; request < 100; request++) latency.observe(request < slow ? 0.5 : 0.01)
      return { clients: 4, requestsPerSecond, errors: 1, latency: latency.snapshot() }
    }
    const { p50Ms, p99Ms, ...rest } = pointOf([sample(90, 0), sample(100, 0), sample(10, 30)])
    assert.deepEqual(rest, { clients: 4, requestsPerSecond: 90, errors: 3, repeats: 3 })
    // Two repeats of three saw nothing slow; a tenth of all requests was.
    assert.ok(p50Ms < 12 && p99Ms > 400, `${p50Ms} ${p99Ms}`)
  })

  it('a level with errors does not count', () => {
    const points = [point(1, 100, 5), point(2, 900, 1, 3)]
    assert.equal(scoreOf(points, undefined)?.point, points[0])
    assert.equal(scoreOf(points.slice(1), undefined), undefined)
  })

  it('memory is that of a process and its children', async () => {
    const child = spawn(process.execPath, ['-e', 'console.log(1); setInterval(() => {}, 1000)'], { stdio: ['ignore', 'pipe', 'ignore'] })
    await new Promise((resolve) => child.stdout.once('data', resolve))
    const alone = treeMemoryBytes(child.pid ?? 0) ?? 0
    const together = treeMemoryBytes(process.pid) ?? 0
    assert.ok(alone > 1_000_000 && together > alone, `${alone} ${together}`)
    const gone = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await gone
  })
})

describe('what disturbs a tuning', () => {
  it('is told as the share of the machine that programs took which are not its own', async () => {
    const others = watchOthers()
    assert.equal(others(), undefined, 'too early to tell')
    const busy = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' })
    const gone = new Promise((resolve) => busy.once('exit', resolve))
    await until(() => others() !== undefined, 'there is something to tell')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const share = others() ?? 0
    busy.kill('SIGKILL')
    await gone
    // One core, less what a crowded machine leaves of it.
    assert.ok(share > 0.2 / availableParallelism() && share <= 1, String(share))
  })
})

describe('values put into slipway.yaml', () => {
  const values = { instances: 2, threads: 1, maxBatchSize: 8 }
  const cases: readonly (readonly [title: string, before: string, after: string])[] = [
    ['an empty file', '', 'serving:\n  instances: 2\n  threads: 1\n  maxBatchSize: 8\n'],
    [
      'no serving section, and no line end',
      'labels:   [a,b] # x',
      'labels:   [a,b] # x\n\nserving:\n  instances: 2\n  threads: 1\n  maxBatchSize: 8\n',
    ],
    [
      'a section in one line',
      'serving: { maxBatchSize: 64 }   # x\nname: b # y\n',
      'serving: { maxBatchSize: 8, instances: 2, threads: 1 }   # x\nname: b # y\n',
    ],
    ['a section without a value', 'serving:\nname: b\n', 'serving:\n  instances: 2\n  threads: 1\n  maxBatchSize: 8\nname: b\n'],
    [
      'comments between and after',
      'serving:\n  # inst\n  instances: 9   # many\n\n# after\nname: b\n',
      'serving:\n  # inst\n  instances: 2   # many\n  threads: 1\n  maxBatchSize: 8\n\n# after\nname: b\n',
    ],
    [
      'line ends of another system',
      'serving:\r\n  threads: 2 # t\r\nname: b\r\n',
      'serving:\r\n  threads: 1 # t\r\n  instances: 2\r\n  maxBatchSize: 8\r\nname: b\r\n',
    ],
  ]
  for (const [title, before, after] of cases) it(title, () => assert.equal(withServing(before, values), after))

  it('a section that is an alias becomes a section of its own with the same other values', () => {
    const after = withServing('inputs: &a { maxDelayUs: 7 }\nserving: *a\n', values)
    assert.deepEqual(parseDocument(after).toJS(), { inputs: { maxDelayUs: 7 }, serving: { maxDelayUs: 7, ...values } })
  })
})
