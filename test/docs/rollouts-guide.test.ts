import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { it } from 'node:test'
import { parse } from 'yaml'
import { contradictionsInRollout, Rollout } from '../../src/contract/rollout.ts'
import { check } from '../../src/contract/schema.ts'
import { ROOT } from '../fixtures.ts'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to rollouts works from its first command to its last', { timeout: 200_000 }, async () => {
  const said = await planeGuide('rollouts.md', { blocks: 6, limitS: 150 })
  assert.match(said, /churn: churn\/1 to churn\/2, canary, 20m at least$/m, 'plan')
  assert.match(said, /^▶ 5 % +10m at least, 100 requests, nothing fails$/m, 'show')
  assert.match(said, /^churn rollout 1: churn\/1 to churn\/2, canary, paused \(person\)$/m)
  assert.match(said, /promoted, 100 %, by local: local said so: promote$/m, 'why')
  assert.match(said, /churn rollout 2 to churn\/3 100 % █{10} promoted: all steps are done$/m, 'an alias that moves starts one')
  assert.match(said, /churn rollout 3 to churn\/2 100 % █{10} promoted: all steps are done$/m, 'back within the window, without steps')
  assert.match(said, /^aborted \S+: the wrong one$/m)
  assert.match(said, /"data":\{"verdict":"fail","at":\d+,"state":"aborted"/)
  assert.match(said, /the verdict is fail: it was aborted/)
})

it('the YAML of the guide to rollouts is a strategy, and a template that reads the verdict as it is given', async () => {
  const page = await readFile(join(ROOT, 'docs/guides/rollouts.md'), 'utf8')
  const [strategy, template] = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = '']): unknown => parse(text))
  const checked = check(Rollout, (strategy as { rollout: unknown }).rollout)
  assert.ok('value' in checked, JSON.stringify(checked))
  assert.deepEqual(contradictionsInRollout(checked.value), [])
  const [metric] = (template as { spec: { metrics: Record<string, unknown>[] } }).spec.metrics
  assert.equal(metric?.['successCondition'], 'result.verdict == "pass"')
  assert.equal(metric?.['failureCondition'], 'result.verdict == "fail"')
})
