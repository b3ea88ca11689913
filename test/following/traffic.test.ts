/** People share out the requests of an endpoint from the command line, and servers that follow do so at once, each unit at its place. */
import assert from 'node:assert/strict'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { QUESTION } from '../adding-models.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { adders, follows } from './following.ts'
import type { Range } from '../../src/contract/ranges.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

const UNITS = 300

/** Which version each unit gets. */
async function versions({ url }: SlipwayServer): Promise<string[]> {
  return await Promise.all(
    Array.from({ length: UNITS }, async (_, unit) => {
      const headers = { 'slipway-unit': `user-${unit}` }
      const response = await fetch(`${url}/v2/models/adder/infer`, { method: 'POST', body: QUESTION, headers })
      return ((await response.json()) as { model_version: string }).model_version
    }),
  )
}

it('`slipway traffic` shares out requests: a canary grows, nobody else loses what they have, and what is wrong is told', async () => {
  await using plane = await planeInProcess()
  await using folder = await temporaryFolder()
  await adders(plane, 3)
  const variants = [
    { name: 'main', model: 'adder/1', weight: 80 },
    { name: 'other', model: 'adder/2', weight: 20 },
    { name: 'next', model: 'adder/3', weight: 0 },
  ]
  const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'adder' }, spec: { variants } }
  assert.equal((await plane.ask('PUT', '/endpoints/adder', document)).status, 201)
  const traffic = async (...args: string[]) => await slipway(['traffic', 'adder', ...args, '--url', plane.url])
  const shown = await traffic()
  assert.equal(shown.code, 0, shown.stderr)
  assert.match(shown.stdout, /main +80 % +█{16}░{4} +adder\/1\n *other +20 % +█{4}░{16} +adder\/2\n *next +0 % +░{20} +adder\/3/)
  await using server = await follows(plane.url, folder.path)
  const inForce = async (segment: number) => {
    await until(
      async () => (await plane.ask('GET', '/endpoints/adder')).body.status.servers[0]?.segment === segment,
      'the server applies it',
    )
    return await versions(server)
  }
  let had = await inForce(1)
  for (const [segment, share] of [
    [2, 1],
    [3, 20],
    [4, 79.99],
  ] as const) {
    const { code, stderr } = await traffic('--set', `main=${(80 - share).toFixed(2)},other=20,next=${share}`)
    assert.equal(code, 0, stderr)
    const has = await inForce(segment)
    for (const [unit, version] of had.entries()) if (version !== '1') assert.equal(has[unit], version, `user-${unit} at ${share} %`)
    had = has
  }
  assert.ok(had.filter((version) => version === '3').length > UNITS / 2)
  // A server that is started anew, and knows only what it is told, shares out in the same way.
  await using another = await follows(plane.url, `${folder.path}/another`, { name: 'two' })
  await until(async () => (await versions(another)).every((version) => version !== undefined), 'it serves')
  assert.deepEqual(await versions(another), had)

  for (const [args, says] of [
    [['--set', 'main=95'], /add up to 95 %, not to 100 %/],
    [['--set', 'main=95,main=5'], /"main" has two shares/],
    [['--set', 'main'], /expected VARIANT=PERCENT/],
    [['--set', 'man=100'], /there is no variant "man"; there are main, other, next/],
    [['--set', 'main=100', '--beside', 'x'], /number of a revision, or none/],
    [['--set', 'main=100', '--beside', '9'], /has no revision 9/],
    [['--beside', '1'], /--beside needs --set/],
  ] as const) {
    const { code, stderr } = await traffic(...args)
    assert.notEqual(code, 0, args.join(' '))
    assert.match(stderr, says)
  }
  const dry = await traffic('--set', 'main=100', '--dry-run')
  assert.match(dry.stdout, /POST .*\/endpoints\/adder\/routing/)
  assert.deepEqual(await versions(server), had, 'and nothing has changed')
})

it('a routing is set by whoever has seen the last one, once, and leaves an event', async () => {
  await using plane = await planeInProcess()
  await adders(plane, 2)
  const variants = [
    { name: 'main', model: 'adder/1', weight: 100 },
    { name: 'next', model: 'adder/2', weight: 0 },
  ]
  const document = { apiVersion: 'slipway/v1', kind: 'Endpoint', metadata: { name: 'adder' }, spec: { variants } }
  const { headers } = await plane.ask('PUT', '/endpoints/adder', document)
  const etag = headers.get('etag')!
  const set = async (next: number, more: Record<string, string> = {}) =>
    await plane.ask('POST', '/endpoints/adder/routing', { weights: { main: 100 - next, next } }, more)
  const first = await set(5, { 'if-match': etag, 'idempotency-key': 'one' })
  assert.equal(first.status, 200, JSON.stringify(first.body))
  assert.deepEqual(first.body.status.routing.ranges, [
    { variant: 'main', from: 0, until: 9500 },
    { variant: 'next', from: 9500, until: 10_000 },
  ] satisfies Range[])
  assert.equal((await set(5, { 'if-match': etag, 'idempotency-key': 'one' })).status, 200, 'it was done once')
  assert.equal((await plane.ask('GET', '/endpoints/adder')).body.status.routing.segment, 2)
  assert.equal((await set(10, { 'if-match': etag })).status, 412)
  assert.equal((await plane.ask('POST', '/endpoints/adder/routing', { weights: { main: 0 } })).status, 400)
  assert.equal((await plane.ask('POST', '/endpoints/adder/routing', { weights: {} })).status, 400)
  const { items } = (await plane.ask('GET', '/events?kind=endpoint')).body as { items: { after?: { routing?: unknown } }[] }
  assert.ok(items.some(({ after }) => JSON.stringify(after?.routing) === '{"main":95,"next":5}'))
  // A declaration that gives other weights keeps as many points as it can.
  const changed = {
    ...document,
    spec: {
      variants: [
        { ...variants[0]!, weight: 80 },
        { ...variants[1]!, weight: 20 },
      ],
    },
  }
  const after = await plane.ask('PUT', '/endpoints/adder', changed)
  assert.deepEqual(after.body.endpoint.status.routing.ranges, [
    { variant: 'main', from: 0, until: 8000 },
    { variant: 'next', from: 8000, until: 10_000 },
  ])
})
