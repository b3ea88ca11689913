import { appendFile, cp } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { formatMs } from '../../core/units.ts'
import { print, style } from '../output.ts'
import { Commands } from './commands.ts'
import { Crowd } from './crowd.ts'
import { showRollouts } from './rollouts.ts'

const CLIENTS = 16
const LIMIT_MS = 30_000

/**
 * A control plane and a server that follows it: push, deploy, push, the alias moves, a rollback, all while clients send requests; then two rollouts.
 * @returns how many of these failed
 */
export async function showControlPlane(folder: string, example: string): Promise<number> {
  await cp(example, join(folder, 'first'), { recursive: true })
  await cp(example, join(folder, 'second'), { recursive: true })
  await appendFile(join(folder, 'second', 'README.md'), '\nThe second version.\n')
  const commands = new Commands(folder)
  print(`\n${style('bold', 'The same model from a control plane')}, by the commands as they stand here, in ${folder}`)
  await using opened = new AsyncDisposableStack()
  const plane = opened.use(await commands.serve(['up', '--data', 'plane', '--port', '0', '--no-server'], /is up: .*?(http:\/\/[\w.:]+)/))
  print(`  a control plane on ${plane.url}, everything in one folder`)
  const there = ['--url', plane.url]
  await commands.run(['model', 'push', 'first', '--name', 'churn', '--alias', 'champion', ...there], /^sending|^churn|servable/)
  await commands.run(['deploy', 'churn@champion', ...there], /^endpoint/)
  const started = performance.now()
  const server = opened.use(
    await commands.serve(
      ['serve', '--control-plane', plane.url, '--endpoint', 'churn', '--store', 'store', '--server-name', 'demo', '--port', '0'],
      /(http:\/\/[\w.:]+)\/predict/,
    ),
  )
  await answersWith(server, '1')
  print(`  answers on ${server.url}, ${formatMs(performance.now() - started)} after the start; from here on ${CLIENTS} clients ask`)
  const crowd = new Crowd(server, [await (await fetch(`${server.url}/models/churn/example`)).text()], { clients: CLIENTS })
  await commands.run(['model', 'push', 'second', '--name', 'churn', ...there], /^sending|^churn|servable/)
  await showSwitch(server, '2', () => commands.run(['alias', 'set', 'churn@champion', '2', ...there]))
  await showSwitch(server, '1', () => commands.run(['endpoint', 'rollback', 'churn', ...there]))
  await crowd.stop()
  const answered = [...crowd.versions].map(([version, count]) => `${count} by version ${version}`).join(', ')
  print(`  meanwhile ${crowd.requests} requests: ${answered}, ${crowd.failed} failed`)
  return crowd.failed + (await showRollouts({ folder, example, commands, server, there }))
}

/** Runs a command after which another version is to answer, and prints how long that took from its start. */
async function showSwitch(server: { readonly url: string }, version: string, command: () => Promise<void>): Promise<void> {
  const started = performance.now()
  const switched = answersWith(server, version).then(() => performance.now() - started)
  await Promise.all([command(), switched])
  print(`  churn/${version} answers ${style('green', formatMs(await switched))} after the command was begun`)
}

async function answersWith(server: { readonly url: string }, version: string): Promise<void> {
  for (const end = performance.now() + LIMIT_MS; performance.now() < end; await pause(5)) {
    const response = await fetch(`${server.url}/v2/models/churn`)
    const { versions } = (await response.json()) as { versions?: string[] }
    if (versions?.includes(version) === true) return
  }
  throw new Error(`version ${version} does not answer`)
}
