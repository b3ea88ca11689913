/** Labels find the prediction that they are about, on whatever server they come in, once, and none that was taken is lost. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { planeInProcess } from '../api/in-plane.ts'
import { serveInChild } from '../child-server.ts'
import { FEEDBACK_STEPS } from '../../src/core/fail-point.ts'
import { slipway } from '../cli/slipway.ts'
import { freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { decide, deciders, judges } from './deciding-models.ts'
import { follows } from './following.ts'
import type { Verdict } from './deciding-models.ts'
import type { FeedbackReport } from '../../src/contract/feedback.ts'
import type { Plane } from '../api/in-plane.ts'

async function sent(url: string, body: unknown, headers: Record<string, string> = {}): Promise<{ status: number; body: any }> {
  const response = await fetch(`${url}/feedback`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body),
  })
  return { status: response.status, body: await response.json() }
}

async function report(plane: Pick<Plane, 'ask'>): Promise<FeedbackReport['versions']> {
  return ((await plane.ask('GET', '/endpoints/judge/feedback')).body as FeedbackReport).versions
}

const labelsIn = (versions: FeedbackReport['versions']): number => versions.reduce((sum, { labels }) => sum + labels, 0)

describe('feedback', () => {
  it('finds its variant on another server, counts once, and the first label judges while the last is reported', async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await deciders(plane, { threshold: 0.5 }, { threshold: 0.2 })
    await judges(plane, [
      { model: 'judge/1', weight: 50 },
      { name: 'next', model: 'judge/2', weight: 50 },
    ])
    await using a = await follows(plane.url, join(folder.path, 'a'), { name: 'a' })
    await using b = await follows(plane.url, join(folder.path, 'b'), { name: 'b' })
    // What is true is 1 from 0.5 on: version 2 is wrong in between.
    const predictions: (Verdict & { truth: number })[] = []
    for (let number = 0; number < 120; number++) {
      const x = (number % 10) / 10 + 0.05
      predictions.push({ ...(await decide(a.url, x)), truth: x >= 0.5 ? 1 : 0 })
    }
    const labelled = predictions.map(({ receipt, truth }) => ({ id: receipt!, label: truth }))
    const first = await sent(b.url, { feedback: labelled.slice(0, 100) })
    assert.deepEqual(first, { status: 202, body: { accepted: 100, refused: [] } })
    // Again, by way of the other server and of the control plane, and as texts.
    await sent(a.url, { feedback: labelled.slice(0, 50).map(({ id, label }) => ({ id, label: String(label) })) })
    const direct = await plane.ask('POST', '/feedback', { feedback: labelled.slice(0, 70) })
    assert.deepEqual([direct.status, direct.body], [200, { accepted: 70, refused: [] }])
    await until(async () => labelsIn(await report(plane)) === 100, 'the labels arrive')
    const wrongOf = (variant: string): number =>
      predictions.slice(0, 100).filter((one) => one.variant === variant && one.label !== one.truth).length
    const of = (versions: FeedbackReport['versions'], variant: string) => versions.find((one) => one.variant === variant)!
    const versions = await report(plane)
    assert.deepEqual([of(versions, 'main').wrong, of(versions, 'next').wrong], [0, wrongOf('next')])
    assert.ok(wrongOf('next') > 5)
    assert.ok(of(versions, 'next').delayP50Ms! >= 0)
    // A later label changes reports, and no verdict.
    const wrong = predictions.find(({ variant, label, truth }) => variant === 'next' && label !== truth)!
    assert.equal((await sent(b.url, { id: wrong.receipt, label: wrong.label, time: Date.now() + 60_000 })).status, 202)
    await until(async () => of(await report(plane), 'next').wrong === wrongOf('next') - 1, 'the report follows')
    const metrics = (await plane.ask('GET', '/endpoints/judge/comparison?candidate=next')).body.metrics as { metric: string }[]
    const judged = metrics.find(({ metric }) => metric === 'wrong labels') as any
    assert.equal(judged.role, 'warn')
    assert.equal(judged.candidate.events, wrongOf('next'))
    assert.equal(judged.base.exposures + judged.candidate.exposures, 100)
    const told = await slipway(['feedback', 'show', 'judge', '--url', plane.url])
    assert.equal(told.code, 0, told.stderr)
    assert.match(
      told.stdout,
      /variant +version +predictions +labels +right +off by +label after\n *main +judge\/1 +\d+ +\d+ \(.*\) +100\.0 %/,
    )
  })

  it('takes no receipt that was changed, made up, or is of another endpoint or control plane', async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await deciders(plane, { threshold: 0.5 }, { threshold: 0.2 })
    await judges(plane, [
      { model: 'judge/1', weight: 50 },
      { name: 'next', model: 'judge/2', weight: 50 },
    ])
    await using server = await follows(plane.url, folder.path)
    const { receipt = '' } = await decide(server.url, 0.7, { 'slipway-unit': 'u' })
    const other = (await decide(server.url, 0.7, { 'slipway-variant': receipt.includes('next') ? 'main' : 'next' })).receipt!
    const [id, place, details, signature] = receipt.split('.') as [string, string, string, string]
    const forged = [
      [id, other.split('.')[1], details, signature].join('.'),
      [id.replace(/^./, '0'), place, details, signature].join('.'),
      [id, place, `${details}0`, signature].join('.'),
      [id, place, details, signature.replace(/^./, (one) => (one === 'A' ? 'B' : 'A'))].join('.'),
      [id, place, details].join('.'),
      'no receipt',
      'x'.repeat(3000),
    ]
    for (const one of forged) {
      const { status, body } = await sent(server.url, { id: one, label: 1 })
      assert.deepEqual([status, body.code], [400, 'SLW_INPUT_INVALID'], one.slice(0, 80))
      assert.equal((await plane.ask('POST', '/feedback', { id: one, label: 1 })).status, 400)
    }
    // The others of the same call are taken.
    const mixed = await sent(server.url, {
      feedback: [
        { id: forged[0], label: 1 },
        { id: receipt, label: 1 },
      ],
    })
    assert.deepEqual([mixed.status, mixed.body.accepted, mixed.body.refused.map(({ index }: { index: number }) => index)], [202, 1, [0]])
    for (const body of [
      {},
      { id: receipt },
      { feedback: [] },
      { id: receipt, label: null },
      { id: receipt, label: 1, weight: -1 },
      { id: receipt, label: 1, time: 1e300 },
      { id: receipt, label: 1, time: Date.now() + 3 * 24 * 3_600_000 },
      { id: receipt, label: 1, extra: 1 },
    ])
      assert.equal((await sent(server.url, body)).status, 400, JSON.stringify(body).slice(-40))
    // Whoever reads documents learns no key.
    const reader = (await plane.ask('POST', '/keys', { name: 'root', scopes: ['admin'] })).body.key as string
    const viewer = (await plane.ask('POST', '/keys', { name: 'eyes', scopes: ['viewer'] }, { authorization: `Bearer ${reader}` })).body
      .key as string
    const asViewer = await plane.ask('GET', '/follow', undefined, { authorization: `Bearer ${viewer}` })
    assert.equal(JSON.stringify(asViewer.body).includes('receiptKeys'), false)
  })

  it('goes on with another key, and the receipts of the one before are believed', async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await deciders(plane, { threshold: 0.5 })
    await judges(plane, [{ model: 'judge/1' }])
    await using server = await follows(plane.url, folder.path)
    const { receipt: before } = await decide(server.url, 0.7)
    const renewed = await plane.ask('POST', '/endpoints/judge/receipt-key', {})
    assert.equal(renewed.status, 200, JSON.stringify(renewed.body))
    const keyOf = (receipt: string | undefined): unknown =>
      (JSON.parse(Buffer.from(receipt!.split('.')[1]!, 'base64url').toString()) as unknown[])[0]
    let after: string | undefined
    await until(async () => keyOf((after = (await decide(server.url, 0.7)).receipt)) !== keyOf(before), 'the server signs with it')
    for (const receipt of [before, after]) assert.equal((await sent(server.url, { id: receipt, label: 1 })).status, 202)
    await until(async () => labelsIn(await report(plane)) === 2, 'both arrive')
  })

  it('of a file is sent, and what is wrong with it is told', async () => {
    await using plane = await planeInProcess()
    await using folder = await temporaryFolder()
    await deciders(plane, { threshold: 0.5 })
    await judges(plane, [{ model: 'judge/1' }])
    await using server = await follows(plane.url, join(folder.path, 'a'))
    const receipts = []
    for (const x of [0.1, 0.6, 0.9]) receipts.push((await decide(server.url, x)).receipt!)
    const csv = await folder.write(
      'labels.csv',
      `id,label,time\n${receipts.map((id, index) => `"${id}",${index === 0 ? 1 : 1},2026-11-30T10:00:00Z`).join('\n')}\n`,
    )
    const send = async (file: string) => await slipway(['feedback', 'send', file, '--url', plane.url])
    for (const _ of ['once', 'again']) {
      const { code, stdout, stderr } = await send(csv)
      assert.deepEqual([code, stdout.trim()], [0, '3 labels are kept'], stderr)
    }
    const [version] = await report(plane)
    assert.deepEqual([version!.labels, version!.right, version!.wrong, version!.accuracy], [3, 2, 1, 2 / 3])
    const program = "import pandas, sys; pandas.read_csv(sys.argv[1], parse_dates=['time']).to_parquet(sys.argv[2])"
    const parquet = join(folder.path, 'labels.parquet')
    await promisify(execFile)(await pythonEnv('records'), ['-c', program, csv, parquet])
    const columns = await send(parquet)
    assert.deepEqual([columns.code, columns.stdout.trim()], [0, '3 labels are kept'], columns.stderr)
    const lines = await folder.write(
      'labels.jsonl',
      `${JSON.stringify({ id: receipts[0], label: 0 })}\n${JSON.stringify({ id: 'nobody', label: 0 })}\n`,
    )
    const some = await send(lines)
    assert.equal(some.code, 1)
    assert.match(some.stdout, /1 labels are kept\n1 were refused:\nlabel 2: this is no receipt/)
    for (const [name, text, says] of [
      ['a.csv', 'id,lable\nx,1\n', /column "lable" is none of id, label, time, weight/],
      ['b.csv', 'id,label\nx,\n', /b\.csv, line 2: must have required properties label/],
      ['c.jsonl', '{"id": 1', /c\.jsonl, line 1/],
      ['d.parquet', 'PAR1', /d\.parquet: /],
    ] as const) {
      const { code, stderr } = await send(await folder.write(name, text))
      assert.notEqual(code, 0)
      assert.match(stderr, says)
    }
  })

  it('that was taken survives the control plane being away, and the end of its server at any step', { timeout: 120_000 }, async () => {
    await using folder = await temporaryFolder()
    const data = join(folder.path, 'data')
    const port = await freePort()
    const url = `http://127.0.0.1:${port}`
    const triggers = join(folder.path, 'now')
    const points = FEEDBACK_STEPS.map((step) => `${step}:kill@${triggers}-${step}`).join(',')
    const serve = async () =>
      await serveInChild(['--control-plane', url, '--store', join(folder.path, 'store'), '--server-name', 'a'], {
        SLIPWAY_FAIL_POINTS: points,
      })
    const receipts: string[] = []
    {
      await using plane = await planeInProcess({ data, port })
      await deciders(plane, { threshold: 0.5 })
      await judges(plane, [{ model: 'judge/1' }])
      await using server = await serve()
      for (let number = 0; number < 4; number++) receipts.push((await decide(server.url, 0.7)).receipt!)
      // It arrives, and its server ends before it knows.
      await folder.write('now-feedback.sent', '')
      assert.equal((await sent(server.url, { id: receipts[0], label: 1 })).status, 202)
      assert.equal(await server.exit, 'SIGKILL')
    }
    {
      // The control plane is away.
      await using server = await serve()
      assert.equal((await sent(server.url, { id: receipts[1], label: 1 })).status, 202)
      server.signal('SIGKILL')
      await server.exit
    }
    {
      await using server = await serve()
      await folder.write('now-feedback.kept', '')
      // Nobody was answered, so nobody was promised anything; it is on disk all the same.
      await assert.rejects(sent(server.url, { id: receipts[2], label: 1 }))
      await server.exit
    }
    // A file that cannot be read holds up nothing.
    const [spool] = await readdir(join(folder.path, 'store', 'feedback'))
    await writeFile(join(folder.path, 'store', 'feedback', spool!, '000000000000001-torn.json'), '[{"id":')
    await using plane = await planeInProcess({ data, port })
    await using server = await serve()
    assert.equal((await sent(server.url, { id: receipts[3], label: 0 })).status, 202)
    await until(async () => labelsIn(await report(plane)) === 4, 'all have arrived', 20_000)
    const [version] = await report(plane)
    assert.deepEqual([version!.labels, version!.right, version!.wrong], [4, 3, 1])
  })
})
