import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, it } from 'node:test'
import { Histogram, LATENCY_EDGES } from '../../src/contract/statistics/histogram.ts'
import { writeWindow } from '../../src/contract/observation-window.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { authority } from '../certificates.ts'
import { serveInChild } from '../child-server.ts'
import { adders, deploy } from '../following/following.ts'
import { CUSTOMER, example, post, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { slipway } from '../cli/slipway.ts'
import { adapterInChild, askOver } from './adapter-in-child.ts'
import { podList } from './pod-list.ts'
import type { Plane } from '../api/in-plane.ts'
import type { ChildServer } from '../child-server.ts'
import type { ChildAdapter, Client, Told } from './adapter-in-child.ts'
import type { PodList } from './pod-list.ts'

const CUSTOM = '/apis/custom.metrics.k8s.io'
const EXTERNAL = '/apis/external.metrics.k8s.io'
const RPS = 'slipway_requests_per_second'
const LABELS = { 'app.kubernetes.io/name': 'slipway', 'app.kubernetes.io/instance': 'churn' }

describe('The metrics adapter', () => {
  const opened = new AsyncDisposableStack()
  let list: PodList
  let busy: ChildServer
  let quiet: ChildServer
  let plane: Plane
  let adapter: ChildAdapter
  let apiServer: Client
  let others: Record<'stranger' | 'misnamed' | 'nobody' | 'uncertified', Client>
  let folder: string

  before(async () => {
    folder = opened.use(await temporaryFolder()).path
    const own = await authority(folder)
    const strangers = await authority(opened.use(await temporaryFolder()).path)
    const proxies = await authority(folder, 'proxies')
    const user = { 'x-remote-user': 'system:serviceaccount:kube-system:horizontal-pod-autoscaler' }
    const serving = await own.issue('slipway-metrics-adapter')
    const proxy = await proxies.issue('front-proxy')
    apiServer = { ...proxy, ca: own.cert, headers: user }
    others = {
      stranger: { ...(await strangers.issue('front-proxy')), headers: user },
      misnamed: { ...(await proxies.issue('someone')), headers: user },
      nobody: { ...apiServer, headers: {} },
      uncertified: { headers: user },
    }
    list = opened.use(await podList(own))
    list.frontProxy = {
      'requestheader-client-ca-file': readFileSync(proxies.cert, 'utf8'),
      'requestheader-allowed-names': '["front-proxy","aggregator"]',
      'requestheader-username-headers': '["X-Remote-User"]',
    }
    ;[busy, quiet, plane] = await Promise.all([
      serveInChild([`churn=${example('churn')}`]),
      serveInChild([`churn=${example('churn')}`]),
      planeInProcess(),
    ])
    for (const one of [busy, quiet, plane]) opened.use(one)
    const port = (server: ChildServer): number => Number(new URL(server.url).port)
    list.pods = [
      { name: 'busy', labels: { ...LABELS, tier: 'gold' }, port: port(busy) },
      { name: 'quiet', labels: LABELS, port: port(quiet) },
      { name: 'starting', labels: LABELS, port: 1 },
      { name: 'pending', labels: LABELS, port: port(quiet), phase: 'Pending' },
      { name: 'leaving', labels: LABELS, port: port(quiet), deleted: true },
      { name: 'other', namespace: 'test', labels: LABELS, port: port(quiet) },
    ]
    await adders(plane, 1)
    await deploy(plane)
    adapter = opened.use(
      await adapterInChild([
        ...(await list.flags(folder)),
        '--tls-cert',
        serving.cert,
        '--tls-key',
        serving.key,
        '--control-plane',
        plane.url,
        '--interval',
        '500ms',
        '--window',
        '6s',
      ]),
    )
    await until(async () => (await askOver(`${adapter.url}/readyz`)).status === 200, 'the adapter is ready')
  })
  after(() => opened.disposeAsync())

  const ask = (path: string, who: Client = apiServer): Promise<Told> => askOver(`${adapter.url}${path}`, who)
  const pods = async (path: string): Promise<Map<string, any>> => {
    const { status, body } = await ask(path)
    assert.equal(status, 200, JSON.stringify(body))
    return new Map(body.items.map((item: any) => [item.describedObject.name, item]))
  }
  const inProd = (rest: string, version = 'v1beta2'): string => `${CUSTOM}/${version}/namespaces/prod/pods/${rest}`

  it('says what it serves, as the discovery of Kubernetes asks', async () => {
    const { body: groups } = await ask('/apis')
    assert.equal(groups.kind, 'APIGroupList')
    assert.deepEqual(
      groups.groups.map((group: any) => [group.name, group.preferredVersion.groupVersion]),
      [
        ['custom.metrics.k8s.io', 'custom.metrics.k8s.io/v1beta2'],
        ['external.metrics.k8s.io', 'external.metrics.k8s.io/v1beta1'],
      ],
    )
    for (const version of ['v1beta1', 'v1beta2']) {
      const { status, type, body } = await ask(`${CUSTOM}/${version}`)
      assert.deepEqual([status, type, body.kind], [200, 'application/json', 'APIResourceList'])
      assert.equal(body.groupVersion, `custom.metrics.k8s.io/${version}`)
      assert.deepEqual(
        body.resources.map(({ name, namespaced, kind, verbs }: any) => [name, namespaced, kind, verbs.join()]),
        ['slipway_requests_per_second', 'slipway_requests_in_flight', 'slipway_requests_queued'].map((name) => [
          `pods/${name}`,
          true,
          'MetricValueList',
          'get',
        ]),
      )
    }
    const { body } = await ask(`${EXTERNAL}/v1beta1`)
    assert.ok(body.resources.some(({ name, kind }: any) => name === 'slipway_error_share' && kind === 'ExternalMetricValueList'))
  })

  it('answers the API server alone: not without its certificate, under another name, of another authority, or for nobody', async () => {
    for (const [name, who] of Object.entries(others)) {
      const { status, body } = await ask(`${CUSTOM}/v1beta2`, who)
      assert.deepEqual([name, status, body.kind, body.reason], [name, 401, 'Status', 'Unauthorized'])
    }
    for (const path of ['/healthz', '/livez', '/readyz']) assert.equal((await ask(path, {})).status, 200, path)
    assert.equal((await ask(`${CUSTOM}/v1beta2`, { ...apiServer, method: 'POST' })).status, 405)
    const { rejected } = await ask('/livez', { ca: others.stranger.cert! }).then(
      () => ({ rejected: false }),
      () => ({ rejected: true }),
    )
    assert.ok(rejected, 'its certificate is the one that was given')
  })

  it('tells the rate of each pod, and leaves out those that have none', async () => {
    const ended = new AbortController()
    let sent = 0
    const load = (async () => {
      while (!ended.signal.aborted) {
        assert.equal((await post(`${busy.url}/models/churn/predict`, CUSTOMER)).status, 200)
        sent++
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    })()
    try {
      const all = inProd(`*/${RPS}?labelSelector=${encodeURIComponent('app.kubernetes.io/instance=churn')}`)
      await until(async () => (await pods(all)).get('busy')?.value !== undefined && (await pods(all)).has('quiet'), 'both have numbers')
      await until(async () => (await pods(all)).get('busy').value !== '0', 'the busy one is seen to be')
      const found = await pods(all)
      assert.deepEqual([...found.keys()].toSorted(), ['busy', 'quiet'], 'what starts, waits, leaves, or lies elsewhere has none')
      assert.equal(found.get('quiet').value, '0')
      const one = found.get('busy')
      assert.match(one.value, /^\d+m?$/)
      assert.deepEqual(one.describedObject, { kind: 'Pod', namespace: 'prod', name: 'busy', apiVersion: 'v1' })
      assert.deepEqual(one.metric, { name: RPS, selector: null })
      assert.match(one.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
      assert.ok(Math.abs(Date.parse(one.timestamp) - Date.now()) < 10_000)
      assert.ok(one.windowSeconds >= 0 && one.windowSeconds <= 6)

      const [named] = [...(await pods(inProd(`busy/${RPS}`, 'v1beta1'))).values()]
      assert.deepEqual([named.metricName, named.selector, typeof named.window], [RPS, null, 'number'])
      assert.deepEqual([...(await pods(inProd(`*/${RPS}?labelSelector=tier%3Dgold`))).keys()], ['busy'])
      const ofModel = await pods(inProd(`*/${RPS}?metricLabelSelector=endpoint%3Dchurn`))
      assert.deepEqual(ofModel.get('busy').metric.selector, { matchExpressions: [{ key: 'endpoint', operator: 'In', values: ['churn'] }] })
      assert.equal((await pods(inProd(`*/${RPS}?metricLabelSelector=endpoint%3Dfraud`))).size, 0)
      for (const metric of ['slipway_requests_in_flight', 'slipway_requests_queued'])
        assert.equal((await pods(inProd(`*/${metric}`))).get('quiet').value, '0', metric)
      assert.deepEqual([...(await pods(`${CUSTOM}/v1beta2/namespaces/test/pods/*/${RPS}`)).keys()], ['other'])
    } finally {
      ended.abort()
      await load
    }
    assert.ok(sent > 0)
    await until(async () => (await pods(inProd(`*/${RPS}`))).get('busy').value === '0', 'the rate ends with the requests', 30_000)
  })

  it('counts as many requests as there were', async () => {
    // Thirty at once lie between two looks, or around one; the window is longer than both.
    await Promise.all(Array.from({ length: 30 }, () => post(`${busy.url}/models/churn/predict`, CUSTOMER)))
    let most = { least: 0, most: 0 }
    await until(async () => {
      const { value, windowSeconds } = (await pods(inProd(`*/${RPS}`))).get('busy')
      const rate = thousandths(value) / 1000
      // Seconds are rounded.
      if (rate * (windowSeconds + 0.5) > most.most) most = { least: rate * (windowSeconds - 0.5), most: rate * (windowSeconds + 0.5) }
      return most.most >= 30
    }, 'they are seen')
    assert.ok(most.least <= 30, `at least ${most.least} were counted`)
  })

  it('says what is wrong with a question', async () => {
    const wrong: readonly [string, number, RegExp][] = [
      [inProd('*/cpu'), 404, /no metric "cpu"; there are slipway_requests_per_second/],
      [inProd(`starting/${RPS}`), 404, /pod "prod\/starting" has no slipway_requests_per_second/],
      [inProd(`*/${RPS}?labelSelector=a%20in%20b`), 400, /"a in b" is no part of a selector/],
      [`${CUSTOM}/v1`, 404, /nothing that is served here/],
      [`${CUSTOM}/v1beta2/namespaces/prod/services/churn/${RPS}`, 404, /nothing that is served here/],
      [`${CUSTOM}/v1beta2/namespaces/%zz/pods/a/${RPS}`, 400, /"%zz" is no part of an address/],
      ['/openapi/v2', 404, /nothing that is served here/],
      ['/metrics', 404, /nothing that is served here/],
    ]
    for (const [path, code, message] of wrong) {
      const { status, body } = await ask(path)
      assert.deepEqual([path, status, body.kind, body.code, body.status], [path, code, 'Status', code, 'Failure'])
      assert.match(body.message, message)
    }
  })

  it('goes on with the pods that it knows while they cannot be listed, and leaves out one that falls silent: never as 0', async () => {
    list.status = 403
    await until(() => adapter.said().includes('pods cannot be listed'), 'it says so')
    quiet.signal('SIGSTOP')
    try {
      await until(async () => !(await pods(inProd(`*/${RPS}`))).has('quiet'), 'the silent pod is left out', 30_000)
      assert.equal((await ask(inProd(`quiet/${RPS}`))).status, 404)
      assert.ok((await pods(inProd(`*/${RPS}`))).has('busy'))
      assert.equal((await ask('/readyz')).status, 200, 'an API that is away would disturb more than who scales by it')
    } finally {
      quiet.signal('SIGCONT')
      list.status = 200
    }
    await until(async () => (await pods(inProd(`*/${RPS}`))).has('quiet'), 'it is there again', 30_000)
    list.pods = list.pods.filter(({ name }) => name !== 'quiet')
    await until(async () => !(await pods(inProd(`*/${RPS}`))).has('quiet'), 'a pod that is gone has no numbers')
  })

  describe('with a control plane', () => {
    const external = async (metric: string, selector = ''): Promise<any[]> => {
      const { status, body } = await ask(`${EXTERNAL}/v1beta1/namespaces/any/${metric}?labelSelector=${encodeURIComponent(selector)}`)
      assert.deepEqual([status, body.kind, body.apiVersion], [200, 'ExternalMetricValueList', 'external.metrics.k8s.io/v1beta1'])
      return body.items
    }
    const report = async (server: string, expiresInMs: number): Promise<void> => {
      const told = { apiVersion: 'slipway/v1', bootId: 'b', release: '0', sentAt: Date.now(), expiresInMs, staleSeconds: 0, endpoints: [] }
      const { status, body } = await plane.ask('PUT', `/servers/${server}/report`, told)
      assert.ok(status < 300, JSON.stringify(body))
    }
    let sequence = 0
    const windows = async (server: string, codes: Readonly<Record<string, number>>, seconds: number): Promise<void> => {
      const endMs = Math.floor((Date.now() - 3000) / 10_000) * 10_000
      const series = Object.entries(codes).map(([code, count]) => {
        const histogram = new Histogram(LATENCY_EDGES)
        for (let index = 0; index < count; index++) histogram.observe(seconds)
        return { name: 'request_seconds', labels: { protocol: 'v2', code: Number(code) }, statistic: histogram.snapshot() }
      })
      const key = {
        ...({ source: 'online', server, bootId: 'b', sequence: sequence++, segment: 1, startMs: endMs - 10_000, endMs } as const),
        endpoint: 'adder',
        variant: 'main',
        model: 'adder',
        version: '1',
      }
      const { status, body } = await plane.ask('POST', `/servers/${server}/windows`, {
        sentAt: Date.now(),
        windows: [writeWindow({ key, series })],
      })
      assert.ok(status < 300, JSON.stringify(body))
    }

    it('tells nothing while no server follows, zero where servers were asked nothing, and what their windows add up to', async () => {
      assert.deepEqual(await external(RPS), [])
      await report('one', 3_600_000)
      await until(async () => (await external(RPS)).length === 1, 'a server is there')
      const [zero] = await external(RPS, 'endpoint=adder')
      assert.deepEqual([zero.metricName, zero.metricLabels, zero.value, zero.window], [RPS, { endpoint: 'adder' }, '0', 10])
      assert.deepEqual(await external('slipway_error_share'), [], 'of no requests there is no share')

      // The span moves on every ten seconds: what falls out of it is sent again, and all is read in one span.
      await until(
        async () => {
          await windows('one', { 200: 30, 500: 10 }, 0.5)
          await new Promise((resolve) => setTimeout(resolve, 1200))
          const [[rate], [share], [inFlight]] = await Promise.all([
            external(RPS, 'endpoint=adder,version=1'),
            external('slipway_error_share'),
            external('slipway_requests_in_flight', 'variant'),
          ])
          if (rate === undefined || share === undefined || inFlight === undefined) return false
          assert.deepEqual(rate.metricLabels, { endpoint: 'adder', variant: 'main', model: 'adder', version: '1' })
          assert.deepEqual([share.metricLabels, share.value], [{ endpoint: 'adder' }, '250m'])
          assert.equal(thousandths(rate.value) % 4000, 0, 'forty requests in ten seconds, as often as they were sent')
          // Each request took half a second.
          return thousandths(inFlight.value) * 2 === thousandths(rate.value)
        },
        'the windows are seen',
        40_000,
      )
      assert.deepEqual(await external(RPS, 'endpoint=fraud'), [])
    })

    it('tells nothing while a server that was there a moment ago is silent', async () => {
      await report('two', 1000)
      await until(async () => (await external(RPS)).length === 0, 'the sum would be too small', 30_000)
      assert.match(adapter.said(), /server \\"two\\" is silent, and what it counts is missing/)
      await report('two', 3_600_000)
      await until(async () => (await external(RPS)).length > 0, 'it is back')
    })
  })
})

function thousandths(quantity: string): number {
  return quantity.endsWith('m') ? Number.parseInt(quantity, 10) : 1000 * Number(quantity)
}

describe('The command metrics-adapter', () => {
  it('says what it lacks', async () => {
    const wrong: readonly [string[], RegExp][] = [
      [[], /runs in no cluster .* give --kube-api/],
      [['--no-pods'], /nothing is left to serve/],
      [['--control-plane', 'nowhere', '--no-pods', '--front-proxy-ca', '/dev/null'], /--control-plane nowhere: expected an address/],
      [
        ['--interval', '10ms', '--kube-api', 'https://127.0.0.1:1', '--kube-ca', '/dev/null', '--kube-token-file', '/dev/null'],
        /--interval 10ms: expected 500 ms to 60 s/,
      ],
      [['--no-pods', '--control-plane', 'http://127.0.0.1:1', '--front-proxy-ca', '/nowhere'], /--front-proxy-ca \/nowhere cannot be read/],
      [
        ['--no-pods', '--control-plane', 'http://127.0.0.1:1', '--front-proxy-ca', '/dev/null', '--tls-cert', 'a'],
        /--tls-cert and --tls-key belong together/,
      ],
    ]
    for (const [args, message] of wrong) {
      const { code, stderr } = await slipway(['metrics-adapter', ...args])
      assert.equal(code, 2, stderr)
      assert.match(stderr, message)
    }
  })

  it('leaves a group to another adapter, and signs its own certificate where it is given none', async () => {
    await using folder = await temporaryFolder()
    const proxies = await authority(folder.path, 'proxies')
    const proxy = await proxies.issue('front-proxy')
    await using adapter = await adapterInChild([
      '--no-pods',
      '--control-plane',
      'http://127.0.0.1:1',
      '--front-proxy-ca',
      proxies.cert,
      '--front-proxy-name',
      'front-proxy',
      '--service-name',
      'metrics.mine.svc',
    ])
    const client = { ...proxy, headers: { 'x-remote-user': 'somebody' } }
    const { body } = await askOver(`${adapter.url}/apis`, client)
    assert.deepEqual(
      body.groups.map(({ name }: any) => name),
      ['external.metrics.k8s.io'],
    )
    assert.equal((await askOver(`${adapter.url}${CUSTOM}/v1beta2`, client)).status, 404)
    const { status, body: readiness } = await askOver(`${adapter.url}/readyz`)
    assert.equal(status, 503)
    assert.match(readiness.reason, /the control plane/)
    assert.match(adapter.said(), /the certificate signs itself: the APIServices need insecureSkipTLSVerify/)
  })
})
