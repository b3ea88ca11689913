/** Gauges in the text format of Prometheus (0.0.4). */

export interface GaugeInfo {
  readonly help: string
  readonly labels: readonly string[]
}

export interface Gauge extends GaugeInfo {
  readonly name: string
  readonly samples: readonly GaugeSample[]
}

export interface GaugeSample {
  readonly labels: Readonly<Record<string, string>>
  readonly value: number
}

/** @returns lines, each with its end */
export function gaugesText(gauges: readonly Gauge[]): string {
  return gauges
    .map(({ name, help, samples }) => {
      const lines = samples.map(({ labels, value }) => `${name}${labelsText(labels)} ${valueText(value)}\n`)
      return `# HELP ${name} ${escape(help)}\n# TYPE ${name} gauge\n${lines.join('')}`
    })
    .join('')
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([label, value]) => `${label}="${escape(value).replaceAll('"', String.raw`\"`)}"`)
  return parts.length === 0 ? '' : `{${parts.join(',')}}`
}

function escape(text: string): string {
  return text.replaceAll('\\', String.raw`\\`).replaceAll('\n', String.raw`\n`)
}

function valueText(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf'
}
