import assert from 'node:assert/strict'
import { it } from 'node:test'
import { mergeServing, resolveServing } from '../../src/contract/serving-options.ts'

it('what one source keeps out of records, none lets in again; of all else the later one wins', () => {
  const merged = mergeServing({ recordsDrop: ['ssn'], records: 0.1, threads: 2 }, undefined, {
    recordsDrop: ['age'],
    recordsHash: ['mail'],
    records: 1,
  })
  assert.deepEqual(merged, { recordsDrop: ['ssn', 'age'], recordsHash: ['mail'], records: 1, threads: 2 })
  const { recordsDrop, recordsHash, records } = resolveServing(2, { recordsDrop: ['ssn'] }, { recordsDrop: ['ssn', 'age'] })
  assert.deepEqual([recordsDrop, recordsHash, records], [['ssn', 'age'], [], 0])
  assert.deepEqual(mergeServing({ threads: 1 }, {}), { threads: 1 })
})
