import { join } from 'node:path'
import { SlipwayError } from '../core/errors.ts'

/** Where a control plane keeps its rows, unless it is told otherwise. */
export function databaseUrl(data: string, url: string | undefined): string {
  return url ?? `sqlite:${join(data, 'slipway.db')}`
}

/** Where it keeps what servers saw: beside a SQLite file another one, so that each has a writer of its own; in PostgreSQL the same database. */
export function windowsUrl(database: string): string {
  const path = /^sqlite:(.*)$/s.exec(database)?.[1]
  return path === undefined ? database : `sqlite:${path.replace(/(\.[^./]+)?$/, '-windows$1')}`
}

/** Where a control plane keeps its files, unless it is told otherwise. */
export function objectsUrl(data: string, url: string | undefined): string {
  return url ?? `file:${join(data, 'objects')}`
}

/** By which clients reach a control plane, without a slash at the end, where somebody has said so. @throws SLW_CONFIG_INVALID */
export function publicUrlOf(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
    throw new SlipwayError('SLW_CONFIG_INVALID', `the public URL ${text} is none; expected one such as https://models.example.org/slipway`)
  return url.href.replace(/\/+$/, '')
}
