import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeGuide } from './guide-in-shell.ts'

it('the guide to endpoints and servers that follow works from its first command to its last', { timeout: 300_000 }, async () => {
  const said = await planeGuide('control-plane.md', { blocks: 9, limitS: 240 })
  assert.match(said, /differs: exit code 3/)
  assert.match(said, /revision 3/)
  assert.match(said, /rollback to 1/)
  assert.match(said, /next +20 % +█{4}░{16} +churn\/1/)
  assert.match(said, /"stale_seconds"/)
  assert.match(said, /production/)
})
