/**
 * How long it takes to undo a rollout: from the command to the moment at which the last of three servers answers by the version before.
 * `npm run bench:rollouts [-- ROUNDS]`; two minutes. Prints a table and asserts nothing.
 */
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { helpFrom } from '../scripts/help.ts'
import { planeInProcess } from '../test/api/in-plane.ts'
import { serveInChild } from '../test/child-server.ts'
import { until } from '../test/fixtures.ts'
import { added, adders } from '../test/following/following.ts'
import { temporaryFolder } from '../test/temporary-folder.ts'
import { markdownTable, median, rangeOf } from './table.ts'

helpFrom(import.meta.filename)

const ROUNDS = Number(process.argv[2] ?? 11)
if (!Number.isInteger(ROUNDS) || ROUNDS < 1)
  throw new Error(`usage: npm run bench:rollouts [-- ROUNDS]; ROUNDS is a whole number from 1, not "${process.argv[2]}"`)
const GOAL_MS = 2000
const EACH_MS = 5

await using opened = new AsyncDisposableStack()
const plane = opened.use(await planeInProcess())
const folder = opened.use(await temporaryFolder())
await adders(plane, 2)
const servers = await Promise.all(
  ['a', 'b', 'c'].map(async (name) =>
    opened.use(await serveInChild(['--control-plane', plane.url, '--store', join(folder.path, name), '--server-name', name])),
  ),
)
const spec = { variants: [{ model: 'adder/1' }] }
await plane.ask('PUT', '/endpoints/adder', { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'adder' }, spec })

/** Waits until all servers answer by a version. @returns when each did first, by the clock of `performance` */
async function answerBy(version: number): Promise<number[]> {
  return await Promise.all(
    servers.map(async (server) => {
      const end = performance.now() + 30_000
      while ((await added(server)) !== version) {
        if (performance.now() > end)
          throw new Error(`${server.url} does not answer by version ${version} within 30 s; it said: ${server.said()}`)
        await pause(EACH_MS)
      }
      return performance.now()
    }),
  )
}

interface Undone {
  /** Until the command was answered. */
  readonly commandMs: number
  readonly firstMs: number
  readonly lastMs: number
}

/** Walks to version 2, and back from a state in which all requests go to it. */
async function undo(state: string, rollout: object): Promise<Undone> {
  await answerBy(1)
  const { status, body } = await plane.ask('POST', '/endpoints/adder/rollouts', {
    to: '2',
    anew: true,
    rollout: { ...rollout, rollbackWindow: '0s' },
  })
  if (status !== 201) throw new Error(`the rollout does not start: ${JSON.stringify(body)}`)
  await until(async () => (await plane.ask('GET', '/endpoints/adder/rollouts/latest')).body.state === state, `it is ${state}`, 30_000)
  await answerBy(2)
  await pause(500)
  const before = performance.now()
  const commanded = plane.ask('POST', '/endpoints/adder/rollouts/latest/commands', { command: 'abort' }).then((answer) => {
    if (answer.status !== 200) throw new Error(`it is not aborted: ${JSON.stringify(answer.body)}`)
    return performance.now()
  })
  const times = await answerBy(1)
  return { commandMs: (await commanded) - before, firstMs: Math.min(...times) - before, lastMs: Math.max(...times) - before }
}

const rows: string[][] = []
for (const [what, state, rollout, goal] of [
  ['the version before is still loaded', 'baking', { strategy: 'blue-green', bakeAfter: '1h' }, `<= ${GOAL_MS} ms`],
  ['the new version is in force, and the one before has to be loaded', 'watching', { strategy: 'all-at-once', watchAfter: '1h' }, ''],
] as const) {
  const rounds: Undone[] = []
  for (let round = 0; round < ROUNDS; round++) rounds.push(await undo(state, rollout))
  const figure = (of: keyof Undone): string => {
    const all = rounds.map((round) => round[of])
    const [least, most] = rangeOf(all)
    return `${median(all).toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)})`
  }
  rows.push([what, figure('commandMs'), figure('firstMs'), figure('lastMs'), goal])
}
console.log(markdownTable([`abort, median of ${ROUNDS}`, 'command answered', 'first server', 'last of three', 'goal'], rows))
