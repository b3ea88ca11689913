import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '../../src/core/clock.ts'
import { SlipwayError } from '../../src/core/errors.ts'
import { WORK_STEPS } from '../../src/core/fail-point.ts'
import { silentLogger } from '../../src/core/log.ts'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { nextTime } from '../../src/storage/work/schedule.ts'
import { WorkQueue } from '../../src/storage/work/work-queue.ts'
import { Worker } from '../../src/storage/work/worker.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { databaseChild, failingChild } from './child.ts'
import { eachDatabase, newMigratedPostgres } from './databases.ts'
import { openPlace } from './open-place.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import type { Database } from '../../src/storage/sql/database.ts'
import type { NewWork } from '../../src/storage/work/work-item.ts'
import type { WorkKind } from '../../src/storage/work/worker.ts'

const LONG_MS = 600_000
const LOST = { code: 'SLW_LEASE_LOST' }

function queueOf(database: Database, holder = 'one'): WorkQueue {
  return new WorkQueue({ database, holder, newId: () => randomUUID().replaceAll('-', '') })
}

async function add(queue: WorkQueue, work: Partial<NewWork> = {}): Promise<string> {
  return (await queue.database.write((write) => queue.enqueue(write, { kind: 'k', ...work }))).id
}

/** As if time had passed, or a clock had been set: what waits or is held may be claimed so much earlier. */
async function pass(database: Database, ms: number): Promise<void> {
  await database.write((write) =>
    write
      .updateTable('work_items')
      .set((columns) => ({ claim_at: columns('claim_at', '-', ms), deadline_at: columns('deadline_at', '-', ms) }))
      .where('claim_at', 'is not', null)
      .execute(),
  )
}

async function leave(database: Database, value: number): Promise<void> {
  await database.write((write) => write.updateTable('counters').set({ value }).where('name', '=', 'event').execute())
}

function worker(queue: WorkQueue, kind: Omit<WorkKind, 'kind'>, leaseMs = LONG_MS): Worker {
  return new Worker({ queue, kinds: [{ kind: 'k', ...kind }], clock: systemClock, log: silentLogger, leaseMs, lookMs: 10 })
}

eachDatabase('work is claimed once, the most urgent first, and what is not due waits', async (database) => {
  const queue = queueOf(database)
  await add(queue, { payload: 'later', dueInMs: LONG_MS })
  await add(queue, { payload: 'plain' })
  await sleep(2)
  await add(queue, { payload: 'second' })
  await add(queue, { payload: 'urgent', priority: -1 })
  const other = queueOf(database, 'other')
  const first = await queue.claim('k', 2, LONG_MS)
  const rest = await other.claim('k', 5, LONG_MS)
  assert.deepEqual(
    [first, rest].map((claims) => claims.map(({ item }) => item.payload)),
    [['urgent', 'plain'], ['second']],
  )
  assert.deepEqual(await other.claim('k', 5, LONG_MS), [])
  await pass(database, LONG_MS + 1)
  // The leases are over, too.
  assert.equal((await other.claim('k', 5, LONG_MS)).length, 4)
})

eachDatabase('of what waits or runs no two have one key; what has ended gives it back', async (database) => {
  const queue = queueOf(database)
  const id = await add(queue, { key: 'same', payload: 1 })
  assert.equal(await add(queue, { key: 'same', payload: 2 }), id)
  assert.notEqual(await add(queue, { key: 'other' }), id)
  const [claim] = await queue.claim('k', 1, LONG_MS)
  assert.equal(await add(queue, { key: 'same' }), id, 'it runs')
  await queue.end([{ item: claim!.item, outcome: { state: 'done', result: { n: 7 } } }])
  assert.notEqual(await add(queue, { key: 'same' }), id)
  const done = await queue.get(id)
  assert.deepEqual([done?.state, done?.result, done?.payload], ['done', { n: 7 }, 1])
})

eachDatabase('what is enqueued in a transaction that fails was never there', async (database) => {
  const queue = queueOf(database)
  const failed = database.write(async (write) => {
    await queue.enqueue(write, { kind: 'k' })
    throw new Error('on purpose')
  })
  await assert.rejects(failed, /on purpose/)
  assert.deepEqual(await queue.claim('k', 1, LONG_MS), [])
})

eachDatabase('who has lost a claim can write nothing, and its end changes nothing', async (database) => {
  const [one, other] = [queueOf(database), queueOf(database, 'other')]
  const id = await add(one)
  const [late] = await one.claim('k', 1, LONG_MS)
  await late!.database.write((write) => write.updateTable('counters').set({ value: 1 }).where('name', '=', 'event').execute())
  await pass(database, LONG_MS + 1)
  const [present] = await other.claim('k', 1, LONG_MS)
  assert.ok(present!.item.token > late!.item.token)
  await assert.rejects(leave(late!.database, 2), LOST)
  await assert.rejects(late!.progress({ at: 1 }), LOST)
  await assert.rejects(
    late!.complete(() => Promise.resolve()),
    LOST,
  )
  assert.equal((await one.end([{ item: late!.item, outcome: { state: 'done' } }])).size, 0)
  assert.deepEqual(await one.renew([id], LONG_MS), new Set())
  await leave(present!.database, 3)
  const { value } = await database.read.selectFrom('counters').select('value').where('name', '=', 'event').executeTakeFirstOrThrow()
  assert.equal(value, 3)
})

eachDatabase('an item is done with a transaction of its own, or neither is', async (database) => {
  const queue = queueOf(database)
  const id = await add(queue)
  const [claim] = await queue.claim('k', 1, LONG_MS)
  const failed = claim!.complete(async (write) => {
    await write.updateTable('counters').set({ value: 9 }).where('name', '=', 'event').execute()
    throw new Error('on purpose')
  })
  await assert.rejects(failed, /on purpose/)
  assert.equal((await queue.get(id))?.state, 'running')
  await claim!.complete((write) => write.updateTable('counters').set({ value: 5 }).where('name', '=', 'event').execute(), 'result')
  assert.deepEqual([(await queue.get(id))?.state, (await queue.get(id))?.result], ['done', 'result'])
})

eachDatabase('what fails is tried again after a pause that grows, as often as it may be, and says why', async (database) => {
  const queue = queueOf(database)
  const id = await add(queue, { attemptsMax: 3 })
  for (const [attempt, state] of [
    [1, 'waiting'],
    [2, 'waiting'],
    [3, 'failed'],
  ] as const) {
    const [claim] = await queue.claim('k', 1, LONG_MS)
    await queue.end([{ item: claim!.item, outcome: { state: 'failed', error: `failure ${attempt}`, againInMs: LONG_MS } }])
    const item = await queue.get(id)
    assert.deepEqual([item?.attempts, item?.state, item?.error], [attempt, state, `failure ${attempt}`])
    assert.deepEqual(await queue.claim('k', 1, LONG_MS), [], 'not at once')
    await pass(database, LONG_MS)
  }
  const other = await add(queue, { key: 'taken' })
  await queue.cancel(other)
  await add(queue, { key: 'taken', dueInMs: LONG_MS })
  await assert.rejects(queue.retry(other), { code: 'SLW_CONFLICT' })
  assert.equal((await queue.retry(id))?.state, 'waiting')
  assert.equal((await queue.claim('k', 1, LONG_MS)).length, 1)
})

eachDatabase('what ends every process that runs it is given up, and so is what was not begun in time', async (database) => {
  const queue = queueOf(database)
  const poison = await add(queue, { attemptsMax: 2 })
  for (let attempt = 1; attempt <= 2; attempt++) {
    assert.equal((await queue.claim('k', 1, LONG_MS)).length, 1)
    await pass(database, LONG_MS + 1)
  }
  assert.deepEqual(await queue.claim('k', 1, LONG_MS), [])
  assert.match((await queue.get(poison))!.error!, /as often as it may be tried/)
  const late = await add(queue, { deadlineInMs: 50_000 })
  await pass(database, 60_000)
  assert.deepEqual(await queue.claim('k', 1, LONG_MS), [])
  assert.match((await queue.get(late))!.error!, /before its deadline/)
})

eachDatabase('what is cancelled is not begun, and what runs is told and can write no more', async (database) => {
  const queue = queueOf(database)
  const waiting = await add(queue)
  await queue.cancel(waiting)
  assert.deepEqual(await queue.claim('k', 1, LONG_MS), [])
  let told = false
  let claimed: Database | undefined
  await using running = worker(
    queue,
    {
      async run(claim, signal) {
        claimed = claim.database
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        told = true
      },
    },
    150,
  )
  await running.start()
  const id = await add(queue)
  await until(() => claimed !== undefined, 'it runs')
  await queue.cancel(id)
  await assert.rejects(leave(claimed!, 1), LOST)
  await until(() => told, 'it is told')
  assert.equal((await queue.get(id))?.state, 'cancelled')
})

eachDatabase('what is scheduled is there once, is done again and again, and goes on after a failure', async (database) => {
  const queue = queueOf(database)
  let times = 0
  const kind: Omit<WorkKind, 'kind'> = {
    standing: { key: 'standing', schedule: { everyMs: 20 }, dueInMs: 0 },
    async run() {
      if (++times === 2) throw new SlipwayError('SLW_CONFLICT', 'on purpose')
    },
  }
  {
    await using _one = worker(queue, kind)
    await using _other = worker(queueOf(database, 'other'), kind)
    await Promise.all([_one.start(), _other.start()])
    await until(() => times >= 5, 'it is done again and again')
  }
  const items = await queue.list({}, 10)
  assert.equal(items.length, 1)
  assert.deepEqual([items[0]!.state, items[0]!.key], ['waiting', 'standing'])
})

eachDatabase('work runs in one place, keeps its claim, and is taken over at once where a process ends', async (database) => {
  const running: string[] = []
  const loop = (name: string): Worker =>
    worker(
      queueOf(database, name),
      {
        async run(_claim, signal) {
          running.push(name)
          await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
          running.splice(running.indexOf(name), 1)
          signal.throwIfAborted()
        },
      },
      300,
    )
  await add(queueOf(database))
  const first = loop('first')
  await first.start()
  await until(() => running.includes('first'), 'the first runs')
  await using second = loop('second')
  await second.start()
  // Several times as long as the lease lasts without renewal.
  for (let n = 0; n < 10; n++) {
    await sleep(100)
    assert.deepEqual(running, ['first'])
  }
  await first[Symbol.asyncDispose]()
  await until(() => running.includes('second'), 'the second runs')
  assert.deepEqual(running, ['second'])
  const [item] = await queueOf(database).list({}, 1)
  assert.equal(item?.attempts, 1, 'that a process ends is no attempt of it')
})

eachDatabase('work is told to end when its claim is lost', async (database) => {
  const ended: unknown[] = []
  let begun = 0
  await using running = worker(
    queueOf(database),
    {
      async run(_claim, signal) {
        begun++
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
        ended.push((signal.reason as { code?: string }).code)
        signal.throwIfAborted()
      },
    },
    300,
  )
  await add(queueOf(database))
  await running.start()
  await until(() => begun === 1, 'it runs')
  await until(async () => {
    await pass(database, LONG_MS)
    return (await queueOf(database, 'thief').claim('k', 1, LONG_MS)).length === 1
  }, 'it was taken')
  await until(() => ended.length > 0, 'it ended')
  assert.equal(ended[0], 'SLW_LEASE_LOST')
})

eachDatabase('what is reserved is left to its process for a minute, and then to anybody', async (database) => {
  const [own, other] = [queueOf(database), queueOf(database, 'other')]
  await add(own, { ours: true, payload: 1 })
  await add(own, { ours: true, payload: 2 })
  assert.deepEqual(await other.claim('k', 5, LONG_MS), [])
  assert.equal((await own.claim('k', 1, LONG_MS)).length, 1)
  await pass(database, 61_000)
  assert.equal((await other.claim('k', 5, LONG_MS)).length, 1)
})

eachDatabase('a long transaction of one item keeps neither itself nor others from being kept', async (database, { url }) => {
  await using elsewhere = await openPlace(url)
  const queue = queueOf(database)
  const ids = [await add(queue), await add(queue)]
  const [long] = await queue.claim('k', 2, LONG_MS)
  let renewed: ReadonlySet<string> | undefined
  await long!.database.write(async (write) => {
    await write.updateTable('counters').set({ value: 4 }).where('name', '=', 'event').execute()
    // SQLite has one transaction at a time: there the renewal waits for its turn.
    if (database.dialect === 'postgres') renewed = await queueOf(elsewhere).renew(ids, LONG_MS)
  })
  renewed ??= await queue.renew(ids, LONG_MS)
  assert.deepEqual(renewed, new Set(ids))
})

eachDatabase('an end that cannot be written down is told as a failure, and those beside it are done', async (database) => {
  const queue = queueOf(database)
  const odd = await add(queue, { payload: 'odd', attemptsMax: 3 })
  const ends = await add(queue, { payload: 'even' })
  const nul = await add(queue, { payload: 'nul', attemptsMax: 1 })
  await using running = worker(queue, {
    concurrency: 3,
    run({ item }) {
      if (item.payload === 'nul') return Promise.reject(new Error('a \0 in it'))
      return Promise.resolve(item.payload === 'odd' ? { text: '\0', big: 1n } : 'fine')
    },
  })
  await running.start()
  const states = async () => await Promise.all([odd, ends, nul].map(async (id) => (await queue.get(id))?.state))
  await until(async () => (await states()).every((state) => state === 'done' || state === 'failed'), 'all have ended')
  assert.deepEqual(await states(), ['failed', 'done', 'failed'])
  assert.match((await queue.get(odd))!.error!, /cannot be written down/)
})

eachDatabase('a kind that cannot be looked for keeps none of the others', async (database) => {
  const queue = queueOf(database)
  await add(queue)
  await add(queue, { kind: 'broken' })
  let done = 0
  await using running = new Worker({
    queue,
    kinds: [
      { kind: 'broken', isWanted: () => Promise.reject(new Error('on purpose')), run: () => Promise.resolve() },
      { kind: 'k', run: () => Promise.resolve(done++) },
    ],
    clock: systemClock,
    log: silentLogger,
    lookMs: 10,
  })
  await running.start()
  await until(() => done === 1, 'it is done all the same')
})

/** Items for children, and how often each was done. */
async function countsOf(database: Database): Promise<Map<string, number>> {
  const rows = await database.read.selectFrom('counters').selectAll().where('name', 'like', 'item-%').execute()
  return new Map(rows.map(({ name, value }) => [name, value]))
}

async function fill(queue: WorkQueue, count: number): Promise<void> {
  await queue.database.write(async (write) => {
    for (let n = 0; n < count; n++) await queue.enqueue(write, { kind: 'count', payload: { n }, attemptsMax: 100 })
  })
}

async function allDoneOnce(database: Database, count: number): Promise<void> {
  const queue = queueOf(database)
  await until(async () => (await queue.counts()).every(({ state }) => state === 'done'), 'all is done', 60_000)
  const counts = await countsOf(database)
  assert.deepEqual([counts.size, [...counts.values()].filter((value) => value !== 1)], [count, []])
}

eachDatabase('two processes, of which one stands still for longer than its lease, do each item once', async (database, { url }) => {
  const queue = queueOf(database)
  await fill(queue, 300)
  await using one = databaseChild('work', url, '400', '4')
  await using other = databaseChild('work', url, '400', '4')
  assert.equal(await one.line(), 'working')
  await other.line()
  for (let pauses = 0; pauses < 3; pauses++) {
    one.kill('SIGSTOP')
    await sleep(700)
    one.kill('SIGCONT')
    await sleep(Math.random() * 50)
  }
  await allDoneOnce(database, 300)
})

describe('a process that is killed in the middle of work', { timeout: 300_000 }, () => {
  for (const step of WORK_STEPS)
    for (const place of ['SQLite', 'PostgreSQL'])
      it(`at ${step}: nothing is lost, nothing is done twice (${place})`, async () => {
        await using folder = await temporaryFolder()
        const url = place === 'SQLite' ? `sqlite:${join(folder.path, 'slipway.db')}` : await newMigratedPostgres()
        await using database = await openPlace(url)
        await migrate(database, ROOMS)
        await fill(queueOf(database), 40)
        const trigger = await folder.write('now', '')
        // One step of each kind, and then at random.
        await using doomed = failingChild(`${step}:kill@${trigger}`, 'work', url, '300', '3')
        await Promise.race([doomed.exited, sleep(2000)])
        for (let kills = 0; kills < 4; kills++) {
          await using child = databaseChild('work', url, '300', '3')
          await child.line()
          await sleep(Math.random() * 60)
          child.kill('SIGKILL')
          await child.exited
        }
        await using _last = databaseChild('work', url, '300', '3')
        await allDoneOnce(database, 40)
      })
})

it('a schedule has its next time, in its zone', () => {
  assert.equal(nextTime({ everyMs: 500 }, 1000), 1500)
  const berlin = nextTime({ cron: '0 3 * * *', timeZone: 'Europe/Berlin' }, Date.UTC(2026, 6, 1))
  assert.equal(new Date(berlin).toISOString(), '2026-07-01T01:00:00.000Z')
  assert.throws(() => nextTime({ cron: 'soon' }, 0), /"soon" in time zone "UTC": .*expected five fields/)
  assert.throws(() => nextTime({ cron: '0 0 31 2 *' }, 0), { code: 'SLW_INPUT_INVALID' })
})
