/** The spool of a server: it survives a kill, stays within its bounds, counts what it drops, and no request waits for it. */
import assert from 'node:assert/strict'
import { appendFile, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { RecordPusher } from '../../src/following/records/record-pusher.ts'
import { RecordCounts } from '../../src/serving/records/record-counts.ts'
import { Recorder } from '../../src/serving/records/recorder.ts'
import { RecordSpool } from '../../src/serving/records/record-spool.ts'
import { closeAbandoned, closedFiles, linesOf, lockOf } from '../../src/serving/records/spool-files.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { Taps } from '../../src/serving/observe/taps.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { adders, follows } from '../following/following.ts'
import { childrenOf, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { endpoint, recordsAt, recordsOnceThere } from './recorded.ts'
import type { RecorderOptions } from '../../src/serving/records/recorder.ts'
import type { RequestContext } from '../../src/serving/context.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'
import type { ChildServer } from '../child-server.ts'

/** Asks a server with rows of `number`, which its record then has. @returns whether it answered */
async function asks(server: Pick<ChildServer, 'url'>, number: number, rows = 1): Promise<boolean> {
  const data = Array.from({ length: rows * 4 }, () => number)
  const body = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: [rows, 4], data }] })
  const headers = { connection: 'close' }
  const response = await fetch(`${server.url}/v2/models/adder/infer`, { method: 'POST', body, headers }).catch(() => undefined)
  await response?.arrayBuffer()
  return response?.status === 200
}

const numbersOf = (records: readonly { inputs: Record<string, unknown> }[]): number[] =>
  records.map(({ inputs }) => (inputs['x'] as number[][])[0]![0]!).toSorted((a, b) => a - b)

async function metric(server: Pick<ChildServer, 'url'>, line: string): Promise<number> {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  return Number(
    text
      .split('\n')
      .find((one) => one.startsWith(`${line} `))
      ?.split(' ')[1],
  )
}

describe('a server that is killed', { timeout: 200_000 }, () => {
  for (const [step, processes] of [
    ['records.spooled', '1'],
    ['records.sent', '1'],
    [undefined, '1'],
    [undefined, '2'],
  ] as const)
    test(`${step === undefined ? 'at some time' : `at ${step}`}, of ${processes} process(es), loses nothing that was written, and nothing comes twice`, async () => {
      await using folder = await temporaryFolder()
      await using plane = await planeInProcess()
      await adders(plane, 1)
      await endpoint(plane, 'adder', { records: 1 })
      const store = join(folder.path, 'store')
      const trigger = join(folder.path, 'now')
      const args = ['--control-plane', plane.url, '--store', store, '--processes', processes, '--instances', '1']
      const written = 40
      {
        await using server = await serveInChild([...args, '--server-name', 'pod-1'], {
          ...(step !== undefined && { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` }),
        })
        await until(() => asks(server, 0), 'it serves')
        for (let number = 1; number <= written; number++) assert.ok(await asks(server, number))
        await until(async () => (await metric(server, 'slipway_records_total')) > written, 'all are on the disk')
        if (step === undefined) for (const child of [...childrenOf(server.pid), server.pid]) process.kill(child, 'SIGKILL')
        else {
          await folder.write('now', '')
          await asks(server, 41)
        }
        await server.exit
      }
      await using _next = await serveInChild([...args, '--server-name', 'pod-2'])
      const records = await recordsOnceThere(plane, written + 1)
      const numbers = numbersOf(records)
      assert.deepEqual([...new Set(numbers)], numbers, 'none is there twice')
      assert.deepEqual(
        numbers.filter((number) => number <= written),
        Array.from({ length: written + 1 }, (_, number) => number),
      )
      const [spool] = await readdir(join(store, 'records'))
      await until(async () => (await closedFiles(join(store, 'records', spool!))).length === 0, 'the spool is empty')
      assert.equal((await recordsAt(plane)).total, numbers.length)
    })
})

async function spoolIn(folder: string, limits: object = {}): Promise<{ spool: RecordSpool; counts: RecordCounts }> {
  const counts = new RecordCounts()
  return { spool: await RecordSpool.open({ folder, counts, clock: systemClock, log: silentLogger, ...limits }), counts }
}

const LINE = JSON.stringify({ text: 'x'.repeat(1000) })

test('a spool that is full drops the newest, counts them, and takes more once there is room', async () => {
  await using folder = await temporaryFolder()
  const { spool, counts } = await spoolIn(folder.path, { bytesMax: 20_000, fileBytesMax: 5000 })
  await using _spool = spool
  for (let number = 0; number < 100; number++) {
    spool.add(LINE)
    if (number % 4 === 3) await spool.closeFile()
  }
  assert.equal(counts.why, '81 full')
  const files = await closedFiles(folder.path)
  assert.equal((await Promise.all(files.map((name) => linesOf(folder.path, name)))).flat().length, 19)
  for (const name of await readdir(folder.path)) if (name.endsWith('.jsonl')) await rm(join(folder.path, name))
  await spool.closeFile()
  spool.add(LINE)
  await spool.closeFile()
  assert.equal((await closedFiles(folder.path)).length, 1)
})

test('what the disk does not take is counted, and nobody waits for a slow one', async () => {
  await using folder = await temporaryFolder()
  const place = join(folder.path, 'spool')
  const { spool, counts } = await spoolIn(place, { unwrittenBytesMax: 5000 })
  for (let number = 0; number < 10; number++) spool.add(LINE)
  assert.equal(counts.why, '6 disk')
  await rm(place, { recursive: true })
  await spool.closeFile()
  assert.equal(counts.why, '10 disk')
  await spool[Symbol.asyncDispose]()
})

test('a file whose last line was cut off gives the others, and one of a process that runs is left to it', async () => {
  await using folder = await temporaryFolder()
  const { spool } = await spoolIn(folder.path)
  await using _spool = spool
  spool.add(LINE)
  await until(async () => (await readdir(folder.path)).some((name) => name.endsWith('.open')), 'it is written')
  const boot = '0123456789abcdef'
  await writeFile(lockOf(folder.path, boot), '')
  await writeFile(join(folder.path, `${boot}-000000003.jsonl.open`), `${LINE}\n${LINE}\n`)
  await appendFile(join(folder.path, `${boot}-000000003.jsonl.open`), LINE.slice(0, 500))
  await closeAbandoned(folder.path)
  const names = await closedFiles(folder.path)
  assert.deepEqual(names, [{ bootId: boot, sequence: 3 }])
  assert.deepEqual(await linesOf(folder.path, names[0]!), [LINE, LINE])
  assert.deepEqual(
    (await readdir(folder.path)).filter((name) => name.startsWith(boot)),
    [`${boot}-000000003.jsonl`],
  )
})

test('what the control plane refuses for good holds up nothing, and what it cannot take now stays', async () => {
  await using folder = await temporaryFolder()
  const { spool } = await spoolIn(folder.path)
  await using _spool = spool
  for (let file = 0; file < 3; file++) {
    spool.add(LINE)
    await spool.closeFile()
  }
  const sent: number[] = []
  let away = true
  const client = {
    sendRecords: async (_: string, { sequence }: { sequence: number }) => {
      if (away) throw new SlipwayError('SLW_UNREACHABLE', 'nobody is there')
      if (sequence === 1) throw new SlipwayError('SLW_INPUT_INVALID', 'no')
      sent.push(sequence)
    },
  }
  await using pusher = new RecordPusher({ folder: folder.path, client, server: 'one', clock: systemClock, log: silentLogger })
  await pusher.push()
  assert.equal((await closedFiles(folder.path)).length, 3)
  away = false
  await pusher.push()
  assert.deepEqual([sent, pusher.refused, await closedFiles(folder.path)], [[0, 2], 1, []])
})

test('a prediction that is too large has no record, is counted, and is answered all the same', { timeout: 60_000 }, async () => {
  await using folder = await temporaryFolder()
  await using plane = await planeInProcess()
  await adders(plane, 1)
  await endpoint(plane, 'adder', { records: 1 })
  await using server = await follows(plane.url, folder.path)
  assert.ok(await asks(server, 1, 5000))
  assert.ok(await asks(server, 2))
  assert.equal(await metric(server, 'slipway_records_dropped_total{reason="too_large"}'), 1)
  assert.deepEqual(numbersOf(await recordsOnceThere(plane, 1)), [2])
})

test('the inputs of requests that are never answered are let go, and those of too many at once are not kept', async () => {
  const clock = new ManualClock()
  const counts = new RecordCounts()
  const subject = { endpoint: 'e', variant: 'main', model: 'm', version: '1' }
  const signature = { features: undefined, inputs: [{ name: 'x' }], outputs: [{ name: 'y' }] }
  const loaded = { signature, serving: { records: 1, recordsDrop: [], recordsHash: [] }, package: { document: {} } }
  const taps = new Taps(100)
  const lines: string[] = []
  const dataPlane = { taps, variants: () => [{ subject, loaded }], watch: () => () => {} }
  await using _recorder = new Recorder({
    dataPlane: dataPlane as unknown as RecorderOptions['dataPlane'],
    spool: { add: (line: string) => void lines.push(line), closeFile: () => Promise.resolve() },
    counts,
    hashKey: new Uint8Array(32),
    clock,
    log: silentLogger,
  })
  const tensor = (name: string): Tensor => ({ name, datatype: 'FP32', shape: [1, 10], data: new Float32Array(10) })
  const decision = { endpoint: 'e', assigned: 'main', served: 'main', segment: 1, assignment: 'only', unit: undefined, point: undefined }
  const see = (id: number) =>
    taps.open({
      context: {
        predictionId: `p${id}`,
        decision,
        deadlineMs: clock.monotonicMs() + 500,
        startedMs: clock.monotonicMs(),
      } as RequestContext,
      subject,
      inputs: [tensor('x')],
      rows: 1,
    })
  // Each has 40 bytes of 100.
  for (let id = 0; id < 4; id++) see(id)
  assert.equal(counts.why, '2 memory')
  clock.advance(3000)
  const take = see(5)
  assert.ok(take !== undefined, 'those before have been let go')
  take([tensor('y')])
  await until(() => lines.length === 1, 'it is written')
  assert.equal((JSON.parse(lines[0]!) as { id: string }).id, 'p5')
})
