/**
 * What a change costs: a checkout from before it beside this one, from source, in one interleaved run.
 *
 *     git worktree add ../before REF && (cd ../before && npm ci)
 *     sh scripts/node bench/trees.ts ../before [--rounds 15] [--seconds 3]
 */
import { copyFile, mkdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { debianBinary } from '../scripts/debian-package.ts'
import { pythonEnv } from '../scripts/python-env.ts'
import { measureLoad } from './load.ts'
import { processTree, residentMemory } from './machine.ts'
import { obtainModels, requestBody } from './models.ts'
import { launch, slipwayServer, slipwayServing } from './servers.ts'
import { markdownTable, median } from './table.ts'
import { temporaryFolder } from './temporary.ts'
import { helpFrom } from '../scripts/help.ts'

helpFrom(import.meta.filename)

/** A difference in memory between this many models and one is that of the models. */
const MODELS = 41
const MEMORY_ROUNDS = 3
const CONNECTIONS = 16
const SETTLE_MS = 1000

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '15' }, seconds: { type: 'string', default: '3' } },
})
const [other] = positionals
if (other === undefined) throw new Error('give the folder of a checkout to compare with')
const trees = { before: resolve(other), after: join(import.meta.dirname, '..') }
type Side = keyof typeof trees
const SIDES: readonly Side[] = ['before', 'after']

const scratch = temporaryFolder('slipway-trees')
await debianBinary('wrk')
const models = await obtainModels(await pythonEnv('bench'))
const body = await requestBody(models, 'churn', 'json', scratch)
const probe = { model: 'churn', body: await readFile(join(models, 'churn.json')) }

/** Microseconds of CPU time for each request, by round. */
async function cpuOfRequests(): Promise<Record<Side, number[]>> {
  await using before = await launch(slipwayServer(trees.before, models, ['churn']), probe)
  await using after = await launch(slipwayServer(trees.after, models, ['churn']), probe)
  const servers = { before, after }
  const load = (side: Side, seconds: number) =>
    measureLoad({ url: servers[side].url('churn'), body, connections: CONNECTIONS, seconds, pid: servers[side].pid, scratch })
  for (const side of SIDES) await load(side, 4)
  const found: Record<Side, number[]> = { before: [], after: [] }
  for (let round = 0; round < Number(values.rounds); round++)
    for (const side of round % 2 === 0 ? SIDES : SIDES.toReversed()) found[side].push((await load(side, Number(values.seconds))).cpuUs)
  return found
}

/** MiB (PSS) that a model more takes, by round. */
async function memoryOfModels(): Promise<Record<Side, number[]>> {
  const folders = { one: join(scratch, 'one'), many: join(scratch, 'many') }
  for (const [folder, count] of [
    [folders.one, 1],
    [folders.many, MODELS],
  ] as const)
    for (let index = 0; index < count; index++) {
      await mkdir(join(folder, `m${index}`), { recursive: true })
      await copyFile(join(models, 'churn.onnx'), join(folder, `m${index}`, 'model.onnx'))
    }
  const held = async (side: Side, folder: string): Promise<number> => {
    await using server = await launch(slipwayServing(trees[side], [folder]), { ...probe, model: 'm0' })
    // All are loaded before it answers; what starting needed is given back soon after.
    await new Promise((done) => setTimeout(done, SETTLE_MS))
    return residentMemory(processTree(server.pid)).pss
  }
  const found: Record<Side, number[]> = { before: [], after: [] }
  for (let round = 0; round < MEMORY_ROUNDS; round++)
    for (const side of SIDES) found[side].push(((await held(side, folders.many)) - (await held(side, folders.one))) / (MODELS - 1))
  return found
}

function row(what: string, { before, after }: Record<Side, number[]>, text: (value: number) => string): string[] {
  const ratio = median(after.map((value, index) => value / before[index]!))
  return [what, text(median(before)), text(median(after)), ratio.toFixed(3)]
}

console.log(
  markdownTable(
    ['what', 'before', 'after', 'median of ratios'],
    [
      row('CPU time per churn request', await cpuOfRequests(), (us) => `${us.toFixed(1)} us`),
      row('memory per loaded churn model (PSS)', await memoryOfModels(), (mib) => `${mib.toFixed(2)} MiB`),
    ],
  ),
)
