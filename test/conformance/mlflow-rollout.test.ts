import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { until } from '../fixtures.ts'
import { world } from '../rollouts/world.ts'

const SCRIPT = `
import sys
from mlflow import MlflowClient
MlflowClient(sys.argv[1]).set_registered_model_alias("adder", "champion", "2")
`

it("an alias that MLflow's unmodified client moves begins a rollout, which ends in force", { timeout: 300_000 }, async () => {
  const python = await pythonEnv('mlflow-3')
  await using it = await world({ versions: 2 })
  await it.declare({ strategy: 'blue-green', bakeAfter: '500ms' })
  await until(async () => (await it.answers())[0] === 1, 'the first version serves')
  await promisify(execFile)(python, ['-c', SCRIPT, it.plane.url], { env: { ...process.env, GIT_PYTHON_REFRESH: 'quiet' } })
  const { from, to, transitions } = await it.reaches('promoted')
  assert.deepEqual([from.version, to.version], ['1', '2'])
  assert.deepEqual(
    transitions?.map(({ state }) => state),
    ['waiting', 'loading', 'baking', 'promoted'],
  )
  await until(async () => (await it.answers())[0] === 2, 'the second version serves')
})
