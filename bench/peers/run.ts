/**
 * The judge beside the examples of other controllers, with the same injected faults and the same traffic, by seeded simulations:
 *
 *     npm run bench:peers [-- --runs 200] [--bake 300] [--write]
 *
 * Three minutes; a table. `--write` puts it into docs/guides/judging.md. Asserts nothing; a short form is test/judge/peers.test.ts.
 */
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { helpFrom } from '../../scripts/help.ts'
import { peersTable, PEERS_FROM, PEERS_UNTIL } from './table.ts'

helpFrom(import.meta.filename)

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '200' },
    bake: { type: 'string', default: '300' },
    write: { type: 'boolean', default: false },
  },
})
const [runs, bakeS] = [Number(values.runs), Number(values.bake)]
if (!Number.isInteger(runs) || runs < 1 || !(bakeS > 0)) throw new Error('--runs is a number of rollouts, --bake one of seconds')

const table = peersTable({ runs, bakeS })
console.log(table)
if (values.write) {
  const file = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'judging.md')
  const page = await readFile(file, 'utf8')
  const [from, until] = [page.indexOf(PEERS_FROM), page.indexOf(PEERS_UNTIL)]
  if (from === -1 || until === -1) throw new Error(`${file} has no place for the table`)
  await writeFile(file, `${page.slice(0, from + PEERS_FROM.length)}\n\n${table}\n\n${page.slice(until)}`)
}
