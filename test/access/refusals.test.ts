import assert from 'node:assert/strict'
import { Refusals } from '../../src/access/refusals.ts'
import { TestClock } from '../models/in-registry.ts'
import { eachDatabase } from '../storage/databases.ts'
import type { Refusal } from '../../src/access/refusals.ts'
import type { Database } from '../../src/storage/sql/database.ts'

const MINUTE_MS = 60_000

function by(caller: string): Refusal {
  return { caller, address: '10.0.0.1', route: 'PUT /models/:model', environment: 'default', code: 'SLW_FORBIDDEN' }
}

eachDatabase('refused calls that cannot be written down are written down later, each once', async (database) => {
  let works = false
  const unsteady: Database = Object.create(database, {
    write: {
      value: async (act: Parameters<Database['write']>[0]) => {
        if (!works) throw new Error('the disk is full')
        return await database.write(act)
      },
    },
  })
  const refusals = new Refusals(unsteady, new TestClock())
  refusals.note(by('anna'))
  refusals.note(by('anna'))
  await assert.rejects(refusals.flush(), /the disk is full/)
  refusals.note(by('anna'))
  refusals.note(by('bert'))
  await assert.rejects(refusals.flush(), /the disk is full/)
  works = true
  await Promise.all([refusals.flush(), refusals.flush()])
  const counts = Object.fromEntries((await refusals.list({ limit: 10 })).refusals.map(({ caller, count }) => [caller, count]))
  assert.deepEqual(counts, { anna: 3, bert: 1 })
})

eachDatabase(
  'who makes up names fills no table: of one minute so many kinds are told apart, however often it is written down',
  async (database) => {
    const clock = new TestClock()
    const refusals = new Refusals(database, clock)
    for (let round = 0; round < 3; round++) {
      for (let index = 0; index < 600; index++) refusals.note(by(`guess ${round} ${index}`))
      refusals.note(by('guess 0 0'))
      await refusals.flush()
    }
    const { refusals: listed } = await refusals.list({ limit: 10_000 })
    assert.equal(listed.length, 1001)
    assert.equal(
      listed.reduce((sum, { count }) => sum + count, 0),
      1803,
    )
    assert.equal(listed.find(({ caller }) => caller === 'guess 0 0')?.count, 4, 'one that is known is told apart from then on')
    assert.equal(listed.find(({ caller }) => caller === '(others)')?.count, 800)
    clock.pass(MINUTE_MS)
    refusals.note(by('guess of the next minute'))
    assert.equal((await refusals.list({ limit: 1 })).refusals[0]?.caller, 'guess of the next minute')
  },
)
