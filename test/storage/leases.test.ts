import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Leases } from '../../src/storage/sql/leases.ts'
import { until } from '../fixtures.ts'
import { databaseChild } from './child.ts'
import { eachDatabase, newMigratedPostgres } from './databases.ts'
import { openPlace } from './open-place.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { Lease } from '../../src/storage/sql/leases.ts'

const LONG_MS = 600_000
const LOST = { code: 'SLW_LEASE_LOST' }

/** A fenced transaction that leaves a number. */
async function leave(database: Database, lease: Lease, value: number): Promise<void> {
  await database.write(async (transaction) => {
    await lease.fenced(transaction)
    await transaction.updateTable('counters').set({ value }).where('name', '=', 'event').execute()
  })
}

async function left(database: Database): Promise<number> {
  const { value } = await database.read.selectFrom('counters').select('value').where('name', '=', 'event').executeTakeFirstOrThrow()
  return value
}

/** As if its time had passed. */
async function expire(database: Database, name: string): Promise<void> {
  await database.write((transaction) => transaction.updateTable('leases').set({ expires_at: 1 }).where('name', '=', name).execute())
}

/** Asks for the lease until it is free. */
async function acquired(leases: Leases, name: string): Promise<Lease> {
  let lease: Lease | undefined
  await until(async () => (lease = await leases.acquire(name, LONG_MS)) !== undefined, `the lease ${name} is free`, 60_000)
  return lease!
}

eachDatabase('a lease has one holder until it is released, and each has a larger token', async (database) => {
  const [one, other] = [new Leases(database, 'one'), new Leases(database, 'other')]
  const first = await one.acquire('work', LONG_MS)
  assert.equal(await other.acquire('work', LONG_MS), undefined)
  assert.equal(await one.acquire('work', LONG_MS), undefined)
  assert.ok((await other.acquire('other work', LONG_MS)) !== undefined)
  await first?.renew()
  await first?.release()
  const second = await other.acquire('work', LONG_MS)
  assert.ok(second!.token > first!.token)
})

eachDatabase('all leases of a process that was killed are free at once, and what it still holds of them is lost', async (database) => {
  const killed = await new Leases(database, 'killed').acquire('work', LONG_MS)
  const next = new Leases(database, 'next')
  await next.releaseAll()
  assert.ok((await next.acquire('work', LONG_MS)) !== undefined)
  await assert.rejects(killed!.renew(), { ...LOST, message: /^killed has lost the lease "work" \(token 1\)/ })
})

eachDatabase('a hundred that want a lease at once are one that gets it', async (database) => {
  const leases = await Promise.all(Array.from({ length: 100 }, (_, n) => new Leases(database, `holder ${n}`).acquire('work', LONG_MS)))
  assert.equal(leases.filter((lease) => lease !== undefined).length, 1)
})

eachDatabase('a late holder keeps a lease that nobody wants, and cannot write, renew or release one that was taken', async (database) => {
  const late = (await new Leases(database, 'late').acquire('work', LONG_MS))!
  await expire(database, 'work')
  await leave(database, late, 1)
  await late.renew()
  assert.equal(await new Leases(database, 'next').acquire('work', LONG_MS), undefined)

  await expire(database, 'work')
  const next = (await new Leases(database, 'next').acquire('work', LONG_MS))!
  await leave(database, next, 2)
  await assert.rejects(leave(database, late, 3), LOST)
  await assert.rejects(late.renew(), LOST)
  await late.release()
  await leave(database, next, 4)
  assert.equal(await left(database), 4)
})

eachDatabase('a lease that was released is not ours any more, although nobody has taken it', async (database) => {
  const lease = (await new Leases(database, 'one').acquire('work', LONG_MS))!
  await lease.release()
  await assert.rejects(lease.renew(), LOST)
  await assert.rejects(leave(database, lease, 1), LOST)
})

const step = fc.record({ who: fc.nat(2), act: fc.constantFrom('acquire', 'renew', 'release', 'write', 'expire') })

eachDatabase('whatever holders do in whatever order, only the last that acquired writes', async (database) => {
  let round = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      const name = `work ${++round}`
      const leases = [0, 1, 2].map((who) => new Leases(database, `holder ${who}`))
      const mine: (Lease | undefined)[] = [undefined, undefined, undefined]
      let holder: Lease | undefined
      let expired = true
      let token = 0
      for (const [index, { who, act }] of steps.entries()) {
        const lease = mine[who]
        const isHolder = lease !== undefined && lease === holder
        if (act === 'expire') {
          await expire(database, name)
          expired = true
        } else if (act === 'acquire') {
          const got = await leases[who]!.acquire(name, LONG_MS)
          assert.equal(got !== undefined, holder === undefined || expired)
          if (got === undefined) continue
          assert.ok(got.token > token)
          mine[who] = holder = got
          token = got.token
          expired = false
        } else if (lease === undefined) {
          continue
        } else if (act === 'release') {
          await lease.release()
          if (isHolder) holder = undefined
        } else {
          const acting = act === 'renew' ? lease.renew() : leave(database, lease, index)
          if (!isHolder) await assert.rejects(acting, LOST)
          else await acting
          if (isHolder && act === 'renew') expired = false
          if (isHolder && act === 'write') assert.equal(await left(database), index)
        }
      }
    }),
    { numRuns: 40 },
  )
})

eachDatabase('a holder that is killed is followed by another when its time is over', async (database, { url }) => {
  const leases = new Leases(database, 'test')
  {
    await using child = databaseChild('lease', url, 'work', '1500')
    assert.equal(await child.line(), '1')
    child.tell('write')
    assert.equal(await child.line(), 'wrote')
    assert.equal(await leases.acquire('work', LONG_MS), undefined)
  }
  const lease = await acquired(leases, 'work')
  assert.equal(lease.token, 2)
  await leave(database, lease, 77)
  assert.equal(await left(database), 77)
})

eachDatabase('a process that stood still beyond its time cannot write when it goes on', async (database, { url }) => {
  await using child = databaseChild('lease', url, 'work', '1000')
  assert.equal(await child.line(), '1')
  child.tell('write')
  assert.equal(await child.line(), 'wrote')
  child.kill('SIGSTOP')
  const lease = await acquired(new Leases(database, 'test'), 'work')
  await leave(database, lease, 77)
  child.kill('SIGCONT')
  child.tell('write')
  assert.equal(await child.line(), 'SLW_LEASE_LOST')
  assert.equal(await left(database), 77)
})

test('a process that stands still within a fenced transaction loses transaction and lease (PostgreSQL)', { timeout: 60_000 }, async () => {
  const url = await newMigratedPostgres()
  await using database = await openPlace(url)
  await using child = databaseChild('within', url, 'work', '100')
  assert.equal(await child.line(), 'within')
  child.kill('SIGSTOP')
  // Waits for the transaction, which the server ends.
  const lease = await acquired(new Leases(database, 'test'), 'work')
  await leave(database, lease, 77)
  child.kill('SIGCONT')
  child.tell('go')
  assert.equal(await child.line(), 'SLW_DATABASE_UNAVAILABLE')
  assert.equal(await left(database), 77)
})

eachDatabase('a fenced transaction keeps others from taking the lease until it has ended', async (database, { url }) => {
  await using elsewhere = await openPlace(url)
  const lease = (await new Leases(database, 'one').acquire('work', 1))!
  await sleep(20)
  const order: string[] = []
  let taking: Promise<unknown> | undefined
  await database.write(async (transaction) => {
    await lease.fenced(transaction)
    taking = new Leases(elsewhere, 'other').acquire('work', LONG_MS).then(() => order.push('taken'))
    await sleep(200)
    await transaction.updateTable('counters').set({ value: 5 }).where('name', '=', 'event').execute()
    order.push('written')
  })
  await taking
  assert.deepEqual(order, ['written', 'taken'])
})
