import { join } from 'node:path'

/** Where a control plane keeps its rows, unless it is told otherwise. */
export function databaseUrl(data: string, url: string | undefined): string {
  return url ?? `sqlite:${join(data, 'slipway.db')}`
}

/** Where a control plane keeps its files, unless it is told otherwise. */
export function objectsUrl(data: string, url: string | undefined): string {
  return url ?? `file:${join(data, 'objects')}`
}
