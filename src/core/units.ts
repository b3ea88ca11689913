import { SlipwayError } from './errors.ts'

const MS_PER = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const

/** `250ms`, `30s`, `5m`, `1h`, `7d` or a bare number of milliseconds. */
export function parseDurationMs(text: string, name: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text.trim())
  if (match === null) throw new SlipwayError('SLW_CONFIG_INVALID', `${name}: "${text}" is not a duration; expected e.g. 250ms, 30s, 5m`)
  return Number(match[1]) * MS_PER[(match[2] ?? 'ms') as keyof typeof MS_PER]
}

export function formatBytes(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`
  const units = ['KiB', 'MiB', 'GiB', 'TiB']
  let value = bytes
  let unit = -1
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[unit]}`
}

export function formatMs(ms: number): string {
  if (ms < 1) return `${Math.round(ms * 1000)} us`
  return ms < 1000 ? `${ms.toFixed(ms < 10 ? 2 : 0)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** Rounds to the microsecond, as logs and answers show it. */
export function roundMs(ms: number): number {
  return Math.round(ms * 1000) / 1000
}
