import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to records works from its first command to its last', { timeout: 200_000 }, async () => {
  const said = await planeGuide('records.md', { blocks: 5, limitS: 150 })
  assert.match(said, /^1 records are removed/m)
  assert.match(said, /"contract": \[\s*"hmac:/)
  assert.doesNotMatch(said.slice(said.indexOf('records are removed')), /customer-2/)
  assert.match(said, /^slipway_records_total 3$/m)
})
