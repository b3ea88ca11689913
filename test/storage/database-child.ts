/** A process of its own that uses a database, for tests that end or pause it: `database-child.ts ACTION URL ...`. */
import { randomUUID } from 'node:crypto'
import { createInterface } from 'node:readline'
import { sql } from 'kysely'
import { systemClock } from '../../src/core/clock.ts'
import { silentLogger } from '../../src/core/log.ts'
import { Leases } from '../../src/storage/sql/leases.ts'
import { migrate } from '../../src/storage/sql/migrate.ts'
import { openDatabase } from '../../src/storage/sql/open.ts'
import { openPostgres } from '../../src/storage/sql/postgres.ts'
import { WorkQueue } from '../../src/storage/work/work-queue.ts'
import { Worker } from '../../src/storage/work/worker.ts'
import { openPlace } from './open-place.ts'
import { STEPS } from './steps.ts'
import { ROOMS } from '../../src/control-plane/rooms.ts'

const [action, url = '', ...rest] = process.argv.slice(2)
const say = (text: string): void => void process.stdout.write(`${text}\n`)
const stayForEver = (): Promise<never> => new Promise(() => setInterval(() => {}, 1000))

const ACTIONS: Record<string, () => Promise<void>> = {
  /** Opens it as a control plane does, and keeps it. */
  async open() {
    await openDatabase(url, ROOMS)
    say('open')
    await stayForEver()
  },
  /** Stays in the middle of a transaction. */
  async half() {
    const database = await openPlace(url)
    await database.write(async (transaction) => {
      for (let n = 0; n < 100; n++)
        await transaction
          .insertInto('counters')
          .values({ name: `half-${n}`, value: n })
          .execute()
      say('half')
      await stayForEver()
    })
  },
  /** Transactions of two rows each, and says so after each. */
  async pairs() {
    const database = await openPlace(url)
    for (let n = 0; ; n++) {
      await database.write(async (transaction) => {
        await transaction
          .insertInto('counters')
          .values({ name: `left-${n}`, value: n })
          .execute()
        await transaction
          .insertInto('counters')
          .values({ name: `right-${n}`, value: n })
          .execute()
      })
      say(String(n))
    }
  },
  /** Migrates when it is told to, and ends as the kernel would after the step that it is given. */
  async migrate() {
    const [killAfter] = rest
    await using database = await openPlace(url)
    say('ready')
    for await (const _ of createInterface(process.stdin)) break
    const applied = await migrate(database, {
      migrations: STEPS,
      onApplied: (name) => {
        if (name === killAfter) process.kill(process.pid, 'SIGKILL')
      },
    })
    say(JSON.stringify(applied))
    process.stdin.destroy()
  },
  /** Takes a lease and, each time it is told to, writes its token in a fenced transaction. */
  async lease() {
    const [name = '', ttlMs] = rest
    await using database = await openPlace(url)
    const lease = await new Leases(database, `process ${process.pid}`).acquire(name, Number(ttlMs))
    if (lease === undefined) throw new Error('somebody has it')
    say(String(lease.token))
    for await (const _ of createInterface(process.stdin)) {
      try {
        await database.write(async (transaction) => {
          await lease.fenced(transaction)
          await sql`update counters set value = ${lease.token} where name = 'event'`.execute(transaction)
        })
        say('wrote')
      } catch (error) {
        say(`${(error as { code?: string }).code}`)
      }
    }
  },
  /** Does items of the kind `count`: each adds one to a row of its own, and is done with that. */
  async work() {
    const [leaseMs, atOnce] = rest
    const database = await openPlace(url)
    const queue = new WorkQueue({ database, holder: `process ${process.pid}`, newId: () => randomUUID().replaceAll('-', '') })
    const worker = new Worker({
      queue,
      clock: systemClock,
      log: silentLogger,
      leaseMs: Number(leaseMs),
      lookMs: 20,
      kinds: [
        {
          kind: 'count',
          concurrency: Number(atOnce),
          async run(claim) {
            const { n } = claim.item.payload as { n: number }
            await claim.progress({ begun: true })
            await claim.complete((write) =>
              write
                .insertInto('counters')
                .values({ name: `item-${n}`, value: 1 })
                .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: sql`counters.value + 1` }))
                .execute(),
            )
            say(String(n))
          },
        },
      ],
    })
    await worker.start()
    say('working')
    await stayForEver()
  },
  /** Takes a lease and stays within a fenced transaction until it is told to go on. */
  async within() {
    const [name = '', ttlMs] = rest
    const database = await openPostgres({ url, idleInTransactionMs: 500 })
    const lease = await new Leases(database, `process ${process.pid}`).acquire(name, Number(ttlMs))
    try {
      await database.write(async (transaction) => {
        await lease?.fenced(transaction)
        say('within')
        for await (const _ of createInterface(process.stdin)) break
        await sql`update counters set value = ${-1} where name = 'event'`.execute(transaction)
      })
      say('wrote')
    } catch (error) {
      say(`${(error as { code?: string }).code}`)
    }
    process.exit()
  },
}

await ACTIONS[action ?? '']?.()
