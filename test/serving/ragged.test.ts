import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { bucketOf, groupRows } from '../../src/serving/scheduler/ragged.ts'
import { randomFrom } from '../soak/random.ts'
import { FakeRunner } from './fake-runner.ts'
import { setUp, submit, turns } from './scheduling.ts'
import type { RowPadding } from '../../src/serving/scheduler/ragged.ts'
import type { WorkRequest } from '../../src/serving/scheduler/scheduler.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const PAD = 9n
const OUTPUTS = ['doubled', 'sum', 'echo']

function padding(more: Partial<RowPadding> = {}): RowPadding {
  return { fillings: [Number(PAD), 0], side: 'right', perToken: new Set(['doubled', 'echo']), pads: true, ...more }
}

/** A request of texts: ids that no other has, and a mask. */
function texts(lengths: readonly number[], filling: RowPadding, more: Partial<WorkRequest> = {}): WorkRequest {
  const longest = Math.max(...lengths)
  const ids = new BigInt64Array(lengths.length * longest).fill(PAD)
  const mask = new BigInt64Array(lengths.length * longest)
  for (const [row, length] of lengths.entries()) {
    const start = row * longest + (filling.side === 'left' ? longest - length : 0)
    for (let at = 0; at < length; at++) {
      ids[start + at] = BigInt(100 + nextId++)
      mask[start + at] = 1n
    }
  }
  const shape = [lengths.length, longest]
  return {
    inputs: [
      { name: 'input_ids', datatype: 'INT64', shape, data: ids },
      { name: 'attention_mask', datatype: 'INT64', shape, data: mask },
    ],
    outputs: OUTPUTS,
    rows: lengths.length,
    key: '',
    priority: 0,
    deadlineMs: Number.POSITIVE_INFINITY,
    ragged: { lengths, padding: filling },
    ...more,
  }
}
let nextId = 0

/** The model: for each token twice its id and a text of it, for each row the sum of the tokens that count. */
function answer([ids, mask]: readonly Tensor[]): Tensor[] {
  const [rows = 0, length = 0] = ids!.shape
  const [id, counts] = [ids!.data as BigInt64Array, mask!.data as BigInt64Array]
  assert.deepEqual(ids!.shape, mask!.shape)
  for (let at = 0; at < id.length; at++) assert.equal(id[at] === PAD, counts[at] === 0n, 'the mask tells what fills up a row')
  const sums = Array.from({ length: rows }, (_, row) =>
    id.subarray(row * length, (row + 1) * length).reduce((sum, one, at) => sum + one * counts[row * length + at]!, 0n),
  )
  return [
    { name: 'doubled', datatype: 'INT64', shape: [rows, length, 2], data: BigInt64Array.from([...id].flatMap((one) => [one * 2n, one])) },
    { name: 'sum', datatype: 'INT64', shape: [rows], data: BigInt64Array.from(sums) },
    { name: 'echo', datatype: 'BYTES', shape: [rows, length], data: [...id].map(String) },
  ]
}

function model(): { runner: FakeRunner; shapes: string[] } {
  const shapes: string[] = []
  const runner = new FakeRunner({
    turns: () => 2,
    answer: (inputs) => {
      shapes.push(inputs[0]!.shape.join('x'))
      return answer(inputs)
    },
  })
  return { runner, shapes }
}

/** What each row of a request is answered where it is asked alone, and cut to its own length. */
function rowsOf(work: WorkRequest, outputs: readonly Tensor[]): unknown[] {
  const { lengths, padding: filling } = work.ragged!
  return lengths.map((length, row) => {
    const rowOf = (tensor: Tensor): unknown[] => {
      const width = tensor.data.length / lengths.length
      const all: unknown[] = [...tensor.data].slice(row * width, (row + 1) * width)
      if (tensor.shape.length === 1) return all
      const whole = tensor.shape[1]!
      const each = width / whole
      return filling.side === 'left' ? all.slice((whole - length) * each) : all.slice(0, length * each)
    }
    return outputs.map(rowOf)
  })
}

function copyOf({ inputs }: WorkRequest): Tensor[] {
  return inputs.map((tensor) => ({ ...tensor, data: tensor.data.slice() }))
}

describe('texts of different lengths', () => {
  it('share a run where their lengths are of one bucket, in which the shorter are filled up; others do not pay for long ones', async () => {
    const { runner, shapes } = model()
    const { scheduler } = setUp({ runners: [runner] })
    const filling = padding()
    const works = [9, 12, 10, 100, 11, 97, 3].map((length) => texts([length], filling))
    const asked = works.map((work) => ({ work, copy: copyOf(work), outcome: submit(scheduler, work) }))
    await turns(60)
    assert.deepEqual(shapes, ['4x12', '2x100', '1x3'])
    for (const { work, copy, outcome } of asked) {
      assert.equal(outcome.error, undefined)
      // Not even the shape shows who was in the run.
      assert.deepEqual(
        outcome.result!.outputs.map(({ shape }) => shape.slice()),
        answer(copy).map(({ shape }) => shape),
      )
      assert.deepEqual(rowsOf(work, outcome.result!.outputs), rowsOf(work, answer(copy)))
    }
  })

  it('of one request run in groups of like lengths, and are answered in their order', async () => {
    const { runner, shapes } = model()
    const { scheduler } = setUp({ runners: [runner], serving: { maxBatchSize: 4 } })
    const work = texts([50, 3, 51, 4, 2, 49, 5, 7], padding())
    const copy = copyOf(work)
    const outcome = submit(scheduler, work)
    await turns(60)
    assert.deepEqual(shapes.toSorted(), ['1x7', '3x51', '4x5'])
    assert.deepEqual(rowsOf(work, outcome.result!.outputs), rowsOf(work, answer(copy)))
  })

  it('are not filled up to more than an answer may have, however short most of them are', async () => {
    const { runner } = model()
    const filling = padding()
    const { scheduler } = setUp({ runners: [runner], serving: { maxBatchSize: 64, maxOutputBytes: 200_000 } })
    const short = Array.from({ length: 200 }, () => 1)
    const [even, uneven] = [20, 1000].map((length) => submit(scheduler, texts([...short, length], filling)))
    await turns(100)
    assert.deepEqual([even!.error, even!.result?.outputs[0]?.shape], [undefined, [201, 20, 2]])
    assert.equal(uneven!.error?.code, 'SLW_OUTPUT_TOO_LARGE')
  })

  it('share no run where what fills them up changes answers, but equal lengths do', async () => {
    const { runner, shapes } = model()
    const { scheduler } = setUp({ runners: [runner] })
    const filling = padding({ pads: false })
    const outcomes = [9, 10, 9, 10, 11].map((length) => submit(scheduler, texts([length], filling)))
    await turns(60)
    assert.ok(outcomes.every(({ result }) => result !== undefined))
    assert.deepEqual(shapes.toSorted(), ['1x11', '2x10', '2x9'])
  })

  it('are answered whole where no run could show which outputs are for each token', async () => {
    const { scheduler } = setUp({ runners: [model().runner] })
    for (const side of ['left', 'right'] as const) {
      const work = texts([3, 5, 3, 9], padding({ pads: false, perToken: new Set(), side }))
      const copy = copyOf(work)
      const outcome = submit(scheduler, work)
      await turns(60)
      assert.deepEqual(rowsOf(work, outcome.result!.outputs), rowsOf(work, answer(copy)))
    }
  })

  it('run one by one where rows of a run are not independent', async () => {
    const { runner, shapes } = model()
    const { scheduler } = setUp({ runners: [runner], batchable: false })
    const work = texts([4, 9, 4], padding({ pads: false }))
    const copy = copyOf(work)
    const outcome = submit(scheduler, work)
    await turns(60)
    assert.deepEqual(shapes.toSorted(), ['1x4', '1x4', '1x9'])
    assert.deepEqual(rowsOf(work, outcome.result!.outputs), rowsOf(work, answer(copy)))
  })

  it('wait for their turn by when they came, so that a stream of short ones starves no long one', async () => {
    const { runner, shapes } = model()
    const { scheduler, clock } = setUp({ runners: [runner], serving: { maxBatchSize: 2 } })
    const filling = padding()
    const short = (): unknown => submit(scheduler, texts([5], filling))
    for (let count = 0; count < 4; count++) short()
    clock.advance(1)
    const long = submit(scheduler, texts([300], filling))
    for (let round = 0; round < 20 && long.result === undefined; round++) {
      clock.advance(1)
      short()
      short()
      await turns(5)
    }
    assert.ok(long.result !== undefined)
    assert.ok(shapes.indexOf('1x300') <= 2, shapes.join())
  })

  it('any mix of requests is answered as each text alone, on either side', async () => {
    const seed = Number(process.env['SLIPWAY_SEED'] ?? Math.floor(Math.random() * 1e6))
    const chance = randomFrom(seed)
    const draw = (): number => chance.next()
    for (const side of ['right', 'left'] as const)
      for (let round = 0; round < 30; round++) {
        const { runner } = model()
        const other = model().runner
        const { scheduler } = setUp({
          runners: [runner, other],
          serving: { maxBatchSize: 1 + Math.floor(draw() * 8) },
          batchable: draw() < 0.8,
        })
        const filling = padding({ side, pads: draw() < 0.8 })
        const asked = Array.from({ length: 12 }, () => {
          const lengths = Array.from({ length: 1 + Math.floor(draw() * 9) }, () => 1 + Math.floor(draw() * draw() * 60))
          const work = texts(lengths, filling)
          return { work, copy: copyOf(work), outcome: submit(scheduler, work) }
        })
        await turns(400)
        for (const { work, copy, outcome } of asked) {
          assert.equal(outcome.error, undefined, `SLIPWAY_SEED=${seed}`)
          assert.equal(outcome.settled, 1)
          assert.deepEqual(rowsOf(work, outcome.result!.outputs), rowsOf(work, answer(copy)), `SLIPWAY_SEED=${seed}`)
        }
        assert.equal(scheduler.inFlight, 0)
        assert.equal(scheduler.queued, 0)
      }
  })
})

describe('buckets', () => {
  it('fill up a text by half of its length at most, beyond the first', () => {
    for (let length = 9; length < 5000; length++) {
      const bucket = bucketOf(length)
      assert.ok(bucket >= length && bucket < 1.5 * length, `${length} ${bucket}`)
    }
    assert.deepEqual([1, 8, 9, 12, 13, 16, 17, 24, 25, 512, 513].map(bucketOf), [8, 8, 12, 12, 16, 16, 24, 24, 32, 512, 768])
  })

  it('every row is in one group, and no group has more than a run may have', () => {
    const groups = groupRows({ lengths: [5, 90, 6, 7, 91, 8], padding: padding() }, 3)
    assert.deepEqual(groups, [[0, 2, 3], [5], [1, 4]])
  })
})
