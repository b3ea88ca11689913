/** An old Node starts the one that the repository brings, and the two end together. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { it } from 'node:test'
import { ask } from '../asking.ts'
import { childrenOf, example, freePort, ROOT, until } from '../fixtures.ts'
import { nodeFolder } from '../node-release.ts'

const OLD_NODE = '22.23.5'

function launch(args: readonly string[]) {
  return spawn(join(nodeFolder(OLD_NODE), 'node'), [join(ROOT, 'bin/slipway'), ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
}

for (const signal of ['SIGKILL', 'SIGTERM'] as const)
  it(`the server ends when its launcher is ended by ${signal}`, { timeout: 300_000 }, async () => {
    const url = `http://127.0.0.1:${await freePort()}`
    const child = launch(['serve', example('churn'), '--port', new URL(url).port, '--drain-pause', '0ms'])
    const ended = once(child, 'exit')
    const status = (): Promise<number> =>
      ask(`${url}/ready`).then(
        (answer) => answer.status,
        () => 0,
      )
    try {
      await until(async () => (await status()) === 200, 'it is ready')
    } finally {
      child.kill(signal)
    }
    assert.deepEqual(await ended, signal === 'SIGKILL' ? [null, 'SIGKILL'] : [0, null])
    await until(async () => (await status()) === 0, 'nobody answers any more')
  })

it('the launcher ends with the code of the command, or with 128 and the signal that has ended it', { timeout: 300_000 }, async () => {
  assert.deepEqual(await once(launch(['version']), 'exit'), [0, null])
  assert.deepEqual(await once(launch(['no-such-command']), 'exit'), [2, null])
  const server = launch(['serve', example('churn'), '--port', '0'])
  const ended = once(server, 'exit')
  await until(() => childrenOf(server.pid!).length === 1, 'it has begun')
  process.kill(childrenOf(server.pid!)[0]!, 'SIGSEGV')
  assert.deepEqual(await ended, [139, null])
})
