import assert from 'node:assert/strict'
import { eachDatabase } from './databases.ts'

eachDatabase('a transaction that throws leaves nothing', async (database) => {
  await assert.rejects(
    database.write(async (transaction) => {
      await transaction.insertInto('counters').values({ name: 'a', value: 1 }).execute()
      throw new Error('on purpose')
    }),
    /on purpose/,
  )
  assert.deepEqual(await database.read.selectFrom('counters').selectAll().where('name', '=', 'a').execute(), [])
})
