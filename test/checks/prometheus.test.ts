import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Secrets } from '../../src/security/secrets/secrets.ts'
import { freePort, until } from '../fixtures.ts'
import { startPrometheus } from '../observe/prometheus.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { answering, asked } from './asked.ts'
import type { Check } from '../../src/contract/outside-check.ts'
import type { Prometheus } from '../observe/prometheus.ts'

/** Longer than a scrape takes on a machine that has much to do. */
const FRESH_SECONDS = 30

const of = (url: string, query: string, rest: Partial<Check> = {}): Check => ({
  name: 'errors',
  prometheus: { url, query },
  failWhen: '> 0.01',
  maxAgeSeconds: FRESH_SECONDS,
  ...rest,
})

const RULES = `groups:
  - name: alerts
    interval: 1s
    rules:
      - { alert: ManyErrors, expr: 'error_share{version="8"} > 0.1' }
      - { alert: ErrorsForLong, expr: 'error_share{version="8"} > 0.1', for: 1h }
      - { alert: NoErrors, expr: 'error_share{version="7"} > 0.1' }
      - { alert: Broken, expr: 'error_share * on (nothing) error_share' }
`

describe('a real Prometheus', { timeout: 180_000 }, () => {
  const opened = new AsyncDisposableStack()
  let prometheus: Prometheus
  let ends = false
  let requests = 0

  before(async () => {
    const exposition = opened.use(
      await answering((_, response) => {
        requests += 10
        const lines = [
          'error_share{version="7",endpoint="churn"} 0.002',
          'error_share{version="8",endpoint="churn"} 0.4',
          'errors_total{version="7"} 0',
          'idle_total 0',
          'infinite +Inf',
          `requests_total{version="7"} ${requests}`,
          ...(ends ? [] : [`ending_total ${requests}`]),
        ]
        response.setHeader('content-type', 'text/plain; version=0.0.4').end(`${lines.join('\n')}\n`)
      }),
    )
    const folder = opened.use(await temporaryFolder())
    const rules = await folder.write('rules.yml', RULES)
    const target = `127.0.0.1:${exposition.port}`
    prometheus = opened.use(
      await startPrometheus(
        target,
        [],
        `rule_files: ['${rules}']\nscrape_configs: [{ job_name: slipway, static_configs: [{ targets: ['${target}'] }] }]`,
      ),
    )
    await until(async () => (await prometheus.query('rate(requests_total[1m]) > 0')).length > 0, 'there is something to see', 60_000)
  })
  after(() => opened.disposeAsync())

  it('passes, fails and decides nothing by the value, which it names with its age and the query that was asked', async () => {
    const query = 'error_share{version="{{version}}",endpoint="{{ endpoint }}"}'
    const pass = await asked(of(prometheus.url, query))
    assert.deepEqual(
      { ...pass, at: undefined, age: undefined, sentence: pass.sentence.replace(/[\d.]+ s old/, 'N s old') },
      {
        verdict: 'pass',
        value: 0.002,
        at: undefined,
        age: undefined,
        sentence: 'the value is 0.002, which is not > 0.01 (N s old)',
        query: 'error_share{version="7",endpoint="churn"}',
      },
    )
    assert.ok(pass.age! >= 0 && pass.age! <= FRESH_SECONDS && Math.abs(Date.now() - pass.at!) < 60_000, JSON.stringify(pass))
    const fail = await asked(of(prometheus.url, 'error_share{version="8"}'))
    assert.deepEqual([fail.verdict, fail.value], ['fail', 0.4])
    const verdictOf = async (rest: Partial<Check>): Promise<string> => (await asked(of(prometheus.url, query, rest))).verdict
    assert.equal(await verdictOf({ failWhen: { above: 0.002 } }), 'pass')
    assert.equal(await verdictOf({ failWhen: '>= 0.002' }), 'fail')
    assert.equal(await verdictOf({ failWhen: { below: 0.002 } }), 'pass')
    assert.equal(await verdictOf({ failWhen: '<=2e-3' }), 'fail')
    assert.equal(await verdictOf({ failWhen: '> 0.01', passWhen: '< 0.001' }), 'no_data')
    assert.equal(await verdictOf({ failWhen: '> 0.01', passWhen: '< 0.005' }), 'pass')
    assert.equal((await asked(of(`${prometheus.url}/`, 'scalar(error_share{version="8"})'))).verdict, 'fail')
    assert.equal((await asked(of(prometheus.url, 'vector(1)'))).verdict, 'fail', 'a query that reads no series is as fresh as it can be')
  })

  it('finds nothing, and says which labels there are', async () => {
    const nothing = await asked(of(prometheus.url, 'error_share{version="99", shard="a"}'))
    assert.equal(nothing.verdict, 'no_data')
    assert.match(
      nothing.sentence,
      /finds nothing; error_share has the labels endpoint, instance, job, version, version is "7", "8", it has no label shard/,
    )
    const unknown = await asked(of(prometheus.url, 'sum(rate(eror_share[5m]))'))
    assert.equal(unknown.verdict, 'no_data')
    assert.match(unknown.sentence, /there are no series of eror_share in the last hour; did you mean error_share\?/)
    const zero = await asked(of(prometheus.url, 'sum(rate(errors_totl{version="7"}[5m])) or vector(0)'))
    assert.equal(zero.verdict, 'no_data', 'a default in the query is no sample')
    assert.match(zero.sentence, /the value is 0, and none of the series that it reads has had a sample/)
    const beside = '(sum(rate(never_total[5m])) or vector(0)) / sum(rate(requests_total[5m]))'
    assert.equal((await asked(of(prometheus.url, beside))).verdict, 'pass', 'errors that never were, beside requests that are')
  })

  it('takes nothing for a number that is none, and no several for one', async () => {
    const none = await asked(of(prometheus.url, 'rate(idle_total[1m]) / rate(idle_total[1m])'))
    assert.deepEqual([none.verdict, none.value], ['no_data', undefined])
    assert.match(none.sentence, /NaN: nothing was divided by nothing, so there was probably no traffic/)
    assert.equal((await asked(of(prometheus.url, 'infinite'))).verdict, 'no_data')
    assert.equal((await asked(of(prometheus.url, '-infinite', { failWhen: '> 1' }))).verdict, 'no_data')
    const several = await asked(of(prometheus.url, 'error_share'))
    assert.equal(several.verdict, 'error')
    assert.match(
      several.sentence,
      /gives 2 series, where one was expected: \{__name__="error_share".*version="8"\}; add them up with sum\(\)/,
    )
    assert.match((await asked(of(prometheus.url, 'error_share[5m]'))).sentence, /gives a range of values, where one number was expected/)
    const wrong = await asked(of(prometheus.url, 'sum(rate('))
    assert.deepEqual([wrong.verdict, wrong.query], ['error', 'sum(rate('])
    assert.match(wrong.sentence, /answers 400: bad_data: .*parse error/)
    const place = await asked(of(prometheus.url, 'error_share{version="{{verson}}"}'))
    assert.equal(place.verdict, 'error')
    assert.match(place.sentence, /\{\{verson\}\} is filled in by nobody; did you mean \{\{version\}\}\?; there are \{\{endpoint\}\}/)
  })

  it('an alert that is inactive passes, one that fires fails, and any other decides nothing', async () => {
    const alert = (name: string, rest: Partial<Check> = {}): Check => ({
      name: 'alert',
      prometheus: { url: prometheus.url, alert: name },
      maxAgeSeconds: 120,
      ...rest,
    })
    await until(async () => (await asked(alert('ManyErrors'))).verdict === 'fail', 'it fires', 60_000)
    await until(async () => (await asked(alert('NoErrors'))).verdict === 'pass', 'it is evaluated', 60_000)
    await until(async () => /is pending/.test((await asked(alert('ErrorsForLong'))).sentence), 'it is pending', 60_000)
    assert.equal((await asked(alert('ErrorsForLong'))).verdict, 'no_data')
    await until(async () => /cannot be evaluated: /.test((await asked(alert('Broken'))).sentence), 'it is found broken', 60_000)
    assert.equal((await asked(alert('Broken'))).verdict, 'no_data')
    const unknown = await asked(alert('ManyError'))
    assert.equal(unknown.verdict, 'error')
    assert.match(unknown.sentence, /no alerting rule ManyError; did you mean ManyErrors\?; there are ManyErrors, ErrorsForLong/)
    const later = await asked(alert('NoErrors'), { now: Date.now() + 600_000 })
    assert.equal(later.verdict, 'no_data')
    assert.match(later.sentence, /was evaluated \d+ min ago, where at most 2 min count/)
  })

  it('a series that has ended decides nothing, though its rate goes on for minutes', async () => {
    const rate = of(prometheus.url, 'rate(ending_total[5m])', { failWhen: '< 0.001', maxAgeSeconds: 5 })
    await until(async () => (await asked(rate)).verdict === 'pass', 'it goes on', 30_000)
    ends = true
    await until(async () => (await asked(rate)).verdict === 'no_data', 'it is found to have ended', 60_000)
    const stale = await asked(rate)
    assert.match(stale.sentence, /the value is [\d.e-]+, and [\d.]+ s old, where at most 5 s count/)
    assert.ok(stale.value! > 0 && stale.age! > 5 && stale.age! < 60, JSON.stringify(stale))
    // The one that was silent longest counts.
    const both = await asked({
      ...rate,
      prometheus: { url: prometheus.url, query: 'rate(ending_total[5m]) / on (job) rate(requests_total[5m])' },
    })
    assert.equal(both.verdict, 'no_data')
    const kept = await asked(of(prometheus.url, 'error_share{version="7"}'), { now: Date.now() + 3_600_000 })
    assert.equal(kept.verdict, 'no_data')
    assert.match(kept.sentence, /the answer is of 60 min ago by our clock/)
  })
})

describe('what is no Prometheus, or not well', () => {
  it('is an error that says what answers', async () => {
    const answers: Record<string, [status: number, type: string, body: string]> = {
      '/broken': [500, 'text/plain', 'out of memory'],
      '/page': [200, 'text/html', '<html>welcome</html>'],
      '/json': [200, 'application/json', '{"hello":1}'],
      '/odd': [200, 'application/json', '{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"value":7}]}}'],
      '/part': [200, 'application/json', '{"status":"success","isPartial":true,"data":{"resultType":"vector","result":[]}}'],
      '/closed': [401, 'text/plain', ''],
      '/missing': [404, 'text/plain', '404 page not found'],
    }
    await using server = await answering((request, response) => {
      const found = answers[`/${request.url!.split('/')[1]}`]
      if (found === undefined) response.writeHead(302, { location: 'http://127.0.0.1:1/login' }).end()
      else response.writeHead(found[0], { 'content-type': found[1] }).end(found[2])
    })
    const sentences = {
      '/broken': /answers 500: "out of memory"/,
      '/page': /is no Prometheus \(status 200, text\/html: "<html>welcome<\/html>"\)/,
      '/json': /is no Prometheus \(status 200, application\/json/,
      '/odd': /cannot be understood|NaN|undefined/,
      '/part': /answered only in part/,
      '/closed': /answers 401: it wants to know who asks; give what it expects in headers/,
      '/missing': /is no Prometheus \(status 404/,
      '/moved': /answers 302 and sends on to http:\/\/127.0.0.1:1\/login, which is not followed/,
    }
    for (const [path, sentence] of Object.entries(sentences)) {
      const answer = await asked(of(server.url + path, 'up'))
      assert.ok(['error', 'no_data'].includes(answer.verdict), `${path}: ${JSON.stringify(answer)}`)
      assert.match(answer.sentence, sentence)
    }
  })

  it('is an error where nobody answers, in time or at all, and a question that is ended is no answer', async () => {
    await using silent = await answering(() => {})
    await using endless = await answering((_, response) => {
      const more = (): void => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536, ' ')));
      }
      response.on('drain', more)
      more()
    })
    const late = { name: 'late', failWhen: '> 1', prometheus: { url: silent.url, query: 'up', timeoutMs: 300 } }
    assert.match((await asked(late)).sentence, /cannot be asked: no answer within 0.3 s/)
    assert.match((await asked(of(endless.url, 'up'))).sentence, /the answer has more than 8 MiB/)
    assert.match((await asked(of(`http://127.0.0.1:${await freePort()}`, 'up'))).sentence, /cannot be asked: .*ECONNREFUSED/)
    const ending = new AbortController()
    const question = asked(of(silent.url, 'up'), { signal: ending.signal })
    await sleep(50)
    ending.abort(new Error('enough'))
    await assert.rejects(question, /enough/)
  })

  it('is not asked at an address of this machine, unless that is allowed', async () => {
    let heard = 0
    await using server = await answering((_, response) => response.end(String(heard++)))
    for (const url of [server.url, `http://localhost:${server.port}`]) {
      const answer = await asked(of(url, 'up'), { allowInside: false })
      assert.equal(answer.verdict, 'error')
      assert.match(answer.sentence, /is an address of this machine or its network; allow such with --allow-private-addresses/)
    }
    assert.equal(heard, 0)
  })

  it('gets headers from secrets, and no secret is told', async () => {
    const seen: (string | undefined)[] = []
    await using server = await answering((request, response) => {
      seen.push(request.headers.authorization, request.headers['x-scope-orgid'] as string)
      response.end('{"status":"success","data":{"resultType":"scalar","result":[0,"NaN"]}}')
    })
    const headers = { Authorization: 'Bearer env:SLIPWAY_CHECK_TOKEN', 'X-Scope-OrgID': 'env:SLIPWAY_CHECK_TENANT' }
    const check: Check = { name: 'x', failWhen: '> 1', prometheus: { url: server.url, query: 'up', headers } }
    const given = { SLIPWAY_CHECK_TOKEN: 'hunter2', SLIPWAY_CHECK_TENANT: 'team', SLIPWAY_CHECK_TENANT_URL: server.url }
    const secrets = new Secrets({ environment: { ...given, SLIPWAY_CHECK_TOKEN_URL: server.url } })
    assert.equal((await asked(check, { secrets })).verdict, 'no_data')
    assert.deepEqual(seen, ['Bearer hunter2', 'team'])
    const elsewhere = new Secrets({ environment: { ...given, SLIPWAY_CHECK_TOKEN_URL: 'http://prometheus:9090' } })
    const kept = await asked(check, { secrets: elsewhere })
    assert.deepEqual([kept.verdict, seen.length], ['error', 2])
    assert.match(kept.sentence, /env:SLIPWAY_CHECK_TOKEN is not for http:\/\/127\.0\.0\.1:\d+: SLIPWAY_CHECK_TOKEN_URL has the address/)
    const missing = await asked(check, { secrets: new Secrets({ environment: {} }) })
    assert.deepEqual([missing.verdict, seen.length], ['error', 2])
    assert.match(missing.sentence, /env:SLIPWAY_CHECK_(TOKEN|TENANT) cannot be had: the variable is not set/)
  })
})
