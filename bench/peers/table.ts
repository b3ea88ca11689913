import { markdownTable } from '../table.ts'
import { SCENARIOS, TRAFFIC } from './scenarios.ts'
import { simulate, STYLES } from './simulate.ts'
import type { Outcome, Setting } from './simulate.ts'

/** What stands around the table in docs/guides/judging.md. */
export const PEERS_FROM = '<!-- peers: written by `npm run bench:peers -- --write` -->'
export const PEERS_UNTIL = '<!-- end of peers -->'

const HEAD = ['the new version', 'requests/s', ...STYLES]

/** Every scenario at every traffic, a line each, and how many rollouts of each there were. */
export function peersTable({ runs, bakeS }: Required<Pick<Setting, 'runs' | 'bakeS'>>): string {
  const settings = SCENARIOS.flatMap((scenario) => TRAFFIC.map((requestsPerSecond) => ({ scenario, requestsPerSecond })))
  const [, noWorse = SCENARIOS[0]!] = SCENARIOS
  const none = { scenario: { ...noWorse, what: 'no worse, and nobody asks' }, requestsPerSecond: 0 }
  const rows = [...settings, none].map(({ scenario, requestsPerSecond }) => [
    scenario.what,
    String(requestsPerSecond),
    ...STYLES.map((style) => cell(simulate(style, { scenario, requestsPerSecond, runs, bakeS }))),
  ])
  return `${runs} rollouts of each (seeds 1 to ${runs}), our steps of ${bakeS} s at least:\n\n${markdownTable(HEAD, rows)}`
}

function cell({ promoted, back, held, backS, harmed }: Outcome): string {
  // Seldom and nearly always are neither never nor always.
  const shares = [promoted, back, held].map((share) => (100 * share).toFixed(Math.min(share, 1 - share) < 0.01 && share % 1 > 0 ? 1 : 0))
  return [
    shares.join(' / '),
    ...(backS === undefined ? [] : [`${(backS / 60).toFixed(1)} min`]),
    ...(harmed === undefined ? [] : [`${harmed >= 10 ? Math.round(harmed) : harmed.toFixed(1)} harmed`]),
  ].join(', ')
}
