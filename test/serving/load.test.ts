import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { SpareThreads } from '../../src/engine/thread.ts'
import { openModel } from '../../src/serving/load.ts'
import { silentLogger } from '../../src/core/log.ts'
import { linearModel } from '../onnx/build-model.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** The rests of a load of `instances` instances, each warmed by `runs` runs, in milliseconds. */
async function rests({ gentle, instances = 2, runs = 3 }: { gentle: boolean; instances?: number; runs?: number }): Promise<number[]> {
  await using folder = await temporaryFolder()
  const path = folder.path
  await folder.write('model.onnx', linearModel())
  await folder.write('slipway.yaml', JSON.stringify({ apiVersion: 'slipway/v1', kind: 'Model', warmup: { runs } }))
  await using spares = new SpareThreads(2)
  const found: number[] = []
  // Each run seems to take 10 ms, and no rest is waited for.
  let now = 0
  const clock = {
    ...systemClock,
    monotonicMs: () => (now += 5),
    after(delayMs: number, callback: () => void) {
      found.push(delayMs)
      return systemClock.after(0, callback)
    },
  }
  await using _model = await openModel({
    subject: { endpoint: 'm', variant: 'v1', model: 'm', version: '1' },
    spec: { name: 'v1', model: 'm', version: '1', path },
    servingOverrides: { instances },
    cores: 2,
    clock,
    log: silentLogger,
    spares,
    sandboxPython: undefined,
    gentle,
    measured: false,
    onAvailable() {},
    onInstanceFailure() {},
  })
  return found
}

describe('a load', () => {
  it('rests after each run that warms or probes where others serve, longer than the run took', async () => {
    // Three for each instance, then six of the probe.
    assert.deepEqual(await rests({ gentle: true }), Array(12).fill(15))
  })

  it('rests a second in all, however many runs it is to be warmed by', async () => {
    const found = await rests({ gentle: true, runs: 100 })
    assert.equal(
      found.reduce((sum, ms) => sum + ms, 0),
      1000,
    )
  })

  it('does not rest where nobody is served', async () => {
    assert.deepEqual(await rests({ gentle: false }), [])
  })
})
