import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { describe, it } from 'node:test'
import { openThread, SpareThreads } from '../../src/engine/thread.ts'
import { inspectOnnx } from '../../src/onnx/inspect.ts'
import { addingModel, WIDTH } from '../adding-models.ts'
import { until } from '../fixtures.ts'
import { instanceSpec } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Instance, InstanceSpec } from '../../src/engine/instance.ts'

const RUN_TIMEOUT_MS = 10_000

describe('threads whose model was given back', () => {
  it('load the next one, which answers for itself, and no further thread is started', async () => {
    await using folder = await temporaryFolder()
    const specs = await specsOf(folder, [1, 2, 3])
    await using spares = new SpareThreads(1)
    for (const [index, spec] of specs.entries()) {
      const before = threadCount()
      const instance = await openThread(spec, { runTimeoutMs: RUN_TIMEOUT_MS, spares })
      assert.equal(await addedBy(instance), index + 1)
      if (index > 0) assert.ok(threadCount() <= before, `${before} threads became ${threadCount()}`)
      await instance.close()
      await assert.rejects(addedBy(instance), { code: 'SLW_INSTANCE_FAILED' })
    }
  })

  it('end where there are enough, where one crashed, and with those who keep them', async () => {
    await using folder = await temporaryFolder()
    const [spec] = await specsOf(folder, [1])
    const atFirst = threadCount()
    {
      await using spares = new SpareThreads(1)
      const open = (): Promise<Instance> => openThread(spec!, { runTimeoutMs: RUN_TIMEOUT_MS, spares })
      const instances = await Promise.all([open(), open(), open()])
      const busy = threadCount()
      await Promise.all(instances.map((instance) => instance.close()))
      await until(() => threadCount() < busy - 1, 'two of three have ended')
      assert.ok(threadCount() > atFirst, 'one is kept')
    }
    await until(() => threadCount() <= atFirst + 1, 'none is left')
  })

  it('are begun before they are wanted, no more than are kept, and serve at the priority of the process', async () => {
    await using folder = await temporaryFolder()
    const [spec] = await specsOf(folder, [4])
    const atFirst = threadCount()
    {
      await using spares = new SpareThreads(1)
      spares.prepare(2)
      spares.prepare(2)
      await until(() => threadCount() > atFirst, 'one is begun')
      const before = threadCount()
      const instance = await openThread(spec!, { runTimeoutMs: RUN_TIMEOUT_MS, spares })
      assert.ok(threadCount() <= before, 'no further one')
      assert.equal(await addedBy(instance), 4)
      await until(() => lowThreads() === 0, 'none is left at low priority')
      await instance.close()
    }
    await until(() => threadCount() <= atFirst + 1, 'none is left')
  })

  it('a model that cannot be loaded leaves its thread to the next', async () => {
    await using folder = await temporaryFolder()
    const [spec] = await specsOf(folder, [7])
    await using spares = new SpareThreads(1)
    await assert.rejects(openThread({ ...spec!, source: { bytes: new Uint8Array([1, 2, 3]) } }, { runTimeoutMs: RUN_TIMEOUT_MS, spares }), {
      code: 'SLW_LOAD_FAILED',
    })
    const before = threadCount()
    const instance = await openThread(spec!, { runTimeoutMs: RUN_TIMEOUT_MS, spares })
    assert.ok(threadCount() <= before)
    assert.equal(await addedBy(instance), 7)
    await instance.close()
  })
})

async function specsOf(folder: Awaited<ReturnType<typeof temporaryFolder>>, added: readonly number[]): Promise<InstanceSpec[]> {
  return await Promise.all(
    added.map(async (number) => instanceSpec(await inspectOnnx(await folder.write(`${number}.onnx`, addingModel(number))))),
  )
}

async function addedBy(instance: Instance): Promise<number> {
  const { outputs } = await instance.run([{ name: 'x', datatype: 'FP32', shape: [1, WIDTH], data: new Float32Array(WIDTH) }], ['y'])
  return Number(outputs[0]?.data[0])
}

/** Field 19 of /proc/[pid]/stat is the nice value, see proc(5). */
function lowThreads(): number {
  return readdirSync('/proc/self/task').filter((task) => {
    const stat = readFileSync(`/proc/self/task/${task}/stat`, 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[16]) > getPriority()
  }).length
}

/** Of this process, as the kernel counts them. */
function threadCount(): number {
  return readdirSync('/proc/self/task').length
}
