import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to several versions works from its first command to its last', { timeout: 200_000 }, async () => {
  const said = await planeGuide('traffic.md', { blocks: 6, limitS: 150 })
  assert.match(said, /^main +95 % +█{19}░ +churn\/1$/m)
  assert.match(said, /^slipway-variant: next\r?$/m)
  assert.match(said, /^next gets copies of 20 % of the requests, as a shadow$/m)
  assert.match(said, /^churn: next \(churn\/2\) beside main \(churn\/1\), since /m)
  assert.match(said, /60 labels are kept$/m)
})
