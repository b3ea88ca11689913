import { exposeText } from './exposition.ts'
import { exposeProtobuf } from './exposition-protobuf.ts'
import type { Family } from './exposition.ts'

/** A format in which metrics are exposed. */
interface Format {
  readonly contentType: string
  /** Media type, lower case. */
  readonly type: string
  /** Accepted values of the parameters that identify the format; other parameters (charset, escaping) are free. */
  readonly parameters: Readonly<Record<string, readonly string[]>>
  readonly expose: (families: readonly Family[]) => string | Buffer
}

/** From the plainest to the richest: only protobuf carries native histograms. */
const FORMATS: readonly [Format, ...Format[]] = [
  {
    contentType: 'text/plain; version=0.0.4; charset=utf-8',
    type: 'text/plain',
    parameters: { version: ['0.0.4'] },
    expose: (families) => exposeText(families, false),
  },
  {
    contentType: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
    type: 'application/openmetrics-text',
    parameters: { version: ['1.0.0', '0.0.1'] },
    expose: (families) => exposeText(families, true),
  },
  {
    contentType: 'application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited',
    type: 'application/vnd.google.protobuf',
    parameters: { proto: ['io.prometheus.client.metricfamily'], encoding: ['delimited'] },
    expose: exposeProtobuf,
  },
]

/** One media range of an Accept header, in lower case. */
interface MediaRange {
  readonly type: string
  readonly parameters: ReadonlyMap<string, string>
  /** Weight, 0 (never) to 1. */
  readonly q: number
}

/**
 * The format for a scraper's Accept header (RFC 9110, 12.5.1): the one of the highest weight; among equals one that is
 * named before one that a wildcard covers, of the named ones the richest, and under a wildcard the plainest. Where no format
 * fits, the answer is text: a scraper's error message says more than a 406 could.
 */
export function chooseFormat(accept: string | undefined): Format {
  if (accept === undefined) return FORMATS[0]
  const ranges = parseAccept(accept)
  const standings = FORMATS.map((format, richness) => standingOf(format, richness, ranges)).filter(({ q }) => q > 0)
  const [best] = standings.toSorted((a, b) => b.q - a.q || b.precision - a.precision || b.order - a.order)
  return best?.format ?? FORMATS[0]
}

interface Standing {
  readonly format: Format
  readonly q: number
  /** 0: a wildcard covers the format, 1: the format is named. */
  readonly precision: 0 | 1
  readonly order: number
}

/** Rank of a format: the most precise of the ranges that cover it counts, even where a looser one weighs more. */
function standingOf(format: Format, richness: number, ranges: readonly MediaRange[]): Standing {
  const named = ranges.filter((range) => range.type === format.type && fits(format, range))
  if (named.length > 0) {
    const precision = (range: MediaRange): number => Object.keys(format.parameters).filter((name) => range.parameters.has(name)).length
    const most = Math.max(...named.map(precision))
    return { format, q: Math.max(...named.filter((range) => precision(range) === most).map(({ q }) => q)), precision: 1, order: richness }
  }
  const family = `${format.type.slice(0, format.type.indexOf('/'))}/*`
  const wildcard = ranges.find(({ type }) => type === family) ?? ranges.find(({ type }) => type === '*/*')
  return { format, q: wildcard?.q ?? 0, precision: 0, order: -richness }
}

function fits(format: Format, range: MediaRange): boolean {
  return Object.entries(format.parameters).every(([name, values]) => {
    const asked = range.parameters.get(name)
    return asked === undefined || values.includes(asked)
  })
}

function parseAccept(accept: string): MediaRange[] {
  return splitOutsideQuotes(accept, ',').flatMap((text) => {
    const [type = '', ...rest] = splitOutsideQuotes(text, ';').map((part) => part.trim().toLowerCase())
    const parameters = new Map<string, string>()
    for (const part of rest) {
      const equals = part.indexOf('=')
      if (equals > 0) parameters.set(part.slice(0, equals).trim(), unquoted(part.slice(equals + 1).trim()))
    }
    const q = Number(parameters.get('q') ?? 1)
    return type === '' || !(q >= 0 && q <= 1) ? [] : [{ type, parameters, q }]
  })
}

function splitOutsideQuotes(text: string, separator: ',' | ';'): string[] {
  return text.match(separator === ',' ? /(?:"(?:\\.|[^"\\])*"|[^,])+/g : /(?:"(?:\\.|[^"\\])*"|[^;])+/g) ?? []
}

function unquoted(value: string): string {
  return value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1).replaceAll(/\\(.)/g, '$1') : value
}
