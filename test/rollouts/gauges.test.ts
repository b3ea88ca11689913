/** What `/metrics` of a control plane tells of rollouts. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { gaugesText } from '../../src/core/gauges.ts'
import { until } from '../fixtures.ts'
import { setAlias } from '../following/following.ts'
import { world } from './world.ts'

it('has a rollout until its endpoint has had another that ended, with its state, share, verdict, sample and p', async () => {
  await using it = await world()
  const told = async (): Promise<string[]> => {
    const response = await fetch(`${it.plane.url}/metrics`)
    assert.equal(response.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8')
    return (await response.text()).split('\n').filter((line) => line.startsWith('slipway_rollout_'))
  }
  await it.declare({ strategy: 'canary', steps: [10], bake: '1h' })
  assert.deepEqual(await told(), [])
  await setAlias(it.plane, 2)
  await it.reaches('progressing')
  const OF_FIRST = 'environment="default",endpoint="adder",rollout="1"'
  await until(async () => (await told()).some((line) => line.startsWith('slipway_rollout_metric_p')), 'a look has seen something')
  const first = await told()
  for (const line of [
    `slipway_rollout_state{${OF_FIRST},state="progressing"} 1`,
    `slipway_rollout_weight_percent{${OF_FIRST}} 10`,
    `slipway_rollout_verdict{${OF_FIRST},verdict="no_data"} 1`,
    `slipway_rollout_metric_p{${OF_FIRST},metric="errors"} 1`,
    `slipway_rollout_sample{${OF_FIRST}} 0`,
  ])
    assert.ok(first.includes(line), `${line} in\n${first.join('\n')}`)
  await it.command('abort')
  await setAlias(it.plane, 3)
  const states = async (): Promise<string[]> =>
    (await told())
      .filter((line) => line.startsWith('slipway_rollout_state'))
      .map((line) => /rollout="(\d+)",state="([^"]+)"/.exec(line)!.slice(1).join(' '))
  await until(async () => (await it.latest()).number === 2, 'the next one begins')
  await it.reaches('progressing')
  assert.deepEqual(await states(), ['1 aborted', '2 progressing'])
  assert.ok((await told()).includes(`slipway_rollout_weight_percent{${OF_FIRST}} 0`))
  await it.command('abort')
  assert.deepEqual(await states(), ['2 aborted'])
})

it('writes label values as Prometheus reads them', () => {
  assert.equal(
    gaugesText([{ name: 'a', help: 'b\nc', labels: ['d'], samples: [{ labels: { d: 'e"f\\g\nh' }, value: Infinity }] }]),
    '# HELP a b\\nc\n# TYPE a gauge\na{d="e\\"f\\\\g\\nh"} +Inf\n',
  )
})
