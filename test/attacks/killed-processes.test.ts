import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { addingModel, QUESTION } from '../adding-models.ts'
import { ask } from '../asking.ts'
import { serveInChild } from '../child-server.ts'
import { alive, childrenOf, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { LONG, seeded } from './long.ts'
import type { ChildServer } from '../child-server.ts'

const CLIENTS = 4

/** Asks on a connection of its own. @returns the status, or the code of the error */
async function outcome(server: ChildServer): Promise<number | string> {
  try {
    return (await ask(`${server.url}/v2/models/m/infer`, { method: 'POST', body: QUESTION })).status
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error)
  }
}

describe('processes of a server that are killed', () => {
  it('all at once are started again, and connections wait for them', async () => {
    await using folder = await temporaryFolder()
    await folder.write('m.onnx', addingModel(1))
    await using server = await serveInChild([`m=${folder.path}/m.onnx`, '--processes', '2', '--instances', '1', '--drain-pause', '0ms'])
    for (let round = 0; round < 3; round++) {
      const victims = childrenOf(server.pid)
      for (const pid of victims) process.kill(pid, 'SIGKILL')
      await until(() => !victims.some(alive), 'they have ended')
      assert.deepEqual(await Promise.all(Array.from({ length: 8 }, () => outcome(server))), Array(8).fill(200), `round ${round}`)
      await until(() => childrenOf(server.pid).length === 2, 'both are there again')
    }
    assert.equal(server.said().match(/a serving process ended and is started again/g)?.length, 6)
    server.signal('SIGTERM')
    assert.equal(await server.exit, 0, server.said().slice(-1500))
  })

  it('in any pattern take along what they held, and nothing else', async () => {
    const random = seeded('kills')
    await using folder = await temporaryFolder()
    await folder.write('m.onnx', addingModel(1))
    await using server = await serveInChild([`m=${folder.path}/m.onnx`, '--processes', '2', '--instances', '1', '--drain-pause', '0ms'])
    const counts = new Map<number | string, number>()
    const over = new AbortController()
    const clients = Array.from({ length: CLIENTS }, async () => {
      while (!over.signal.aborted) {
        const told = await outcome(server)
        counts.set(told, (counts.get(told) ?? 0) + 1)
      }
    })
    const kills = LONG ? 200 : 15
    for (let kill = 0; kill < kills;) {
      await sleep(random.below(2500))
      // Half of the time all there are.
      const victims = childrenOf(server.pid)
      for (const pid of random.next() < 0.5 ? victims : victims.slice(0, 1)) {
        process.kill(pid, 'SIGKILL')
        kill++
      }
    }
    await until(async () => (await outcome(server)) === 200, 'it answers')
    over.abort()
    await Promise.all(clients)
    const { 200: answered = 0, ...failed } = Object.fromEntries(counts) as Record<string, number>
    assert.deepEqual(
      Object.keys(failed).filter((code) => !['ECONNRESET', 'EPIPE'].includes(code)),
      [],
      JSON.stringify(failed),
    )
    const lost = Object.values(failed).reduce((sum, count) => sum + count, 0)
    console.log(`${kills} kills, ${answered} answered, ${lost} lost with their process`)
    assert.ok(answered > 20 && lost <= kills * CLIENTS, `${answered} answered, ${lost} lost`)
    server.signal('SIGTERM')
    assert.equal(await server.exit, 0, server.said().slice(-1500))
  })
})
