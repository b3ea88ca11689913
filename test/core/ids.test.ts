import assert from 'node:assert/strict'
import { it } from 'node:test'
import { createIds } from '../../src/core/ids.ts'

it('ids have the second in which they were made, sort by it, and are never the same', () => {
  let nowMs = 1_700_000_000_000
  const next = createIds(() => nowMs)
  const ids: string[] = []
  for (let count = 0; count < 140_000; count++) {
    if (count % 30_000 === 0) nowMs += 1500
    const id = next()
    assert.equal(parseInt(id.slice(0, 8), 16), Math.floor(nowMs / 1000))
    assert.match(id, /^[0-9a-f]{24}$/)
    ids.push(id)
  }
  assert.equal(new Set(ids).size, ids.length)
  assert.deepEqual(ids.toSorted(), ids)
})
