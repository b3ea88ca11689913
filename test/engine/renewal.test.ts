import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { anonymousBytes } from '../../src/engine/memory.ts'
import { InstanceSlot } from '../../src/engine/slot.ts'
import { SpareThreads } from '../../src/engine/thread.ts'
import { silentLogger } from '../../src/core/log.ts'
import { openModel } from '../../src/serving/load.ts'
import { ManualClock } from '../core/manual-clock.ts'
import { until } from '../fixtures.ts'
import { buildModel, floats, node, value } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Instance, InstanceEnd, RunResult } from '../../src/engine/instance.ts'
import type { Tensor } from '../../src/tensor/tensor.ts'

const MB = 1024 * 1024

/** An instance whose runs grow it by what they are told. */
class FakeInstance implements Instance {
  readonly kind = 'thread'
  readonly #end = Promise.withResolvers<InstanceEnd>()
  readonly ended = this.#end.promise
  busy = false
  closed = false
  served = false
  /** What the next run grows it by. */
  grownBytes = 0
  /** A run waits for this. */
  gate: Promise<void> = Promise.resolve()

  async run(): Promise<RunResult> {
    const { grownBytes } = this
    this.grownBytes = 0
    await this.gate
    return { outputs: [], computeUs: 1, grownBytes }
  }

  idle(): Promise<void> {
    return Promise.resolve()
  }

  serve(): void {
    this.served = true
  }

  memoryBytes(): number {
    return 40 * MB
  }

  crash(): void {
    this.#end.resolve({ reason: 'killed', message: 'a test' })
  }

  close(): Promise<void> {
    this.closed = true
    return Promise.resolve()
  }
}

function input(elements: number): Tensor[] {
  return [{ name: 'x', datatype: 'FP32', shape: [elements], data: new Float32Array(elements) }]
}

async function startSlot() {
  const clock = new ManualClock()
  const opened: FakeInstance[] = []
  const renewed: number[] = []
  const failed: InstanceEnd[] = []
  let refusal: Error | undefined
  const slot = new InstanceSlot({
    name: 'm/v1#0',
    clock,
    open({ gently }) {
      assert.equal(gently, opened.length > 0 && failed.length === 0)
      if (refusal !== undefined) return Promise.reject(refusal)
      opened.push(new FakeInstance())
      return Promise.resolve(opened.at(-1)!)
    },
    onAvailable() {},
    onRenewed: (heldBytes) => renewed.push(heldBytes),
    onFailure: (end) => failed.push(end),
  })
  await slot.start()
  return {
    clock,
    slot,
    opened,
    renewed,
    refuse: (error: Error | undefined) => (refusal = error),
    /** Runs with inputs of so many elements, while the instance grows by so much. */
    run: async (elements: number, grownMb = 0) => {
      opened.at(-1)!.grownBytes = grownMb * MB
      await slot.run(input(elements), [])
    },
    pass: async (minutes: number) => {
      for (let minute = 0; minute < minutes; minute++) {
        clock.advance(60_000)
        await new Promise((resolve) => setImmediate(resolve))
      }
    },
  }
}

describe('an instance that large runs have left large', () => {
  it('is opened anew after a minute of small ones, beside itself, and closed when the other has taken over', async () => {
    const { slot, opened, renewed, run, pass } = await startSlot()
    await run(4000, 100)
    await run(1000)
    await pass(1)
    assert.equal(opened.length, 2)
    assert.deepEqual(renewed, [100 * MB])
    assert.deepEqual([opened[0]!.closed, opened[1]!.closed, opened[1]!.served], [true, false, true])
    assert.equal(slot.state, 'ready')
    await run(1000)
    await pass(100)
    assert.equal(opened.length, 2, 'nothing has grown since')
  })

  it('also where no run follows', async () => {
    const { opened, run, pass } = await startSlot()
    await run(4000, 100)
    await pass(1)
    assert.equal(opened.length, 2)
  })

  it('stays while runs of a quarter of that size or more go on', async () => {
    const { opened, run, pass } = await startSlot()
    await run(4000, 100)
    for (let minute = 0; minute < 20; minute++) {
      await run(1001)
      await pass(1)
    }
    assert.equal(opened.length, 1)
    await pass(1)
    assert.equal(opened.length, 2, 'and is opened anew when they are over')
  })

  it('stays where it has not grown by what a second one takes', async () => {
    const { opened, run, pass } = await startSlot()
    await run(1000, 20)
    await run(4000, 19)
    await pass(60)
    assert.equal(opened.length, 1)
    await run(5000, 1)
    await pass(1)
    assert.equal(opened.length, 2)
  })

  it('is opened anew ever less often while large runs come back, and at once again after a quiet time', async () => {
    const { opened, run, pass } = await startSlot()
    for (const minutes of [1, 2, 4, 8]) {
      const before = opened.length
      await run(4000, 100)
      await pass(minutes - 1)
      assert.equal(opened.length, before)
      await pass(1)
      assert.equal(opened.length, before + 1)
    }
    await pass(61)
    await run(4000, 100)
    await pass(1)
    assert.equal(opened.length, 6)
  })

  it('finishes its run first', async () => {
    const { slot, opened, run, pass } = await startSlot()
    await run(4000, 100)
    const gate = Promise.withResolvers<void>()
    opened[0]!.gate = gate.promise
    const going = slot.run(input(10), [])
    await pass(1)
    assert.deepEqual([opened.length, opened[0]!.closed], [2, false])
    gate.resolve()
    await going
    assert.equal(opened[0]!.closed, true)
    await slot.run(input(10), [])
  })

  it('stays as it is where it cannot be opened anew, and is tried again later', async () => {
    const { slot, opened, refuse, run, pass } = await startSlot()
    await run(4000, 100)
    refuse(new Error('the files have changed'))
    await pass(1)
    assert.deepEqual([opened.length, opened[0]!.closed, slot.state, slot.failures], [1, false, 'ready', 0])
    refuse(undefined)
    await pass(1)
    assert.equal(opened.length, 1)
    await pass(1)
    assert.equal(opened.length, 2)
  })

  it('leaves nothing open where it ends while its successor waits, or the slot is closed', async () => {
    for (const end of ['crash', 'close'] as const) {
      const { slot, opened, run, pass } = await startSlot()
      await run(4000, 100)
      opened[0]!.gate = new Promise(() => {})
      void slot.run(input(10), [])
      await pass(1)
      assert.equal(opened.length, 2)
      if (end === 'crash') opened[0]!.crash()
      else await slot.close()
      await new Promise((resolve) => setImmediate(resolve))
      assert.equal(opened[1]!.closed, true)
      assert.equal(slot.state, end === 'crash' ? 'backing off' : 'closed')
    }
  })
})

/** Two convolutions over pictures of any size. */
function pictures(): Uint8Array {
  const kernel = (name: string, dims: number[]) => floats(name, dims, ...Array.from({ length: dims.reduce((a, b) => a * b, 1) }, () => 0.1))
  return buildModel({
    input: [value('x', 'FP32', ['batch', 3, 'height', 'width'])],
    output: [value('y', 'FP32', ['batch', 32])],
    node: [
      node('Conv', ['x', 'k1'], ['a'], { pads: [1n, 1n, 1n, 1n] }),
      node('Conv', ['a', 'k2'], ['b'], { pads: [1n, 1n, 1n, 1n] }),
      node('GlobalAveragePool', ['b'], ['p']),
      node('Flatten', ['p'], ['y']),
    ],
    initializer: [kernel('k1', [32, 3, 3, 3]), kernel('k2', [32, 32, 3, 3])] as never,
  })
}

describe('the memory of runs over large pictures', () => {
  it('comes back once they are over', async () => {
    await using folder = await temporaryFolder()
    await folder.write('model.onnx', pictures())
    await using spares = new SpareThreads(2)
    const waiting: (() => void)[] = []
    const said: string[] = []
    // A minute passes when the test says so.
    const clock = {
      ...systemClock,
      after(delayMs: number, callback: () => void) {
        if (delayMs < 60_000) return systemClock.after(delayMs, callback)
        waiting.push(callback)
        return () => void waiting.splice(waiting.indexOf(callback), 1)
      },
    }
    await using model = await openModel({
      subject: { endpoint: 'm', variant: 'v1', model: 'm', version: '1' },
      spec: { name: 'v1', model: 'm', version: '1', path: folder.path },
      servingOverrides: { instances: 1 },
      cores: 2,
      clock,
      log: { ...silentLogger, info: (_: object, text: string) => void said.push(text) } as typeof silentLogger,
      spares,
      sandboxPython: undefined,
      gentle: false,
      measured: false,
      onAvailable() {},
      onInstanceFailure() {},
    })
    const slot = model.slots[0]!
    const run = async (side: number): Promise<number> => {
      const data = new Float32Array(3 * side * side).fill(0.5)
      const { outputs } = await slot.run([{ name: 'x', datatype: 'FP32', shape: [1, 3, side, side], data }], ['y'])
      return (outputs[0]!.data as Float32Array)[0]!
    }
    const small = await run(32)
    const before = anonymousBytes()
    for (const side of [200, 600, 1000]) await run(side)
    const held = anonymousBytes() - before
    assert.ok(held > 100 * MB, `runs left ${held / MB} MB`)
    // A minute with the largest of them, as the slot waits since the first that left something, then one without.
    for (let minute = 0; minute < 2; minute++) {
      assert.equal(waiting.length, 1)
      waiting.pop()!()
    }
    await until(() => said.length > 0, 'the instance is opened anew')
    await until(() => anonymousBytes() - before < held / 3, 'the memory is back')
    assert.match(said[0]!, /^m\/v1#0 was opened anew: large runs had left \d+ MB in it$/)
    assert.equal(await run(32), small)
  })
})
