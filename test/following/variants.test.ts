/** Variants of an endpoint beside each other: audiences, testers, fallback, shadow and breaker, as clients and people see them. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { decide, deciders, judges } from './deciding-models.ts'
import { follows } from './following.ts'
import type { Deciding } from './deciding-models.ts'
import type { Plane } from '../api/in-plane.ts'
import type { SlipwayServer, StartServerOptions } from '../../src/server/start-server.ts'

interface World extends AsyncDisposable {
  readonly plane: Plane
  readonly server: SlipwayServer
  readonly traffic: (...args: string[]) => ReturnType<typeof slipway>
  /** Values of a metric, by its labels. */
  readonly metric: (name: string, labels?: string) => Promise<number>
}

/** A server with version 1 as `main`, and version 2 beside it. */
async function world(second: Deciding, next: object, main: object = {}, options: Partial<StartServerOptions> = {}): Promise<World> {
  await using opened = new AsyncDisposableStack()
  const plane = opened.use(await planeInProcess())
  const folder = opened.use(await temporaryFolder())
  await deciders(plane, { threshold: 0.5 }, second)
  await judges(plane, [
    { model: 'judge/1', ...main },
    { name: 'next', model: 'judge/2', ...next },
  ])
  const server = opened.use(await follows(plane.url, folder.path, options))
  const held = opened.move()
  return {
    plane,
    server,
    traffic: async (...args) => await slipway(['traffic', 'judge', ...args, '--url', plane.url]),
    async metric(name, labels = '') {
      const text = await (await fetch(`${server.url}/metrics`)).text()
      const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes(labels))
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
}

describe('audiences', () => {
  it('get their variant by header, cookie, query or field, whatever the weights are, and are counted apart', async () => {
    const match = [
      { header: 'X-Country', is: ['DE', 'AT'] },
      {
        all: [
          { cookie: 'beta', is: '1' },
          { query: 'preview', is: '*' },
        ],
      },
      { field: 'customer.tier', is: 'gold' },
    ]
    await using it = await world({ threshold: 0.1 }, { match })
    const variantOf = async (headers: Record<string, string>, path?: string) => (await decide(it.server.url, 0.3, headers, path)).variant
    assert.equal(await variantOf({}), 'main')
    assert.equal(await variantOf({ 'x-country': 'DE' }), 'next')
    assert.equal(await variantOf({ 'x-country': 'FR' }), 'main')
    assert.equal(await variantOf({ cookie: 'a=b; beta=1' }, '/models/judge/predict?preview=yes'), 'next')
    assert.equal(await variantOf({ cookie: 'beta=1' }), 'main')
    const withField = await fetch(`${it.server.url}/models/judge/predict`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ x: [0.3], customer: { tier: 'gold' } }),
    })
    // A field that the model does not know is refused by it, after the variant was found.
    await withField.text()
    assert.equal(await it.metric('slipway_assignments_total', 'assignment="matched"'), 2 + 1)
    assert.equal(await it.metric('slipway_assignments_total', 'assignment="only"'), 3)
    assert.match(
      (await it.traffic()).stdout,
      /next gets whoever has header x-country DE or AT\nnext gets whoever has cookie beta 1 and query preview\n/,
    )
  })

  it('of a field go by the body, which is read before the variant is known; one unit keeps its variant wherever it is named', async () => {
    await using it = await world({ threshold: 0.51 }, { weight: 50 }, { weight: 50 })
    await judges(
      it.plane,
      [
        { model: 'judge/1', weight: 50 },
        { name: 'next', model: 'judge/2', weight: 50 },
      ],
      { units: [{ field: 'parameters.user' }, { cookie: 'sid' }] },
    )
    await until(async () => (await it.plane.ask('GET', '/endpoints/judge')).body.status.servers[0]?.segment === 2, 'the server applies it')
    const ask = async (parameters: object, headers: Record<string, string> = {}) => {
      const inputs = [{ name: 'x', datatype: 'FP32', shape: [1, 1], data: [0.3] }]
      const body = JSON.stringify({ inputs, parameters })
      const response = await fetch(`${it.server.url}/v2/models/judge/infer`, { method: 'POST', body, headers })
      assert.equal(response.status, 200, await response.text())
      return response.headers.get('slipway-variant')
    }
    const seen = new Set<string | null>()
    for (let user = 0; user < 30; user++) {
      const variant = await ask({ user: `u${user}` })
      seen.add(variant)
      assert.equal(await ask({}, { cookie: `sid=u${user}` }), variant)
      assert.equal(await ask({}, { 'slipway-unit': `u${user}` }), variant)
      assert.equal(await ask({ user: `u${user}` }, { cookie: 'sid=another' }), variant)
    }
    assert.equal(seen.size, 2)
  })
})

it('a tester chooses a variant with a key for that, and nobody else does', async () => {
  await using folder = await temporaryFolder()
  const file = await folder.write(
    'keys.yaml',
    'keys:\n  - {name: app, key: application-key-1234}\n  - {name: qa, key: tester-key-12345678, scopes: [predict, test]}\n',
  )
  await using it = await world({ threshold: 0.1 }, { weight: 0 }, { weight: 100 }, { apiKeysFile: file })
  const asked = async (key: string, variant: string) =>
    await decide(it.server.url, 0.3, { authorization: `Bearer ${key}`, 'slipway-variant': variant })
  assert.equal((await asked('application-key-1234', 'next')).status, 403)
  const { status, variant, label } = await asked('tester-key-12345678', 'next')
  assert.deepEqual([status, variant, label], [200, 'next', 1])
  assert.equal((await asked('tester-key-12345678', 'nobody')).status, 404)
})

describe('a fallback', () => {
  it('answers what the canary fails at; the failure counts for the canary, and the work nowhere', async () => {
    await using it = await world({ threshold: 0.5, failsFrom: 0.9 }, { weight: 50, fallback: true }, { weight: 50 })
    let stood = 0
    const exposures: Record<string, number> = { main: 0, next: 0 }
    for (let number = 0; number < 60; number++) {
      const { status, variant, assigned, label } = await decide(it.server.url, 0.95)
      assert.deepEqual([status, variant, label], [200, 'main', 1])
      if (assigned === 'next') stood++
      exposures[assigned!]!++
      // Ten in a row would take it out.
      for (const x of [0.1, 0.2, 0.3]) exposures[(await decide(it.server.url, x)).assigned!]!++
    }
    assert.ok(stood > 5, `${stood} of 60`)
    assert.equal(await it.metric('slipway_fallbacks_total', 'variant="next"'), stood)
    assert.equal(
      await it.metric('slipway_assignments_total', 'variant="next",model="judge",version="2",assignment="randomised"'),
      exposures['next'],
    )
    await it.server.close()
    const errors = async () => (await it.plane.ask('GET', '/endpoints/judge/comparison?candidate=next')).body.metrics[0]
    await until(async () => (await errors()).candidate.exposures === exposures['next'], 'the windows arrive')
    assert.deepEqual((await errors()).candidate, { events: stood, exposures: exposures['next'] })
    assert.deepEqual((await errors()).base, { events: 0, exposures: exposures['main'] })
  })

  it('leaves a variant that has become the largest all of its time, and its failures as they are', async () => {
    await using it = await world({ threshold: 0.5, failsFrom: 0.9 }, { weight: 50, fallback: true }, { weight: 50 })
    assert.equal((await it.traffic('--set', 'main=0,next=100')).code, 0)
    await until(async () => (await it.plane.ask('GET', '/endpoints/judge')).body.status.servers[0]?.segment === 2, 'the server applies it')
    assert.equal((await decide(it.server.url, 0.95)).status, 400)
    assert.equal((await decide(it.server.url, 0.3)).variant, 'next')
  })

  it('gives a tester the failure as it is', async () => {
    await using it = await world({ threshold: 0.5, failsFrom: 0.9 }, { weight: 50, fallback: true }, { weight: 50 })
    assert.equal((await decide(it.server.url, 0.95, { 'slipway-variant': 'next' })).status, 400)
  })
})

describe('a shadow', () => {
  it('gets copies of what was answered, and what it would have answered is told beside it', async () => {
    await using it = await world({ threshold: 0.4, failsFrom: 0.9 }, { shadow: 100 })
    for (let number = 0; number < 40; number++) {
      const { variant } = await decide(it.server.url, [0.1, 0.45, 0.6, 0.95][number % 4]!)
      assert.equal(variant, 'main')
    }
    const results = async () =>
      await Promise.all(
        ['same', 'different', 'worse', 'better', 'dropped'].map((result) =>
          it.metric('slipway_shadow_requests_total', `result="${result}"`),
        ),
      )
    await until(async () => (await results()).reduce((sum, count) => sum + count) === 40, 'the copies are answered')
    const [same = 0, different = 0, worse = 0, better, dropped = 0] = await results()
    assert.equal(better, 0)
    assert.equal(same + different + worse + dropped, 40)
    assert.ok(same > 10 && different > 5 && worse > 5, JSON.stringify(await results()))
    assert.equal(await it.metric('slipway_request_duration_seconds_count', 'variant="next"'), 0, 'nobody was answered by it')
    const moved = await it.traffic('--shadow', 'next=0')
    assert.equal(moved.code, 0, moved.stderr)
    assert.doesNotMatch(moved.stdout, /shadow/)
    for (const [args, says] of [
      [['--shadow', 'main=10'], /"main" has the largest share: the others are shadows of it/],
      [['--shadow', 'nxt=10'], /there is no variant "nxt"; there are main, next/],
      [['--shadow', 'next=200'], /200 % is more than all requests/],
      [['--edges', '0'], /expected a list such as 100,250, or none/],
      [['--base', 'main'], /--base needs --compare/],
      [['--compare', 'next', '--set', 'main=100'], /--compare shows, and changes nothing/],
      [['--compare', 'main'], /cannot be compared with itself/],
      [['--compare', 'nobody'], /has no variant "nobody" now; there are main, next/],
    ] as const) {
      const { code, stderr } = await it.traffic(...args)
      assert.notEqual(code, 0, args.join(' '))
      assert.match(stderr, says)
    }
    const shadowed = await it.traffic('--shadow', 'next=25', '--edges', '100,250')
    assert.match(
      shadowed.stdout,
      /next gets copies of 25 % of the requests, as a shadow\nrequests that take longer are counted for 100, 250 ms/,
    )
  })
})

it('two shadows both get their copies', async () => {
  await using it = await world({ threshold: 0.2 }, { shadow: 100 })
  await judges(it.plane, [
    { model: 'judge/1' },
    { name: 'next', model: 'judge/2', shadow: 100 },
    { name: 'other', model: 'judge/2', shadow: 100 },
  ])
  const serves = async (variant: string): Promise<boolean> =>
    (await it.plane.ask('GET', '/endpoints/judge')).body.status.servers[0]?.versions.some(
      (one: { variant: string; serves: boolean }) => one.variant === variant && one.serves,
    )
  await until(async () => await serves('other'), 'the server has both')
  for (let number = 0; number < 10; number++) assert.equal((await decide(it.server.url, 0.3)).label, 0)
  for (const variant of ['next', 'other']) {
    const differs = async () =>
      await it.metric('slipway_shadow_requests_total', `variant="${variant}",model="judge",version="2",result="different"`)
    await until(async () => (await differs()) > 0, `copies of ${variant}`)
  }
})

it('what a shadow would have answered is recorded beside what was answered, under the same id', async () => {
  await using it = await world({ threshold: 0.2 }, { shadow: 100, serving: { records: 1 } }, { serving: { records: 1 } })
  for (let number = 0; number < 10; number++) assert.equal((await decide(it.server.url, 0.3)).label, 0)
  let items: { id: string; variant: string; assignment: string; outputs: { label: unknown[] } }[] = []
  await until(
    async () => {
      items = (await it.plane.ask('GET', '/records?endpoint=judge&limit=100')).body.items
      return items.filter(({ assignment }) => assignment === 'shadow').length > 0 && items.length >= 11
    },
    'the records arrive',
    30_000,
  )
  for (const { id, variant, outputs } of items.filter(({ assignment }) => assignment === 'shadow')) {
    const answered = items.find((one) => one.id === id && one.assignment !== 'shadow')
    assert.deepEqual([variant, answered?.variant], ['next', 'main'])
    assert.deepEqual([outputs.label, answered?.outputs.label], [[1], [0]])
  }
})

describe('a breaker', () => {
  it('takes out a variant that only fails, tells the control plane, and lets it in again with another routing', async () => {
    await using it = await world({ threshold: 0.5, failsFrom: 0.01 }, { weight: 50 }, { weight: 50 })
    let failed = 0
    for (let number = 0; number < 200; number++) if ((await decide(it.server.url, 0.5)).status !== 200) failed++
    assert.equal(failed, 10, 'and then no more')
    assert.equal(await it.metric('slipway_variant_tripped', 'variant="next"'), 1)
    assert.equal((await it.metric('slipway_assignments_total', 'assignment="incomplete"')) > 50, true)
    const reported = async () => (await it.plane.ask('GET', '/endpoints/judge')).body.status.servers[0].versions[1]
    await until(async () => (await reported()).tripped !== undefined, 'it is reported', 2000)
    assert.deepEqual([(await reported()).serves, (await reported()).tripped], [false, '10 requests failed, one after the other'])
    assert.match((await it.traffic()).stdout, /one has taken next out: 10 requests failed, one after the other/)
    assert.equal((await it.traffic('--set', 'main=60,next=40')).code, 0)
    await until(async () => (await it.metric('slipway_variant_tripped')) === 0, 'it is in again')
    assert.ok((await Promise.all(Array.from({ length: 40 }, () => decide(it.server.url, 0.5)))).some(({ status }) => status !== 200))
  })

  it('is not tripped by testers, nor by clients that do not wait', async () => {
    await using it = await world({ threshold: 0.5, failsFrom: 0.01 }, { weight: 50 }, { weight: 50 })
    for (let number = 0; number < 20; number++) await decide(it.server.url, 0.5, { 'slipway-variant': 'next' })
    await using patient = await world({ threshold: 0.51 }, { weight: 50 }, { weight: 50 })
    for (let number = 0; number < 40; number++)
      await decide(patient.server.url, 0.5, { 'slipway-unit': 'one', 'slipway-timeout-ms': '0.001' })
    for (const { metric } of [it, patient]) assert.equal(await metric('slipway_variant_tripped'), 0)
  })

  it('takes out a variant whose answers are NaN', async () => {
    await using it = await world({ threshold: 0.5, notNumber: true }, { weight: 50 }, { weight: 50 })
    for (let number = 0; number < 120; number++) await decide(it.server.url, 0.3)
    await until(async () => (await it.metric('slipway_variant_tripped', 'variant="next"')) === 1, 'it is out')
  })
})
