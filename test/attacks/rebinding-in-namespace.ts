/**
 * A control plane in a network of its own, whose names are answered by an attacker: run by rebinding.test.ts. Prints what was asked, and
 * what became of the deliveries.
 */
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { planeInProcess } from '../api/in-plane.ts'
import type { Socket } from 'node:dgram'
import type { WebhookDeliveryAnswer } from '../../src/contract/registry-api.ts'

const [OUTSIDE, INSIDE] = ['1.2.3.4', '127.0.0.1']
const [A, AAAA] = [1, 28]
/** Answers to the questions for the IPv4 addresses of a name, in turn; the last one stays. A test ends by itself without answers for IPv6. */
const NAMES: Readonly<Record<string, (asked: number) => readonly string[]>> = {
  'honest.test': () => [OUTSIDE],
  'switching.test': (asked) => [asked % 2 === 0 ? OUTSIDE : INSIDE],
  'later.test': (asked) => [asked < 2 ? OUTSIDE : INSIDE],
  'both.test': () => [OUTSIDE, INSIDE],
  'both-turned.test': () => [INSIDE, OUTSIDE],
  'mapped.test': () => [],
}
const MAPPED = Buffer.from('00000000000000000000ffff7f000001', 'hex')

/** A name server (RFC 1035) whose answers are good for no time at all. */
async function nameServer(): Promise<Socket> {
  const asked = new Map<string, number>()
  const server = createSocket('udp4')
  server.on('message', (query, { port, address }) => {
    const labels: string[] = []
    let at = 12
    for (let length = query[at]!; length > 0; length = query[at]!) {
      labels.push(query.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
    const name = labels.join('.')
    const type = query.readUInt16BE(at + 1)
    const question = query.subarray(12, at + 5)
    const count = asked.get(name) ?? 0
    const known = NAMES[name]
    if (type === A) asked.set(name, count + 1)
    const addresses =
      type === A
        ? (known?.(count) ?? []).map((text) => Buffer.from(text.split('.').map(Number)))
        : type === AAAA && name === 'mapped.test'
          ? [MAPPED]
          : []
    const answers = addresses.map((bytes) => {
      const head = Buffer.alloc(12)
      head.writeUInt16BE(0xc0_0c, 0)
      head.writeUInt16BE(type, 2)
      head.writeUInt16BE(1, 4)
      head.writeUInt16BE(bytes.length, 10)
      return Buffer.concat([head, bytes])
    })
    const head = Buffer.alloc(12)
    query.copy(head, 0, 0, 2)
    // An answer with authority; the name is known or not.
    head.writeUInt16BE(known === undefined ? 0x84_03 : 0x84_00, 2)
    head.writeUInt16BE(1, 4)
    head.writeUInt16BE(answers.length, 6)
    server.send(Buffer.concat([head, question, ...answers]), port, address)
  })
  server.bind(53, INSIDE)
  await once(server, 'listening')
  return server
}

const hits = { inside: 0, outside: new Map<string, number>() }
const victim = createServer((request, response) => {
  hits.inside += 1
  request.resume()
  response.end()
})
victim.listen(8080, INSIDE)
await once(victim, 'listening')
const receiver = createServer((request, response) => {
  const host = request.headers.host!.split(':', 1)[0]!
  hits.outside.set(host, (hits.outside.get(host) ?? 0) + 1)
  request.resume()
  response.end()
})
receiver.listen(8080, OUTSIDE)
await once(receiver, 'listening')
const names = await nameServer()

const told: Record<string, unknown> = {}
{
  await using plane = await planeInProcess()
  const ids = new Map<string, string>()
  for (const name of Object.keys(NAMES)) {
    const made = await plane.ask('POST', '/webhooks', {
      name: name.replace('.', '-'),
      url: `http://${name}:8080/`,
      events: ['model.created'],
    })
    ids.set(name, made.body.id)
  }
  const errors = new Map<string, Set<string>>(Object.keys(NAMES).map((name) => [name, new Set()]))
  /** What failed is tried again later, by itself, and its error is that of the last time. */
  const look = async (): Promise<void> => {
    for (const [name, id] of ids) {
      const { items } = (await plane.ask('GET', `/webhooks/${id}/deliveries`)).body as { items: WebhookDeliveryAnswer[] }
      for (const { lastError } of items) if (lastError !== undefined) errors.get(name)!.add(lastError)
    }
  }
  for (let n = 0; n < 6; n++) {
    await plane.ask('POST', '/models', { name: `m${n}` })
    for (let looks = 0; looks < 6; looks++) {
      await sleep(250)
      await look()
    }
  }
  for (const name of ids.keys()) told[name] = { outside: hits.outside.get(name) ?? 0, errors: [...errors.get(name)!] }
}
console.log(JSON.stringify({ inside: hits.inside, told }))
victim.close()
receiver.close()
names.close()
