import { formatMs } from '../../core/units.ts'

/** What the routes answer that switch a model of a running server. */
export interface SwitchAnswer {
  readonly model: string
  readonly old: { readonly version: string } | null
  readonly new: { readonly version: string; readonly path: string } | null
  readonly pinned: boolean
  readonly times: Readonly<Record<string, number>>
}

/** Times of the steps of a switch, for people: `load 12 ms, warm-up 40 ms`. */
export function switchTimes({ times }: SwitchAnswer): string {
  return Object.entries(times)
    .map(([name, ms]) => `${name.replace(/_ms$/, '').replace('_', '-')} ${formatMs(ms)}`)
    .join(', ')
}
