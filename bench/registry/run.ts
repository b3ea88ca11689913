/**
 * The registry against `mlflow server`, through MLflow's own Python client, call by call in turn: `sh scripts/node bench/registry/run.ts
 * [ROUNDS]`. Prints a table and asserts nothing; docs/benchmarks.md says how to read it.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { startControlPlane } from '../../src/control-plane/start-control-plane.ts'
import { pythonEnv } from '../../scripts/python-env.ts'
import { startReferenceServer } from '../../test/conformance/mlflow/reference-server.ts'
import { temporaryFolder } from '../../test/temporary-folder.ts'
import { median } from '../table.ts'
import { startCanned } from './canned.ts'
import { helpFrom } from '../../scripts/help.ts'

helpFrom(import.meta.filename)

type Found = Readonly<Record<string, Readonly<Record<string, readonly number[]>>>>

const CALLS = ['log_metric', 'create_version', 'create_version_with_files', 'read_alias', 'search_versions', 'log_batch'] as const

async function measure(rounds: number): Promise<Found> {
  const python = await pythonEnv('mlflow-3')
  await using folder = await temporaryFolder()
  await using plane = await startControlPlane({ data: folder.path, port: 0 })
  await using canned = await startCanned(plane.url)
  await using reference = await startReferenceServer()
  const sides = [`slipway=${plane.url}`, `mlflow=${reference.uri}`, `client alone=${canned.uri}`]
  const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'measure.py'), String(rounds), ...sides], {
    maxBuffer: 64 * 1024 * 1024,
  })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Found
}

function show(found: Found): void {
  const { slipway, mlflow, 'client alone': floor } = found
  console.log('| call | Slipway | mlflow server | client alone | mlflow / Slipway | (Slipway - client) / (mlflow - client) |')
  console.log('|---|---|---|---|---|---|')
  for (const call of CALLS) {
    const [ours, theirs, own] = [slipway, mlflow, floor].map((side) => median([...(side?.[call] ?? [])]))
    const share = (ours! - own!) / (theirs! - own!)
    console.log(
      `| ${call} | ${ours!.toFixed(1)} ms | ${theirs!.toFixed(1)} ms | ${own!.toFixed(1)} ms | ${(theirs! / ours!).toFixed(1)} | ${share.toFixed(2)} |`,
    )
  }
  for (const way of ['upload', 'download']) {
    const [ours, theirs] = [slipway, mlflow].map((side) => median([...(side?.[way] ?? [])]))
    console.log(
      `| ${way} of 100 MB | ${ours!.toFixed(0)} MB/s | ${theirs!.toFixed(0)} MB/s | | ${(ours! / theirs!).toFixed(2)} (more is better) | |`,
    )
  }
}

show(await measure(Number(process.argv[2] ?? 3)))
