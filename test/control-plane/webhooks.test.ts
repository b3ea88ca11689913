import assert from 'node:assert/strict'
import { ROOMS } from '../../src/control-plane/rooms.ts'
import { createHmac } from 'node:crypto'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { it } from 'node:test'
import { webhookWork } from '../../src/control-plane/send-webhooks.ts'
import { Registry } from '../models/registry.ts'
import { Outbox } from '../../src/ledger/outbox.ts'
import { Webhooks } from '../../src/ledger/webhooks.ts'
import { Secrets } from '../../src/security/secrets/secrets.ts'
import { isInside, requireOutsideUrl } from '../../src/security/outside-address.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { until } from '../fixtures.ts'
import { ANNA, TestClock } from '../models/in-registry.ts'
import { eachDatabase } from '../storage/databases.ts'
import { openPlace } from '../storage/open-place.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { WorkQueue } from '../../src/storage/work/work-queue.ts'
import type { Claim } from '../../src/storage/work/work-queue.ts'
import type { AddressInfo } from 'node:net'
import type { IncomingHttpHeaders } from 'node:http'
import type { Database } from '../../src/storage/sql/database.ts'

interface Heard {
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** Somebody who is told; answers what `answer` says. */
async function receiver(answer: (heard: Heard, count: number) => number = () => 200) {
  const heard: Heard[] = []
  const server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8')
    request.on('data', (piece: string) => (body += piece))
    request.once('end', () => {
      heard.push({ headers: request.headers, body })
      const status = answer(heard.at(-1)!, heard.length)
      response.writeHead(status, status === 302 ? { location: 'http://127.0.0.1:1/' } : {}).end('thanks')
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    heard,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

it('what happens is told, signed as MLflow signs, in the order in which it happened, and what was told is kept', async () => {
  await using told = await receiver()
  await using plane = await planeInProcess({ allowPrivateAddresses: true })
  await plane.ask('POST', '/models', { name: 'before' })
  await using folder = await temporaryFolder()
  const place = join(folder.path, 'secret')
  const secret = 'what only the two of us know'
  await writeFile(place, secret)
  const hook = { name: 'hook', url: told.url, events: ['version.created', 'alias.*'] }
  const itself = await plane.ask('POST', '/webhooks', { ...hook, secret })
  assert.equal(itself.status, 400, 'a secret itself is not taken')
  assert.ok(!JSON.stringify(itself.body).includes(secret))
  const made = await plane.ask('POST', '/webhooks', hook)
  assert.equal(made.status, 201, JSON.stringify(made.body))
  const { id } = made.body
  assert.equal(made.body.signed, false)
  const signed = await plane.ask('PATCH', `/webhooks/${id}`, { secret: `file:${place}` })
  assert.deepEqual([signed.status, signed.body.signed], [200, true])
  await plane.ask('POST', '/models', { name: 'm' })
  await plane.ask('POST', '/models/m/versions', { source: 's3://b/1', tags: { a: '1' }, description: 'd' })
  await plane.ask('PUT', '/models/m/aliases/live', { version: 1 })
  await until(() => told.heard.length === 2, 'both are told', 15_000)
  const [first, second] = told.heard.map(({ body }) => JSON.parse(body))
  assert.deepEqual(
    [first.entity, first.action, first.data],
    ['model_version', 'created', { name: 'm', version: '1', source: 's3://b/1', tags: { a: '1' }, description: 'd' }],
  )
  assert.deepEqual(
    [second.entity, second.action, second.data],
    ['model_version_alias', 'created', { name: 'm', alias: 'live', version: '1' }],
  )
  assert.equal(second.slipway.actor, 'local')
  for (const { headers, body } of told.heard) {
    const delivery = headers['x-mlflow-delivery-id'] as string
    const expected = createHmac('sha256', secret)
      .update(`${delivery}.${String(headers['x-mlflow-timestamp'])}.${body}`)
      .digest('base64')
    assert.equal(headers['x-mlflow-signature'], `v1,${expected}`)
    assert.equal(headers['idempotency-key'], delivery)
  }
  await until(
    async () =>
      (await plane.ask('GET', `/webhooks/${id}/deliveries`)).body.items.every(({ state }: { state: string }) => state === 'delivered'),
    'both are noted',
  )
  const { items } = (await plane.ask('GET', `/webhooks/${id}/deliveries`)).body
  assert.deepEqual(
    items.map(({ attempts, lastStatus }: Record<string, number>) => [attempts, lastStatus]),
    [
      [1, 200],
      [1, 200],
    ],
  )
  const again = await plane.ask('POST', `/webhooks/${id}/deliveries/${items[0].id}/redeliver`)
  assert.deepEqual([again.status, again.body.state], [200, 'pending'])
  await until(() => told.heard.length === 3, 'it is told again', 15_000)
  assert.equal(told.heard[2]!.headers['x-mlflow-delivery-id'], items[0].id, 'under the same id')
  await plane.ask('PATCH', `/webhooks/${id}`, { active: false })
  await plane.ask('POST', '/models/m/versions', { source: 's3://b/2' })
  await plane.ask('DELETE', `/webhooks/${id}`)
  assert.equal((await plane.ask('GET', '/webhooks')).body.total, 0)
})

it('addresses of this machine and its network are not told, whatever name leads to them', async () => {
  await using told = await receiver()
  await using plane = await planeInProcess()
  const port = new URL(told.url).port
  const refused = [
    told.url,
    `http://localhost:${port}/`,
    `http://[::1]:${port}/`,
    `http://[::ffff:127.0.0.1]:${port}/`,
    'http://10.0.0.1/',
    'http://169.254.169.254/latest',
    'http://0.0.0.0/',
    `http://2130706433:${port}/`,
    `http://0x7f.1:${port}/`,
  ]
  for (const url of refused) assert.equal((await plane.ask('POST', '/webhooks', { name: 'x', url, events: ['*'] })).status, 403, url)
  for (const url of ['file:///etc/passwd', 'ftp://example.org/', 'http://user:word@example.org/', 'not a url'])
    assert.equal((await plane.ask('POST', '/webhooks', { name: 'x', url, events: ['*'] })).status, 400, url)
  for (const events of [[], ['version'], ['nothing.created'], ['version.created.x']])
    assert.equal((await plane.ask('POST', '/webhooks', { name: 'x', url: 'https://example.org', events })).status, 400)
  // A name that resolves to this machine is found out when it is connected to: here it was let in by hand.
  const made = await plane.ask('POST', '/webhooks', { name: 'x', url: 'http://hook.example.invalid/', events: ['*'] })
  await plane.plane.services.ground.database.write((write) =>
    write
      .updateTable('webhooks')
      .set({ url: `http://ip6-localhost:${port}/` })
      .execute(),
  )
  await plane.ask('POST', '/models', { name: 'm' })
  const deliveries = async () => (await plane.ask('GET', `/webhooks/${made.body.id}/deliveries`)).body.items
  await until(async () => (await deliveries())[0]?.attempts > 0, 'it was tried', 15_000)
  assert.match((await deliveries())[0].lastError, /address of this machine|ENOTFOUND|EAI_AGAIN/)
  assert.deepEqual(told.heard, [])
})

it('inside is what no stranger may have us ask', () => {
  const inside = [
    '127.0.0.1',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.1',
    '0.0.0.0',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    'fc00::1',
    'fd12::1',
    '::ffff:10.0.0.1',
    '::ffff:192.168.0.1',
    '64:ff9b::7f00:1',
    '2002:7f00:1::',
    'ff02::1',
    '2001:db8::1',
    'nonsense',
  ]
  for (const address of inside) assert.equal(isInside(address), true, address)
  for (const address of ['8.8.8.8', '172.32.0.1', '1.1.1.1', '2606:4700::1111', '::ffff:8.8.8.8'])
    assert.equal(isInside(address), false, address)
  assert.equal(requireOutsideUrl('https://example.org/hook', false).hostname, 'example.org')
})

interface Told {
  readonly database: Database
  readonly registry: Registry
  readonly webhooks: Webhooks
  readonly clock: TestClock
}

function onDatabase(database: Database): Told & { ground: ConstructorParameters<typeof Outbox>[0] } {
  const clock = new TestClock()
  let ids = 0
  const ground = { database, clock, newId: () => (++ids).toString(16).padStart(32, '0') }
  return {
    database,
    clock,
    ground,
    registry: new Registry(ground),
    webhooks: new Webhooks(ground, { allowInside: true, mail: false, kinds: ROOMS.events }),
  }
}

eachDatabase(
  'each event becomes one delivery for each webhook that wants it, however many fill the outbox at once',
  async (database, place) => {
    const { ground, registry, webhooks } = onDatabase(database)
    await registry.models.create(ANNA, { name: 'before' })
    const all = await webhooks.create(ANNA, { name: 'all', url: 'https://example.org/a', events: ['*'] })
    const some = await webhooks.create(ANNA, { name: 'some', url: 'https://example.org/b', events: ['model.created'] })
    const other = await webhooks.create({ ...ANNA, environment: 'other' }, { name: 'other', url: 'https://example.org/c', events: ['*'] })
    for (let index = 0; index < 30; index++) await registry.models.create(ANNA, { name: `m${index}` })
    await registry.models.describe(ANNA, 'm0', 'x')
    const fillers = database.dialect === 'postgres' ? await Promise.all([openPlace(place.url), openPlace(place.url)]) : []
    await Promise.all(
      [ground, ...fillers.map((one) => ({ ...ground, database: one }))].map(async (of) => {
        while (await new Outbox(of).fill());
      }),
    )
    for (const filler of fillers) await filler[Symbol.asyncDispose]()
    const counts = await Promise.all(
      [all, some].map(async ({ id }) => (await webhooks.deliveries(ANNA, id, { limit: 1000 })).deliveries.length),
    )
    assert.deepEqual(counts, [31, 30])
    assert.equal((await webhooks.deliveries({ ...ANNA, environment: 'other' }, other.id, { limit: 10 })).deliveries.length, 0)
    assert.equal(await new Outbox(ground).fill(), false)
  },
)

eachDatabase('what is not taken is tried again with longer and longer pauses, and given up in the end', async (database) => {
  const { ground, registry, webhooks, clock } = onDatabase(database)
  const webhook = await webhooks.create(ANNA, { name: 'w', url: 'https://example.org/', events: ['*'] })
  await registry.models.create(ANNA, { name: 'm' })
  const outbox = new Outbox(ground)
  await outbox.fill()
  const pauses: number[] = []
  for (;;) {
    const [parcel] = await outbox.due(10)
    if (parcel === undefined) {
      const [delivery] = (await webhooks.deliveries(ANNA, webhook.id, { limit: 1 })).deliveries
      if (delivery!.state === 'failed') break
      const wait = delivery!.nextAttemptAt - clock.epochMs()
      pauses.push(Math.round(wait / 1000))
      clock.pass(wait + 1)
    } else await outbox.note(parcel.deliveryId, { status: 503, error: 'answered 503' })
  }
  assert.deepEqual(pauses, [5, 20, 80, 320, 1280, 5120, 20_480, 43_200, 43_200])
  const [failed] = (await webhooks.deliveries(ANNA, webhook.id, { limit: 1 })).deliveries
  assert.deepEqual([failed!.attempts, failed!.lastStatus, failed!.lastError], [10, 503, 'answered 503'])
  await webhooks.redeliver(ANNA, webhook.id, failed!.id)
  assert.equal((await outbox.due(10)).length, 1)
})

eachDatabase('whoever has lost its claim writes nothing more', async (database) => {
  const { ground, registry, webhooks } = onDatabase(database)
  await webhooks.create(ANNA, { name: 'w', url: 'https://example.org/', events: ['*'] })
  await registry.models.create(ANNA, { name: 'm' })
  const queueOf = (holder: string): WorkQueue => new WorkQueue({ database, holder, newId: ground.newId })
  const work = webhookWork({ ground, allowInside: true, secrets: new Secrets(), mail: undefined })
  await database.write((write) => queueOf('one').enqueue(write, { kind: work.kind, ...work.standing }))
  const [late] = await queueOf('late').claim(work.kind, 1, 1)
  let next: Claim | undefined
  await until(
    async () => ([next] = await queueOf('next').claim(work.kind, 1, 60_000)) !== undefined && next !== undefined,
    'another takes over',
  )
  await assert.rejects(work.run(late!, new AbortController().signal), { code: 'SLW_LEASE_LOST' })
  assert.equal((await database.read.selectFrom('deliveries').select('id').execute()).length, 0)
  // And the one that has it keeps others from sending.
  assert.deepEqual(await queueOf('third').claim(work.kind, 1, 60_000), [])
})

it('a receiver that fails, is slow or sends us elsewhere is noted, and the others are told', async () => {
  await using bad = await receiver((_, count) => (count === 1 ? 500 : 302))
  await using good = await receiver()
  await using plane = await planeInProcess({ allowPrivateAddresses: true })
  const { body } = await plane.ask('POST', '/webhooks', { name: 'bad', url: bad.url, events: ['model.*'] })
  await plane.ask('POST', '/webhooks', { name: 'good', url: good.url, events: ['model.*'] })
  await plane.ask('POST', '/models', { name: 'm' })
  await until(() => good.heard.length === 1, 'the good one is told', 15_000)
  const deliveries = async () => (await plane.ask('GET', `/webhooks/${body.id}/deliveries`)).body.items
  await until(async () => (await deliveries())[0]?.lastStatus === 500, 'the failure is noted', 15_000)
  assert.equal((await deliveries())[0].state, 'pending')
  await plane.ask('POST', `/webhooks/${body.id}/deliveries/${(await deliveries())[0].id}/redeliver`)
  await until(async () => (await deliveries())[0]?.lastStatus === 302, 'a redirection is no success', 15_000)
  assert.equal((await deliveries())[0].state, 'pending')
})
