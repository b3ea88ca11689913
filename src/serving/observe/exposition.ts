import type { HistogramData } from '../../contract/statistics/histogram.ts'
import type { MetricInfo } from './catalog.ts'

export type Labels = Readonly<Record<string, string>>

/** A metric with its current values. */
export interface Family {
  readonly name: string
  readonly info: MetricInfo
  readonly samples: readonly { readonly labels: Labels; readonly value: number | HistogramData }[]
}

/**
 * Metrics as text: Prometheus exposition format 0.0.4, or OpenMetrics 1.0 (which ends in `# EOF` and names counters
 * without `_total` in their TYPE line).
 */
export function exposeText(families: readonly Family[], openMetrics: boolean): string {
  let text = ''
  for (const { name, info, samples } of families) {
    if (samples.length === 0) continue
    const counter = info.type === 'counter'
    const base = openMetrics && counter ? name.replace(/_total$/, '') : name
    // A counter without the suffix (a guide's `request_count`) has no legal name in OpenMetrics: its type is given as unknown.
    const type = openMetrics && counter && base === name ? 'unknown' : info.type
    text += `# HELP ${base} ${info.help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${base} ${type}\n`
    for (const { labels, value } of samples)
      text += typeof value === 'number' ? `${name}${braces(labels)} ${number(value)}\n` : histogramLines(name, labels, value)
  }
  return openMetrics ? `${text}# EOF\n` : text
}

function histogramLines(name: string, labels: Labels, data: HistogramData): string {
  let text = ''
  let cumulative = 0
  for (const [index, count] of data.counts.entries()) {
    cumulative += count
    const edge = data.edges[index]
    text += `${name}_bucket${braces(labels, edge === undefined ? '+Inf' : edgeText(edge))} ${cumulative}\n`
  }
  return `${text}${name}_sum${braces(labels)} ${number(data.sum)}\n${name}_count${braces(labels)} ${data.count}\n`
}

/** OpenMetrics wants floats: `1.0`; Prometheus reads both as the same bucket. */
function edgeText(edge: number): string {
  return Number.isInteger(edge) ? edge.toFixed(1) : String(edge)
}

function number(value: number): string {
  if (Number.isNaN(value)) return 'NaN'
  if (value === Number.POSITIVE_INFINITY) return '+Inf'
  return value === Number.NEGATIVE_INFINITY ? '-Inf' : String(value)
}

function braces(labels: Labels, le?: string): string {
  const parts = Object.entries(labels).map(
    ([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')}"`,
  )
  if (le !== undefined) parts.push(`le="${le}"`)
  return parts.length === 0 ? '' : `{${parts.join(',')}}`
}
