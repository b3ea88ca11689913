import { cp, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { print, style } from '../output.ts'
import { FAILS_FROM_CALLS, makeBad } from './bad-version.ts'
import { Crowd } from './crowd.ts'
import type { Commands } from './commands.ts'

/** Clients, and what each waits after an answer: some hundred requests a second, of which a laptop notices little. */
const CROWD = { clients: 16, pauseMs: 25 }
/** Both rollouts have to be over by then. */
const LIMIT_MS = 120_000

interface Stage {
  readonly folder: string
  readonly example: string
  readonly commands: Commands
  readonly server: { readonly url: string }
  /** Flags that name the control plane. */
  readonly there: readonly string[]
}

/** Short steps, and limits that some hundreds of requests can show; the defaults take twenty minutes and a day's judgement. */
const STRATEGY = `strategy: canary
steps: [20, 50]
bake: 5s
burnIn: 0s
errors: {cap: 0.1, clusters: never}
latency: {edgeMs: 1000, cap: 0.1}
`

/**
 * A good version walks into production step by step, and a bad one back out of it, while clients ask.
 * @returns how many requests failed that should not have
 */
export async function showRollouts({ folder, example, commands, server, there }: Stage): Promise<number> {
  print(`\n${style('bold', 'A rollout')}: version 2 again, step by step, judged by what happens to requests. canary.yaml:`)
  await writeFile(join(folder, 'canary.yaml'), STRATEGY)
  print(style('dim', STRATEGY.trimEnd().replaceAll(/^/gm, '  ')))
  const bodies = await customersIn(join(example, 'customers.csv'))
  const good = new Crowd(server, bodies, CROWD)
  await commands.watch(['rollout', 'start', 'churn', '--to', '2', '-f', 'canary.yaml', '--wait', ...there], { limitMs: LIMIT_MS })
  await commands.run(['rollout', 'show', 'churn', ...there])
  await good.stop()
  print(`  ${style('green', 'promoted')} under ${good.requests} requests, ${good.failed} failed`)

  print(`\n${style('bold', 'A bad version')}: it fails at customers with ${FAILS_FROM_CALLS} calls or more, which no golden example has`)
  const worse = join(folder, 'worse')
  await cp(example, worse, { recursive: true })
  await makeBad(worse)
  await commands.run(['model', 'push', 'worse', '--name', 'churn', ...there], /^churn|servable/)
  const bad = new Crowd(server, bodies, CROWD)
  const walk = ['rollout', 'start', 'churn', '--to', '3', '-f', 'canary.yaml', '--wait', ...there]
  await commands.watch(walk, { limitMs: LIMIT_MS, code: 3 })
  await commands.run(['rollout', 'show', 'churn', ...there])
  await bad.stop()
  const refused = bad.codes.get(BY_MODEL) ?? 0
  const others = bad.failed - refused
  print(
    `  ${style('green', 'rolled back')}: ${refused} of ${bad.requests} requests met the bad version and failed, as was to be expected; ${others} others failed`,
  )
  return good.failed + others
}

/** How a request fails that only the bad version fails at: the model itself refuses what the one before takes. */
const BY_MODEL = 'SLW_RUN_REJECTED'

/** The customers of a CSV file, as bodies of requests. */
async function customersIn(file: string): Promise<string[]> {
  const [header = '', ...lines] = (await readFile(file, 'utf8')).trim().split(/\r?\n/)
  const names = header.split(',')
  return lines.map((line) => {
    const cells = line.split(',').map((cell): unknown => (/^(true|false|[\d.]+)$/.test(cell) ? JSON.parse(cell) : cell))
    return JSON.stringify(Object.fromEntries(names.map((name, index) => [name, cells[index]])))
  })
}
