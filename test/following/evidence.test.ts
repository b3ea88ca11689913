/** What happens to requests under each variant is counted exactly, over three servers of which one is cut off and one is restarted. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { it } from 'node:test'
import { planeInProcess } from '../api/in-plane.ts'
import { slipway } from '../cli/slipway.ts'
import { freePort, until } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { decide, deciders, judges } from './deciding-models.ts'
import { follows } from './following.ts'
import type { Verdict } from './deciding-models.ts'
import type { ComparisonAnswer } from '../../src/contract/comparison.ts'
import type { Plane } from '../api/in-plane.ts'

type Counts = Record<'main' | 'next', { events: number; exposures: number }>

const none = (): Counts => ({ main: { events: 0, exposures: 0 }, next: { events: 0, exposures: 0 } })

async function compare(plane: Plane): Promise<ComparisonAnswer> {
  const { status, body } = await plane.ask('GET', '/endpoints/judge/comparison?candidate=next')
  assert.equal(status, 200, JSON.stringify(body))
  return body as ComparisonAnswer
}

/** Requests of different numbers, of which a tenth makes version 2 fail; some with a unit, some that are no evidence. */
async function load(
  url: string,
  count: number,
  from: number,
): Promise<{ verdict: Verdict; unit: string | undefined; evidence: boolean }[]> {
  const asked = Array.from({ length: count }, (_, index) => {
    const number = from + index
    const unit = number % 3 === 0 ? `unit-${number % 60}` : undefined
    const kind = number % 17
    const headers: Record<string, string> = {
      ...(unit !== undefined && { 'slipway-unit': unit }),
      ...(kind === 5 && { 'slipway-variant': 'next' }),
      ...(kind === 7 && { 'x-tester': 'yes' }),
    }
    const broken = kind === 11
    return { number, unit, headers, evidence: kind !== 5 && kind !== 7 && !broken, x: broken ? 'no number' : (number % 10) / 10 + 0.05 }
  })
  return await Promise.all(
    asked.map(async ({ unit, headers, evidence, x }) => ({ verdict: await decide(url, x, headers), unit, evidence })),
  )
}

it('counts of three servers are those of who asked, whatever comes between them and the control plane', async () => {
  await using folder = await temporaryFolder()
  const data = join(folder.path, 'data')
  const port = await freePort()
  const answers: { verdict: Verdict; unit: string | undefined; evidence: boolean }[] = []
  {
    await using plane = await planeInProcess({ data, port })
    await deciders(plane, { threshold: 0.5 }, { threshold: 0.5, failsFrom: 0.9 })
    await judges(plane, [
      { model: 'judge/1', weight: 60 },
      { name: 'next', model: 'judge/2', weight: 40, match: [{ header: 'x-tester', is: 'yes' }] },
    ])
    await using a = await follows(plane.url, join(folder.path, 'a'), { name: 'a' })
    await using b = await follows(plane.url, join(folder.path, 'b'), { name: 'b' })
    for (const [index, server] of [a, b].entries()) answers.push(...(await load(server.url, 300, index * 300)))
    assert.ok(answers.some(({ verdict }) => verdict.variant === 'next' && verdict.status === 200))
  }
  // The control plane is away; the servers that start now have what they kept.
  const url = `http://127.0.0.1:${port}`
  {
    await using b = await follows(url, join(folder.path, 'b'), { name: 'b' })
    answers.push(...(await load(b.url, 300, 600)))
  }
  await using plane = await planeInProcess({ data, port })
  {
    await using b = await follows(plane.url, join(folder.path, 'b'), { name: 'b' })
    await using c = await follows(plane.url, join(folder.path, 'c'), { name: 'c' })
    for (const [index, server] of [b, c].entries()) answers.push(...(await load(server.url, 300, 900 + index * 300)))
  }

  // Units count once, at their first event, requests without one each time.
  const expected = none()
  const exposed = new Set<string>()
  const failed = new Set<string>()
  for (const { verdict, unit, evidence } of answers) {
    if (!evidence) continue
    const arm = verdict.status === 200 ? verdict.variant : 'next'
    assert.ok(arm === 'main' || arm === 'next')
    const wrong = verdict.status !== 200
    if (unit === undefined || !exposed.has(unit)) expected[arm].exposures++
    if (wrong && (unit === undefined || !failed.has(unit))) expected[arm].events++
    if (unit !== undefined) {
      exposed.add(unit)
      if (wrong) failed.add(unit)
    }
  }
  // A unit counts as one that went well once it has been watched for an hour: so far those that failed alone do.
  const unripe = none()
  for (const unit of exposed) {
    const first = answers.find((one) => one.evidence && one.unit === unit && one.verdict.status === 200)
    if (failed.has(unit)) continue
    unripe[first!.verdict.variant as 'main' | 'next'].exposures++
  }
  let seen: ComparisonAnswer['metrics'][number] | undefined
  const wanted = {
    main: { events: expected.main.events, exposures: expected.main.exposures - unripe.main.exposures },
    next: { events: expected.next.events, exposures: expected.next.exposures - unripe.next.exposures },
  }
  await until(
    async () => {
      seen = (await compare(plane)).metrics.find(({ metric }) => metric === 'errors')
      return seen !== undefined && seen.base.exposures + seen.candidate.exposures >= wanted.main.exposures + wanted.next.exposures
    },
    'the windows arrive',
    30_000,
  )
  assert.deepEqual({ main: seen!.base, next: seen!.candidate }, wanted)
  // Failures of one moment may be one incident: they weigh less until there are others.
  assert.ok(seen!.verdict === 'inconclusive' && seen!.p < 1)
  const told = await slipway(['traffic', 'judge', '--compare', 'next', '--url', plane.url])
  assert.equal(told.code, 0, told.stderr)
  assert.match(told.stdout, /judge: next \(judge\/2\) beside main \(judge\/1\), since .*: inconclusive/)
  assert.match(told.stdout, /errors +inconclusive +guardrail +█+░+ +\d+ of \d+ /)
})
