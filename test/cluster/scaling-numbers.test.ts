import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { numbersOf, readLook, spanOf, withLook } from '../../src/cluster/metrics/looks.ts'
import { quantityOf } from '../../src/cluster/metrics/quantity.ts'
import { readSelector } from '../../src/cluster/metrics/selector.ts'
import { selfSigned } from '../../src/cluster/metrics/self-signed.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import type { Look } from '../../src/cluster/metrics/looks.ts'

interface Said {
  readonly atSeconds: number
  /** By status of the answer. */
  readonly answered: Readonly<Record<string, number>>
  readonly inFlight?: number
  readonly queued?: number
  readonly startedAt?: number
}

/** What a server says of one version. */
function look({ atSeconds, answered, inFlight = 0, queued = 0, startedAt = 1_700_000_000.25 }: Said): Look {
  const served = 'endpoint="churn",variant="main",model="churn",version="1"'
  const counts = Object.entries(answered).map(
    ([code, count]) => `slipway_request_duration_seconds_count{${served},protocol="v2",code="${code}"} ${count}`,
  )
  const lines = [
    '# HELP process_start_time_seconds Start of the process.',
    `process_start_time_seconds ${startedAt}`,
    ...counts,
    `slipway_request_duration_seconds_bucket{${served},protocol="v2",code="200",le="+Inf"} 1000000`,
    `slipway_inflight_requests{${served}} ${inFlight}`,
    `slipway_queue_requests{${served}} ${queued}`,
  ]
  const read = readLook(`${lines.join('\n')}\n`, atSeconds * 1000)
  assert.ok(read !== undefined)
  return read
}

const looksOf = (windowSeconds: number, said: readonly Said[]): readonly Look[] =>
  said.reduce<readonly Look[]>((looks, one) => withLook(looks, look(one), windowSeconds * 1000), [])

describe('Numbers by which pods are scaled', () => {
  it('have as rate what was answered between the first and the last look of the window, whatever with', () => {
    const looks = looksOf(30, [
      { atSeconds: 100, answered: { 200: 50 } },
      { atSeconds: 105, answered: { 200: 80, 503: 10 } },
      { atSeconds: 110, answered: { 200: 90, 503: 15 } },
    ])
    assert.deepEqual(numbersOf(looks), [
      { served: { endpoint: 'churn', variant: 'main', model: 'churn', version: '1' }, rps: 5.5, concurrency: 0, queue: 0 },
    ])
    assert.equal(spanOf(looks), 10_000)
  })

  it('forget what was before the window', () => {
    const looks = looksOf(
      30,
      Array.from({ length: 20 }, (_, index) => ({
        atSeconds: index * 5,
        answered: { 200: index < 10 ? index * 100 : 1000 + (index - 10) * 10 },
      })),
    )
    assert.equal(spanOf(looks), 30_000)
    assert.equal(numbersOf(looks)[0]?.rps, 2)
  })

  it('have as requests in flight and queued the averages of the looks', () => {
    const looks = looksOf(30, [
      { atSeconds: 0, answered: {}, inFlight: 4, queued: 1 },
      { atSeconds: 5, answered: {}, inFlight: 8, queued: 5 },
    ])
    const [numbers] = numbersOf(looks)
    assert.deepEqual([numbers?.rps, numbers?.concurrency, numbers?.queue], [0, 6, 3])
  })

  it('are not there after one look, nor after counters began anew, nor after a silence that is longer than the window', () => {
    assert.deepEqual(numbersOf(looksOf(30, [{ atSeconds: 0, answered: { 200: 7 } }])), [])
    const another = [
      { atSeconds: 0, answered: { 200: 700 } },
      { atSeconds: 5, answered: { 200: 800 } },
      { atSeconds: 10, answered: { 200: 900 }, startedAt: 1_700_000_009 },
    ]
    assert.deepEqual(numbersOf(looksOf(30, another)), [], 'another process, though its counter is higher')
    const less = [...another.slice(0, 2), { atSeconds: 10, answered: { 200: 20 } }]
    assert.deepEqual(numbersOf(looksOf(30, less)), [], 'one of several processes ended')
    assert.equal(numbersOf(looksOf(30, [...less, { atSeconds: 15, answered: { 200: 30 } }]))[0]?.rps, 2)
    const silent = [
      { atSeconds: 0, answered: { 200: 10 } },
      { atSeconds: 31, answered: { 200: 320 } },
    ]
    assert.deepEqual(numbersOf(looksOf(30, silent)), [])
  })

  it('are read of no other server', () => {
    assert.equal(readLook('up 1\n', 0), undefined)
    assert.equal(readLook('<html>slipway_inflight_requests{} 1</html>', 0), undefined)
  })

  it('are told apart by labels with any characters', () => {
    const text = 'process_start_time_seconds 1\nslipway_inflight_requests{endpoint="a\\"},{\\\\b\\n",variant="v",model="m",version="1"} 2\n'
    const [only] = [...readLook(text, 0)!.inFlight.values()]
    assert.deepEqual(only, { served: { endpoint: 'a"},{\\b\n', variant: 'v', model: 'm', version: '1' }, value: 2 })
  })
})

describe('Quantities', () => {
  it('are whole or thousandths, and round up', () => {
    const written = [0, 1, 1.5, 12, 0.0001, 2.0004, 1000, 0.1 + 0.2, 123_456.789].map(quantityOf)
    assert.deepEqual(written, ['0', '1', '1500m', '12', '1m', '2001m', '1000', '300m', '123456789m'])
  })
})

describe('Selectors', () => {
  const labels = { app: 'churn', tier: 'prod', 'slipway.dev/variant': 'main' }

  it('take labels as kubectl says', () => {
    const taken = [
      '',
      'app=churn',
      'app==churn,tier',
      'app!=fraud',
      'zone!=a',
      'tier in (test, prod)',
      'zone notin (a,b),app',
      '!zone',
      'slipway.dev/variant=main',
    ]
    const left = [
      'app=fraud',
      'app=churn,zone',
      'app!=churn',
      'tier in (test)',
      'tier notin (prod,test)',
      '!app',
      'zone in (a)',
      'constructor',
    ]
    for (const text of taken) assert.ok(readSelector(text).takes(labels), text)
    for (const text of left) assert.ok(!readSelector(text).takes(labels), text)
  })

  it('are refused naming the part that is none', () => {
    for (const text of ['a in b', 'app=churn,,', 'app=x y', 'app in (a', '=b'])
      assert.throws(() => readSelector(text), /is no part of a selector: expected KEY=VALUE/, text)
    assert.ok(readSelector('app=').takes({ app: '' }))
    assert.throws(() => readSelector(`a=${'b'.repeat(10_000)}`), /8192 characters/)
  })

  it('are told as objects have them', () => {
    assert.deepEqual(readSelector('a=b,c notin (d, e),!f').object, {
      matchExpressions: [
        { key: 'a', operator: 'In', values: ['b'] },
        { key: 'c', operator: 'NotIn', values: ['d', 'e'] },
        { key: 'f', operator: 'DoesNotExist' },
      ],
    })
    assert.equal(readSelector('').object, null)
  })
})

describe('A certificate that signs itself', () => {
  it('is one that OpenSSL verifies, with its names and times', async () => {
    await using folder = await temporaryFolder()
    const now = Date.UTC(2045, 5, 1)
    for (const days of [30, 3650]) {
      const { cert, key } = selfSigned(['adapter.slipway.svc', 'localhost'], days, now)
      const read = new X509Certificate(cert)
      assert.ok(read.verify(read.publicKey))
      assert.ok(read.checkPrivateKey(createPrivateKey(key)))
      assert.equal(read.checkHost('adapter.slipway.svc'), 'adapter.slipway.svc')
      assert.equal(read.checkHost('localhost'), 'localhost')
      assert.equal(read.ca, false)
      assert.equal(read.validToDate.getTime(), now + days * 86_400_000)
      const file = await folder.write('cert.pem', cert)
      const { stdout } = await promisify(execFile)('openssl', [
        'verify',
        '-check_ss_sig',
        '-x509_strict',
        '-purpose',
        'sslserver',
        '-partial_chain',
        '-attime',
        String(now / 1000),
        '-CAfile',
        file,
        file,
      ])
      assert.match(stdout, /: OK/)
    }
  })
})
