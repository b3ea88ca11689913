import { Agent } from 'node:http'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { askAdding } from '../keep-alive-load.ts'
import type { SoakModel } from './fleet.ts'
import type { Random } from './random.ts'
import type { Verdict } from './verdict.ts'

export interface Asker {
  readonly url: string
  readonly verdict: Verdict
  readonly signal: AbortSignal
}

/** Questions are few, so that caches have what to do. */
const QUESTIONS = 20
const OWN_TIMEOUT_SHARE = 0.05

async function askOne({ url, verdict }: Asker, agent: Agent, model: SoakModel, random: Random): Promise<void> {
  const ownTimeout = random.next() < OWN_TIMEOUT_SHARE
  const headers = ownTimeout ? { 'slipway-timeout-ms': String(50 + random.below(500)) } : {}
  const from = Date.now()
  const answer = await askAdding(agent, url, model.name, { headers, first: random.below(QUESTIONS) })
  verdict.judge({ ...answer, ownTimeout, from, until: Date.now() })
}

/** One keep-alive client that asks for models as they are wanted: few often, most seldom (Zipf's law, with this exponent). */
export async function client(asker: Asker, fleet: readonly SoakModel[], random: Random, exponent: number): Promise<void> {
  const shares = fleet.map((_, rank) => 1 / (rank + 1) ** exponent)
  const all = shares.reduce((sum, share) => sum + share, 0)
  const choose = (): SoakModel => {
    let point = random.next() * all
    return fleet.find((_, rank) => (point -= shares[rank]!) < 0) ?? fleet[0]!
  }
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (!asker.signal.aborted) {
    await askOne(asker, agent, choose(), random)
    await sleep(random.below(15))
  }
  agent.destroy()
}

/** So many clients ask one model at once, without a pause. */
export async function burst(asker: Asker, model: SoakModel, random: Random, clients: number): Promise<void> {
  const end = Date.now() + 2000
  await Promise.all(
    Array.from({ length: clients }, async () => {
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      while (Date.now() < end && !asker.signal.aborted) await askOne(asker, agent, model, random)
      agent.destroy()
    }),
  )
}

/** Clients that send half a body, or read slowly, and then go away. */
export async function slowClients({ url, signal }: Asker, model: SoakModel, random: Random): Promise<void> {
  const port = Number(new URL(url).port)
  const body = JSON.stringify(Array.from({ length: 1000 }, () => [1, 2, 3, 4]))
  const head = `POST /models/${model.name}/predict HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`
  const sockets = Array.from({ length: 20 }, (_, index) => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    if (index % 2 === 0) socket.write(`${head}${body.slice(0, random.below(body.length - 1))}`)
    else {
      socket.write(`${head}${body}`)
      socket.on('data', () => {
        socket.pause()
        setTimeout(() => socket.resume(), 50)
      })
    }
    return socket
  })
  await sleep(1000 + random.below(3000), undefined, { signal }).catch(() => {})
  for (const socket of sockets) socket.destroy()
}
