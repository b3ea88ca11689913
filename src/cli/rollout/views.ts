/** Text views of rollouts. */
import { bar } from '../endpoint/views.ts'
import { time } from '../control-plane/registry-command.ts'
import { style, table, wrapped } from '../output.ts'
import type { Stage } from '../../contract/rollout.ts'
import type { RolloutAnswer, RolloutEvidence, RolloutPlan } from '../../contract/rollout-api.ts'
import type { View } from '../control-plane/registry-command.ts'

const nameOf = ({ model, version }: { readonly model: string; readonly version: string }): string => `${model}/${version}`

export const rolloutView: View<RolloutAnswer> = {
  kind: 'Rollout',
  name: ({ endpoint, number }) => `${endpoint}/${number}`,
  header: ['rollout', 'state', 'from', 'to', 'share', 'began', 'lasted', 'why'],
  row: (rollout) => [
    String(rollout.number),
    stateText(rollout),
    nameOf(rollout.from),
    nameOf(rollout.to),
    `${rollout.weight} %`,
    time(rollout.createdAt),
    rollout.endedAt === undefined ? '' : durationText(rollout.endedAt - rollout.createdAt),
    whyInShort(rollout),
  ],
  none: 'no rollouts',
}

/** Characters that a list has room for. */
const SHORT = 30

/** What a list has room for: `slipway rollout why` has the rest. */
function whyInShort({ state, evidence, waitsFor = '', endedAt }: RolloutAnswer): string {
  if (endedAt === undefined) return waitsFor.length <= SHORT ? waitsFor : `${waitsFor.slice(0, SHORT - 3)}...`
  if (state !== 'rolled back' || evidence === undefined) return ''
  const { metrics, outputs, checks, servers } = evidence
  const failed = [...metrics.map(({ metric, verdict }) => ({ name: metric, verdict })), ...checks].filter(
    ({ verdict }) => verdict === 'fail',
  )
  return [
    ...failed.map(({ name }) => name),
    ...(outputs?.verdict === 'fail' ? ['outputs'] : []),
    ...(servers.tripped === undefined ? [] : ['a server took it out']),
    ...(servers.failed === undefined ? [] : ['a server cannot load it']),
  ].join(', ')
}

export function stateText({ state, pausedFor }: Pick<RolloutAnswer, 'state' | 'pausedFor'>): string {
  return pausedFor === undefined ? state : `${state} (${pausedFor})`
}

/** A duration as people say it: `5m`, `1h 30m`, `7d`. */
export function durationText(ms: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['m', 60_000],
    ['s', 1000],
  ] as const
  let rest = Math.round(ms / 1000) * 1000
  const parts: string[] = []
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) parts.push(`${count}${unit}`)
  }
  return parts.length === 0 ? '0s' : parts.slice(0, 2).join(' ')
}

/** The whole of a rollout as a tree: its steps, and below the present one what was seen. */
export function rolloutText(rollout: RolloutAnswer): string {
  const { endpoint, number, from, to, strategy, stages, step, bakeAfterMs, watchAfterMs, evidence, waitsFor, endedAt } = rollout
  const head = `${style('bold', endpoint)} rollout ${number}: ${nameOf(from)} to ${nameOf(to)}, ${strategy}, ${colored(rollout)}`
  const present = endedAt === undefined || step < stages.length ? step : stages.length + 1
  const lines = [
    treeLine(step >= 0 ? 'done' : endedAt === undefined ? 'now' : 'left', 'loaded beside', loadText(rollout)),
    ...stages.map((stage, index) =>
      treeLine(
        index < present || rollout.state === 'promoted' ? 'done' : index === present ? (endedAt === undefined ? 'now' : 'left') : 'next',
        stage.shadow > 0 ? `${stage.shadow} % copies` : `${stage.weight} %`,
        `${durationText(stage.bakeMs)} at least, ${stage.minimumSample} requests${needsText(stage)}`,
      ),
    ),
    treeLine(
      rollout.state === 'promoted' || rollout.state === 'watching' ? 'done' : rollout.state === 'baking' ? 'now' : 'next',
      '100 %',
      `${durationText(bakeAfterMs)} with ${nameOf(from)} still loaded`,
    ),
    ...(watchAfterMs > 0
      ? [
          treeLine(
            rollout.state === 'watching' ? 'now' : rollout.state === 'promoted' ? 'done' : 'next',
            'watched',
            durationText(watchAfterMs),
          ),
        ]
      : []),
  ]
  const waiting = waitsFor === undefined || endedAt !== undefined ? '' : `\n\n${wrapped(`${waitWord(rollout)} ${waitsFor}`)}`
  const ended = endedAt === undefined ? '' : `\n\n${wrapped(`${rollout.state} ${time(endedAt)}${reasonText(rollout)}`)}`
  const seen = evidence === undefined ? '' : `\n\n${evidenceText(evidence)}`
  return `${head}\n\n${lines.join('\n')}${seen}${waiting}${ended}`
}

/** What a step needs beside its time and its requests. */
function needsText({ needs, approve }: Pick<Stage, 'needs' | 'approve'>): string {
  return `${NEEDS[needs] === '' ? '' : `, ${NEEDS[needs]}`}${approve ? ', a person' : ''}`
}

const NEEDS = { nothing: '', 'not failing': 'nothing fails', pass: 'all guardrails pass' } as const

/** A pause says why it is one; everything else, what it waits for. */
function waitWord({ state }: Pick<RolloutAnswer, 'state'>): string {
  return state === 'paused' ? 'paused:' : 'waits for'
}

const SIGNS = { done: '✔', now: '▶', next: '·', left: '✘' } as const

function treeLine(sign: keyof typeof SIGNS, what: string, more: string): string {
  const text = `${SIGNS[sign]} ${what.padEnd(14)} ${more}`
  return sign === 'now' ? style('bold', text) : sign === 'left' ? style('red', text) : sign === 'next' ? style('dim', text) : text
}

function loadText({ evidence, to }: RolloutAnswer): string {
  const { servers } = evidence ?? {}
  return servers === undefined || servers.live === 0 ? nameOf(to) : `${nameOf(to)} on ${servers.ready} of ${servers.live} servers`
}

function colored(rollout: RolloutAnswer): string {
  const text = stateText(rollout)
  const { state } = rollout
  return style(
    state === 'promoted' ? 'green' : state === 'rolled back' || state === 'aborted' ? 'red' : state === 'paused' ? 'yellow' : 'cyan',
    text,
  )
}

function reasonText({ transitions = [] }: RolloutAnswer): string {
  const reason = transitions.at(-1)?.reason
  return reason === undefined ? '' : `: ${reason}`
}

/** What a look saw: for each metric a bar of the evidence against the new version, and below it what was counted. */
export function evidenceText({ verdict, metrics, outputs, shadow, checks }: RolloutEvidence): string {
  const against = (p: number): string => bar(Math.min(1, Math.log(1 / p) / Math.log(60)))
  const seen: [row: string[], sentence: string][] = metrics
    .filter((metric) => metric.verdict !== 'no data')
    .map(({ metric, role, verdict: own, p, sentence }) => [[metric, own, role, against(p)], sentence.slice(metric.length + 2)])
  if (outputs !== undefined)
    seen.push([['outputs', outputs.verdict, 'guardrail', bar(Math.min(1, outputs.low / outputs.change))], outputs.sentence])
  if (shadow !== undefined) {
    const { same, different, worse, better } = shadow
    const counted = `${same} the same, ${different} different, ${worse} failed alone, ${better} did not where the version before failed`
    seen.push([['shadow', '', 'guardrail', against(shadow.p)], counted])
  }
  for (const { name, verdict: own, role, sentence } of checks) seen.push([[name, own, role, ''], sentence])
  const missing = metrics.filter((metric) => metric.verdict === 'no data').map(({ metric }) => metric)
  const [header = '', ...lines] = table(
    seen.map(([row]) => row),
    ['metric', 'verdict', 'role', 'against the new version'],
  ).split('\n')
  const parts = [
    ...(seen.length === 0 ? [] : [[header, ...lines.map((line, index) => `${line}\n${wrapped(seen[index]![1], '    ')}`)].join('\n')]),
    ...(missing.length === 0 ? [] : [`no requests that can be compared yet: ${missing.join(', ')}`]),
    `verdict: ${verdict}`,
  ]
  return parts.join('\n\n')
}

/** One line for logs: only what a reader of logs wants to find again. */
export function rolloutLine(rollout: RolloutAnswer): string {
  const { endpoint, number, to, weight, verdict = 'no data', evidence, waitsFor, endedAt } = rollout
  const reason = endedAt === undefined ? (waitsFor === undefined ? '' : `, ${waitWord(rollout)} ${waitsFor}`) : reasonText(rollout)
  const counted = endedAt === undefined && weight > 0 && weight < 100 ? `, ${verdict}, ${evidence?.sample ?? 0} requests` : ''
  const share = `${String(weight).padStart(3)} % ${bar(weight / 100, 10)}`
  return `${time(rollout.updatedAt)} ${endpoint} rollout ${number} to ${nameOf(to)} ${share} ${stateText(rollout)}${stepText(rollout)}${counted}${reason}`
}

function stepText({ step, stages, state }: Pick<RolloutAnswer, 'step' | 'stages' | 'state'>): string {
  return step < 0 || state === 'promoted' || state === 'watching'
    ? ''
    : `, step ${Math.min(step, stages.length) + 1} of ${stages.length + 1}`
}

/** Every transition with the counts behind it. */
export function whyText(rollout: RolloutAnswer): string {
  const { endpoint, number, from, to, transitions = [], stages, edgeMs } = rollout
  const parts = transitions.map((transition, index) => {
    const { at, actor, state, step, weight, reason, evidence } = transition
    const where = `${stepText({ step, stages, state })}, ${weight} %, by ${actor}`
    const head = `${time(at)}  ${style('bold', state)}${where}${reason === undefined ? '' : `: ${reason}`}`
    const line = wrapped(head, '', '    ')
    if (evidence === undefined) return line
    if (evidence.segments.length === 0 && evidence.checks.length === 0 && evidence.shadow === undefined)
      return `${line}\n    nothing was counted of both versions yet`
    const before = transitions[index - 1]?.evidence
    if (before !== undefined && countsText(before) === countsText(evidence) && evidence.checks.length === 0)
      return `${line}\n    the counts are those of the transition before`
    return `${line}\n\n${indented(`${evidenceText(evidence)}\n\n${countsText(evidence)}`)}\n`
  })
  const frozen = edgeMs === undefined ? '' : `, slow is more than ${edgeMs} ms`
  return `${style('bold', endpoint)} rollout ${number}: ${nameOf(from)} to ${nameOf(to)}${frozen}\n\n${parts.join('\n')}`
}

/** The counts that the verdict was worked out from. */
function countsText({ segments }: RolloutEvidence): string {
  const rows = segments
    .toSorted((a, b) => a.metric.localeCompare(b.metric) || a.segment - b.segment || a.arm.localeCompare(b.arm))
    .map(({ metric, segment, share, arm, events, exposures }) => [
      metric,
      String(segment),
      `${Number((100 * share).toFixed(2))} %`,
      arm === 'base' ? 'before' : 'new',
      String(events),
      String(exposures),
    ])
  return table(rows, ['metric', 'routing', 'share', 'version', 'went wrong', 'of'])
}

function indented(text: string): string {
  return text
    .split('\n')
    .map((line) => (line === '' ? '' : `    ${line}`))
    .join('\n')
}

export const planView: View<RolloutPlan> = {
  kind: 'RolloutPlan',
  name: ({ endpoint }) => endpoint,
  header: ['endpoint', 'from', 'to', 'strategy', 'at least'],
  row: ({ endpoint, from, to, strategy, leastSeconds }) => [
    endpoint,
    nameOf(from),
    nameOf(to),
    strategy,
    durationText(leastSeconds * 1000),
  ],
}

export function planText(plan: RolloutPlan): string {
  const { endpoint, from, to, strategy, stages, bakeAfterMs, watchAfterMs, traffic, expectations, gates, leastSeconds } = plan
  const steps = [
    ...stages.map(({ weight, shadow, bakeMs, minimumSample, needs, approve }) => [
      shadow > 0 ? `${shadow} % copies` : `${weight} %`,
      durationText(bakeMs),
      String(minimumSample),
      NEEDS[needs],
      approve ? 'yes' : '',
    ]),
    ['100 %', durationText(bakeAfterMs), '', `${nameOf(from)} stays loaded`, ''],
    ...(watchAfterMs > 0 ? [['watched', durationText(watchAfterMs), '', 'late labels', '']] : []),
  ]
  const rate = `${traffic.requestsPerSecond.toFixed(1)} requests a second, ${Number((100 * traffic.errorRate).toFixed(2))} % errors`
  const edge =
    traffic.edgeMs === undefined ? 'latency is not judged: too few answers to tell what is usual' : `slow is more than ${traffic.edgeMs} ms`
  const head = `${style('bold', endpoint)}: ${nameOf(from)} to ${nameOf(to)}, ${strategy}, ${durationText(leastSeconds * 1000)} at least`
  const waiting = gates.map(({ waitsFor }) => `\nwaits for ${waitsFor}`).join('')
  return `${head}\n\n${table(steps, ['share', 'at least', 'requests', 'needs', 'a person'])}\n\nof late: ${rate}; ${edge}${waiting}\n\n${expectedText(expectations)}`
}

function expectedText(expectations: RolloutPlan['expectations']): string {
  if (expectations.length === 0) return 'nothing is compared: both versions never share the requests'
  const rows = expectations.map(({ metric, share, ratio, shown, requests, seconds }) => [
    metric,
    `${Number((100 * share).toFixed(2))} %`,
    shown === 'fail' ? `${Number(ratio.toPrecision(3))} times as often` : 'no more often',
    shown === 'fail' ? 'turned back' : 'passes',
    requests === undefined ? 'more than can be waited for' : String(requests),
    seconds === undefined ? '' : durationText(seconds * 1000),
  ])
  return `${table(rows, ['metric', 'share', 'if it goes wrong', 'it is', 'requests of both', 'time'])}\n\nHalf of such rollouts need fewer, half need more.`
}
